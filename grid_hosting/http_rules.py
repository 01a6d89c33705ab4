"""The rules for every request on every HTTP port, in every mode. Pure.

- The `Host` header must contain a host name of the port. So a page whose name was rebound to this machine is refused.
- A web page may act (change something, or open a stream) only if it has the port's own origin or a listed one.
  Programs that are not browsers do not send the headers that identify a page, so this rule does not concern them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from grid_hosting.addresses import is_loopback
from grid_hosting.http_hosts import Authority, HostNames, parse_authority, usual_address

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Asked = Mapping[bytes, Sequence[bytes]]
"""The headers that the rules read, by their names in lower case, each with all of its values."""

HOST, ORIGIN, SITE = b"host", b"origin", b"sec-fetch-site"
FORWARDED_HOST, FORWARDED_PROTO = b"x-forwarded-host", b"x-forwarded-proto"
FORWARDED_FOR = b"x-forwarded-for"
READ = frozenset({HOST, ORIGIN, SITE, FORWARDED_HOST, FORWARDED_PROTO, FORWARDED_FOR})
"""The headers that the rules read."""

OWN = frozenset({b"same-origin", b"none"})
"""The values of Sec-Fetch-Site for requests by a page of this address, and by a person (a typed address, a bookmark). A
page of another port of this machine has `same-site`, which does not count as this address."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""The methods that change nothing. A request with any other method changes something."""

HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
"""The headers of every answer, unless the answer sets them itself."""

_PORTS = {"http": "80", "ws": "80", "https": "443", "wss": "443"}
_MOST_REMEMBERED = 256
"""Admitted values of Host that are kept. Overflow rule: further ones are evaluated each time. A name that a renewed
certificate no longer has stays admitted until the restart."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The reason why an HTTP request is not served."""

    status: int
    reason: str
    """The reason as a constant, for programs."""
    detail: str
    """The reason as a sentence, for people. It gives the setting that allows the request, if there is one."""


MISSING = Refusal(400, "HOST_MISSING", "the request has no Host header, which HTTP/1.1 requires")
REPEATED = Refusal(400, "HOST_REPEATED", "the request has more than one Host header")
INVALID = Refusal(400, "HOST_INVALID", "the Host header is not HOST or HOST:PORT")
FOREIGN = Refusal(
    403,
    "FOREIGN_PAGE",
    "a page of another site may not change anything here, nor open a stream. Behind a reverse proxy that changes the "
    "Host header, add the address of the proxy to [security] trusted_proxies, and let it send X-Forwarded-Host",
)


class HttpRules:
    """The rules for the requests of one HTTP port."""

    def __init__(
        self,
        hosts: HostNames,
        *,
        tls: bool = False,
        trusted_proxies: Iterable[Network] = (),
        same_host: bool = False,
        origins: Iterable[str] = (),
    ) -> None:
        """`tls`: whether the port uses TLS. `trusted_proxies`: networks of reverse proxies whose X-Forwarded-Host and
        X-Forwarded-Proto are trusted, and whose X-Forwarded-For is used in records. `same_host`: whether pages of other
        ports of the same host may act too, as the legacy contract of the port requires. `origins`: further origins
        whose pages may act."""
        self._hosts = hosts
        self._tls = tls
        self._trusted = tuple(trusted_proxies)
        self._same_host = same_host
        self._origins = frozenset(each.encode() for each in origins)
        self._remembered: dict[bytes, Authority] = {}

    def refuse(self, asked: Asked, *, client: str = "", version: str = "1.1", acts: bool = False) -> Refusal | None:
        """Return why a request is refused; None if it is served. `client` is the IP address of the connection;
        `version` is the version of HTTP; `acts` is true if the request changes something or opens a stream."""
        host = self._requested_host(asked, client, version)
        if isinstance(host, Refusal):
            return host
        if acts and self.is_of_page(asked) and self._is_foreign(asked, host, tls=self.is_tls(asked, client)):
            return FOREIGN
        return None

    def is_tls(self, asked: Asked, client: str) -> bool:
        """Return whether the client reached the port, or a trusted proxy in front of it, over TLS."""
        if self.is_trusted_proxy(client):
            scheme = b",".join(asked.get(FORWARDED_PROTO, ())).split(b",")[0].strip().lower()
            if scheme:
                return scheme == b"https"
        return self._tls

    def reported_client(self, asked: Asked, client: str) -> str:
        """Return the IP address of the client, for records and limits: the address of the connection, or the address
        that a trusted proxy reports."""
        if not self.is_trusted_proxy(client):
            return client
        chain = [each.strip() for each in b",".join(asked.get(FORWARDED_FOR, ())).decode("latin-1").split(",")]
        for address in reversed(chain):  # each proxy has appended the address of its client
            if usual_address(address) is None:
                break
            client = address
            if not self.is_trusted_proxy(address):
                break
        return client

    def is_own_page(self, asked: Asked, client: str) -> bool:
        """Return whether the headers of a request prove that it comes from a page of the port's own origin. The header
        Sec-Fetch-Site decides; if the browser does not send it, the header Origin decides. `refuse` must have admitted
        the request."""
        origins, sites = asked.get(ORIGIN, ()), asked.get(SITE, ())
        if sites:
            return set(sites) == {b"same-origin"}
        host = self._requested_host(asked, client, "1.1")
        if host is None or isinstance(host, Refusal) or len(origins) != 1:
            return False
        return _is_origin_of(origins[0], host, tls=self.is_tls(asked, client))

    def requested_origin(self, asked: Asked, client: str) -> str:
        """Return the origin of this port as its client sees it, such as `https://HOST`; empty if the request has no
        Host header. `refuse` must have admitted the request."""
        host = self._requested_host(asked, client, "1.0")
        if host is None or isinstance(host, Refusal):
            return ""
        return _origin("https" if self.is_tls(asked, client) else "http", host)

    @staticmethod
    def is_of_page(asked: Asked) -> bool:
        """Return whether a request has one of the headers with which browsers identify the page that sends it."""
        return ORIGIN in asked or SITE in asked

    def _requested_host(self, asked: Asked, client: str, version: str) -> Authority | Refusal | None:
        """Return the host that a client asked for, also through a trusted proxy; None if HTTP/1.0 names none."""
        host = self._host(asked.get(HOST, ()), version)
        return self._outside(asked, host) if self.is_trusted_proxy(client) and not isinstance(host, Refusal) else host

    def _outside(self, asked: Asked, host: Authority | None) -> Authority | Refusal | None:
        """Return the host that the client asked a proxy for; `host` if the proxy does not say it."""
        outside = b",".join(asked.get(FORWARDED_HOST, ()))
        for text in reversed(outside.split(b",") if outside else []):
            known = self._known(text.strip())  # the first one, which the client asked for, remains
            if isinstance(known, Refusal):
                return known
            host = known
        return host

    def _host(self, values: Sequence[bytes], version: str) -> Authority | Refusal | None:
        if len(values) == 1:
            return self._known(values[0])
        if values:
            return REPEATED
        return None if version in ("1.0", "0.9") else MISSING  # no page can send such a request

    def _known(self, value: bytes) -> Authority | Refusal:
        known = self._remembered.get(value)
        if known is not None:
            return known
        try:
            authority = parse_authority(value.decode("ascii"))
        except ValueError:
            return INVALID
        if not self._hosts.admits(authority.host):
            return Refusal(
                421,
                "HOST_NOT_ALLOWED",
                f"this port does not answer for the host name {authority.host!r}. If the name belongs to this system, "
                "add it to [security] http_hosts (TRON_SECURITY_HTTP_HOSTS, --http-hosts)",
            )
        if len(self._remembered) < _MOST_REMEMBERED:
            self._remembered[value] = authority
        return authority

    def is_trusted_proxy(self, client: str) -> bool:
        """Return whether a connection comes from a reverse proxy whose headers are trusted."""
        return bool(self._trusted) and in_networks(client, self._trusted)

    def _is_foreign(self, asked: Asked, host: Authority | None, *, tls: bool) -> bool:
        """Return whether a request comes from a page that may not act.

        Browsers say in Sec-Fetch-Site what the page is, but not over plain HTTP to another machine. There they send
        the origin of the page, which must be the requested one. A page cannot set these headers.
        """
        origins, sites = asked.get(ORIGIN, ()), asked.get(SITE, ())
        if len(origins) == 1 and origins[0] in self._origins:
            return False
        if self._same_host and origins:
            return not (len(origins) == 1 and host is not None and _on_same_host(origins[0], host, tls=tls))
        if sites:
            return not OWN.issuperset(sites)
        return not (len(origins) == 1 and host is not None and _is_origin_of(origins[0], host, tls=tls))


