"""Decides for which host names an HTTP port answers. Pure: no name is resolved.

The author of a web page can let the host name of the page resolve to the address of this machine (DNS rebinding). A
browser then treats the page and this port as one site; only the name in the `Host` header shows the difference.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from grid_hosting.addresses import is_loopback

_AUTHORITY = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{0,5}))?", re.ASCII)
_NAME = re.compile(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Authority:
    """The host and the port of a URL."""

    host: str
    """A name in lower case without a dot at its end, or an IP address in its usual form, without brackets."""
    port: str
    """Empty if it is not given."""


def parse_authority(text: str) -> Authority:
    """Return the parsed `HOST` or `HOST:PORT`. Raises ValueError if it is neither."""
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        raise ValueError("it is not HOST or HOST:PORT")
    host, port = found[1].lower(), found[2] or ""
    if host.startswith("["):
        return Authority(str(ipaddress.IPv6Address(host[1:-1])), port)
    return Authority(host.removesuffix("."), port)


def check_host_name(text: str) -> str:
    """Return an entry of the setting `http_hosts`, a host name or an IP address, in the form that `HostNames` compares.
    Raises ValueError with a message that explains the mistake."""
    host = text.strip().lower()
    if (address := usual_address(host.removeprefix("[").removesuffix("]"))) is not None:
        return address
    host = host.removesuffix(".")
    if host == "*":
        raise ValueError("'*' would admit every web page whose host name resolves to this machine; list the names")
    if not _NAME.fullmatch(host):
        raise ValueError(
            f"{text!r} is not a host name; write a name or an IP address without scheme and port, or *.NAME"
        )
    return host


class HostNames:
    """The host names for which one HTTP port answers: those of loopback, those that are configured, and those in its
    certificate."""

    def __init__(
        self, names: Iterable[str], *, any_address: bool, certified: Callable[[], Iterable[str]] = tuple
    ) -> None:
        """`names` are in the form that `check_host_name` returns. If `any_address` is true, every IP address is
        admitted, because other machines can reach the port, perhaps by another address, and only names can be rebound.
        `certified` returns the names in the current certificate of the port."""
        self._names = frozenset(names)
        self._any_address = any_address
        self._certified = certified

    def admits(self, host: str) -> bool:
        """Return whether the port answers for a host. The host must be in the form that `parse_authority` returns."""
        if host == "localhost" or is_loopback(host):
            return True
        if usual_address(host) is not None:
            return self._any_address or host in self._names
        return _named(host, self._names) or _named(host, self._certified())


def _named(host: str, names: Iterable[str]) -> bool:
    return any(host == each or (each.startswith("*.") and host.endswith(each[1:])) for each in names)


def usual_address(text: str) -> str | None:
    """Return an IP address in its usual form; None if the text is not an IP address."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def split_target(target: str) -> tuple[str, str]:
    """Return the authority in an absolute URL of a request line, without user information, and everything that follows
    it. The authority may be invalid, and both are empty for any other target; this raises nothing."""
    rest = target.partition("://")[2]
    end = min((at for mark in "/?#" if (at := rest.find(mark)) >= 0), default=len(rest))
    return rest[:end].rpartition("@")[2], rest[end:]
