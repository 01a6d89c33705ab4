"""Parses addresses, each of which is `host:port` or a target of gRPC, and says what is wrong with any other text.

gRPC accepts every text as a name and tries forever to resolve it, so a wrong address must be refused here. This module
does no I/O.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from tron_client.tls import NO_FILES, TlsFiles

DEFAULT_REGISTRY = "127.0.0.1:6122"
DEFAULT_MONITOR = "127.0.0.1:6123"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_SOCKETS = ("unix:", "unix-abstract:", "vsock:")
_SHORT_LOOPBACK = re.compile(r"127(\.\d+){0,3}")  # "127.1" is loopback to every resolver


@dataclass(frozen=True, slots=True)
class Address:
    """A valid address: its text in the form that gRPC accepts, and the hosts and ports in it (none for a Unix
    socket)."""

    text: str
    endpoints: tuple[tuple[str, int], ...] = ()

    @property
    def local(self) -> bool:
        """Whether every host in the address is clearly on this machine. Such a connection must not use a proxy."""
        return all(is_local(host) for host, _ in self.endpoints)

    @property
    def files(self) -> TlsFiles:
        """The certificates that were given with the address; if there are none, those of the environment are used."""
        return NO_FILES

    @property
    def plaintext(self) -> bool:
        """Whether the connection must be plaintext, even if the environment contains certificates."""
        return False

    @property
    def own_credentials(self) -> bool:
        """Whether the program gave gRPC credentials, whose content the SDK cannot read."""
        return False

    @property
    def token(self) -> object:
        """The source of the token that was given with the address; if it is None, the environment or the profile gives
        the token."""
        return None

    def __str__(self) -> str:
        return self.text


def is_local(host: str) -> bool:
    """Return whether a host is clearly this machine: a loopback address, the unspecified address, or `localhost`."""
    host = host.strip("[]").rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost") or _SHORT_LOOPBACK.fullmatch(host):
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    address = address if mapped is None else mapped
    return address.is_loopback or address.is_unspecified


def parse_address(text: object, field: str, default: str = DEFAULT_REGISTRY) -> Address:
    """Return the parsed address. Raises ValueError, whose text begins with `field` and suggests a valid address;
    `default` is only used as the example in that text.

    Surrounding white space is removed. `unix:PATH`, `unix-abstract:NAME`, `dns:HOST:PORT`, `ipv4:` and `ipv6:` have the
    meaning that gRPC gives them.
    """
    if not isinstance(text, str):
        raise ValueError(f"{field}: must be a string such as {default!r}, not {type(text).__name__}")
    given = text
    text = text.strip()
    if not text:
        raise ValueError(f"{field}: is empty; write host:port, such as {default}")
    if any(sign.isspace() or not sign.isprintable() for sign in text):
        raise ValueError(f"{field}: {given!r} has white space in it; write host:port, such as {default}")
    if text.startswith(_SOCKETS):
        if not text.partition(":")[2].lstrip("/"):
            raise ValueError(f"{field}: {given!r} has no path of a socket; write unix:/path/of/the/socket")
        return Address(text)
    scheme, rest = _scheme_of(text)
    if scheme in ("ipv4", "ipv6"):
        return Address(text, tuple(_endpoint(each, given, field, default) for each in rest.split(",")))
    if scheme == "dns":
        # dns:[//authority/]host:port
        rest = rest[2:].partition("/")[2] if rest.startswith("//") else rest
        return Address(text, (_endpoint(rest, given, field, default),))
    if scheme:
        raise ValueError(f"{field}: {given!r} has a scheme; {_instead(rest, default)}")
    return Address(text, (_endpoint(text, given, field, default),))


def _scheme_of(text: str) -> tuple[str, str]:
    known = text.partition(":")[0].lower()
    if known in ("dns", "ipv4", "ipv6") and text[len(known) :].startswith(":"):
        rest = text[len(known) + 1 :]
        # A host may have such a name: `dns:53` is a host and its port.
        return ("", text) if known == "dns" and rest.isdecimal() else (known, rest)
    found = _SCHEME.match(text)
    return (found[1].lower(), text[found.end() :]) if found else ("", text)


def _instead(rest: str, default: str) -> str:
    """Return what to write instead of an address with a scheme."""
    bare = re.split(r"[/?#]", rest.rpartition("@")[2])[0]
    try:
        host, _ = _endpoint(bare, bare, "", default)
    except ValueError:
        return f"write host:port, such as {default}"
    port = default.rpartition(":")[2]
    if bare.endswith(f":{port}"):
        return f"write {bare}"
    return f"write host:port of the gRPC server, by default {_bracketed(host)}:{port}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _endpoint(text: str, given: str, field: str, default: str) -> tuple[str, int]:
    usual = default.rpartition(":")[2]
    if text.startswith("["):
        host, closed, after = text[1:].partition("]")
        if not closed or (after and not after.startswith(":")):
            raise ValueError(f"{field}: {given!r} is not [IPv6 address]:port; write [::1]:{usual}")
        colon, port = after[:1], after[1:]
    else:
        if text.count(":") > 1:
            head, _, tail = text.rpartition(":")
            with_port = len(tail) >= 4 and tail.isdecimal() and _is_ipv6(head)
            hint = f"[{head}]:{tail}" if with_port else f"[{text}]:{usual}" if _is_ipv6(text) else f"[::1]:{usual}"
            raise ValueError(f"{field}: {given!r} has more than one colon; write an IPv6 address as {hint}")
        host, colon, port = text.partition(":")
    if any(sign in host for sign in "/?#@\\"):
        raise ValueError(f"{field}: {given!r} is not host:port; write it as {default}")
    if not host:
        raise ValueError(f"{field}: {given!r} has no host; write host:port, such as {default}")
    if not colon or not port:
        raise ValueError(f"{field}: {given!r} has no port; write {_bracketed(host)}:{usual}")
    if not (port.isascii() and port.isdecimal() and 1 <= int(port[:6]) <= 65535 and len(port) <= 5):
        raise ValueError(f"{field}: {given!r} has no valid port; it must be a number from 1 to 65535")
    return host, int(port)


def _is_ipv6(text: str) -> bool:
    try:
        return isinstance(ipaddress.ip_address(text.partition("%")[0]), ipaddress.IPv6Address)
    except ValueError:
        return False