def in_networks(client: str, networks: Iterable[Network]) -> bool:
    """Return whether the IP address of a connection is in one of the networks; False if it is not an IP address."""
    try:
        address = ipaddress.ip_address(client.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return any((mapped or address) in each or address in each for each in networks)


def parse_origin(text: str) -> str:
    """Return an origin as browsers send it: `https://HOST`, with the port unless it is the default port. Raises
    ValueError with a message that explains the mistake."""
    parts = urlsplit(text.strip())
    try:
        page = parse_authority(parts.netloc)
        if parts.scheme not in ("http", "https") or parts.path or {"?", "#"} & set(text):
            raise ValueError
    except ValueError:
        raise ValueError(f"{text!r} is not an origin; write, for example, https://hmi.example:8443") from None
    return _origin(parts.scheme, page)


def _origin(scheme: str, page: Authority) -> str:
    host = f"[{page.host}]" if ":" in page.host else page.host
    port = "" if page.port.lstrip("0") in ("", _PORTS[scheme]) else f":{int(page.port)}"
    return f"{scheme}://{host}{port}"


def parse_network(text: str) -> Network:
    """Return the network with this text; an IP address is a network of one address. Raises ValueError with a message
    that explains the mistake."""
    try:
        return ipaddress.ip_network(text.strip())
    except ValueError:
        raise ValueError(f"{text!r} is not an IP address or a network; write, for example, 10.1.0.0/16") from None


def _parse_origin(origin: bytes, *, tls: bool) -> tuple[str, Authority] | None:
    """Return the scheme and the authority of an origin; None for `null`, for an invalid origin, and for a page in
    plaintext, which a network can forge, if `tls`."""
    try:
        parts = urlsplit(origin.decode("ascii"))
        authority = parse_authority(parts.netloc)
    except ValueError:
        return None
    if parts.scheme not in _PORTS or (tls and parts.scheme not in ("https", "wss")):
        return None
    return parts.scheme, authority


def _is_origin_of(origin: bytes, host: Authority, *, tls: bool) -> bool:
    found = _parse_origin(origin, tls=tls)
    if found is None:
        return False
    scheme, page = found
    default = _PORTS[scheme]
    return page.host == host.host and (page.port or default) == (host.port or default)


def _on_same_host(origin: bytes, host: Authority, *, tls: bool) -> bool:
    found = _parse_origin(origin, tls=tls)
    if found is None:
        return False
    page = found[1].host
    return page == host.host or (_is_here(page) and _is_here(host.host))


def _is_here(host: str) -> bool:
    return host == "localhost" or is_loopback(host)
