"""Finds the proxy that the environment variables set for an address, by the rules of gRPC or by those of HTTP clients.

Loopback and Unix sockets never use a proxy: a proxy elsewhere cannot reach them, and a proxy on this machine has no
purpose. For all other addresses, gRPC and HTTP clients read different variables: gRPC reads `grpc_proxy`,
`https_proxy`, `http_proxy` (lower case) and `no_grpc_proxy`, `no_proxy`; HTTP clients read `http_proxy` or
`https_proxy`, else `all_proxy`, and `no_proxy`, in upper or lower case.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tron_client.address import is_local

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tron_client.address import Address

_GRPC = ("grpc_proxy", "https_proxy", "http_proxy")


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy: its URL, and the environment variable that contains the URL. `str()` of a Proxy describes both for
    people, without the credentials in the URL."""

    variable: str
    url: str

    def __str__(self) -> str:
        scheme, separator, rest = self.url.rpartition("://")
        return f"the proxy {scheme}{separator}{rest.rpartition('@')[2].rstrip('/')} (from {self.variable})"

    @property
    def endpoint(self) -> tuple[str, int] | None:
        """The host and port of the proxy; None if the URL has no host."""
        try:
            parts = urlsplit(self.url if "://" in self.url else f"http://{self.url}")
            port = parts.port or {"https": 443, "socks5": 1080, "socks5h": 1080}.get(parts.scheme, 80)
        except ValueError:
            return None
        return (parts.hostname, port) if parts.hostname else None


def grpc_proxy(address: Address, environ: Mapping[str, str]) -> Proxy | None:
    """Return the proxy that gRPC uses for an address; None if gRPC connects directly."""
    if address.local:
        return None
    found = next((Proxy(name, environ[name]) for name in _GRPC if environ.get(name)), None)
    # The empty one counts too: it is how one says "but not for gRPC".
    excluded = environ.get("no_grpc_proxy") or environ.get("no_proxy", "")
    if found is None or not found.url.startswith("http://"):  # gRPC speaks to no other kind
        return None
    return None if all(_excluded(host, port, excluded) for host, port in address.endpoints) else found


def http_proxy(url: str, environ: Mapping[str, str]) -> Proxy | None:
    """Return the proxy that an HTTP request to a URL must use; None if the request is sent directly."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return None
    host = parts.hostname or ""
    if is_local(host) or _excluded(host, port, _either(environ, "no_proxy")[1]):
        return None
    for name in (f"{parts.scheme}_proxy", "all_proxy"):
        # A CGI program finds the header `Proxy` of a request in HTTP_PROXY.
        found, value = _either(environ, name, upper=not (name == "http_proxy" and "REQUEST_METHOD" in environ))
        if value:
            return Proxy(found, value if "://" in value else f"http://{value}")
        if found:
            return None
    return None


def _either(environ: Mapping[str, str], name: str, *, upper: bool = True) -> tuple[str, str]:
    """Return the variable that is set, lower case first, and its value; two empty texts if neither is set."""
    for each in (name, name.upper()) if upper else (name,):
        if each in environ:
            return each, environ[each].strip()
    return "", ""


def _excluded(host: str, port: int, no_proxy: str) -> bool:
    """Return whether `no_proxy` names a host: the host itself, a domain above it, `host:port`, a network such as
    10.0.0.0/8, or `*`."""
    host = host.strip("[]").rstrip(".").lower()
    for raw in no_proxy.split(","):
        entry = raw.strip().lower()
        if not entry:
            continue
        if entry == "*":
            return True
        if _in_network(host, entry):
            return True
        name, colon, digits = entry.rpartition(":")
        if colon and digits.isdecimal() and (":" not in name or name.startswith("[")):
            if int(digits) != port:
                continue
            entry = name
        entry = entry.strip("[]").removeprefix("*").removeprefix(".")
        if host == entry or host.endswith(f".{entry}"):
            return True
    return False


def _in_network(host: str, entry: str) -> bool:
    if "/" not in entry:
        return False
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False
