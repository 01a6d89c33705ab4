"""Checks whether a program can listen on an address, and explains in one line why it cannot."""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import suppress
from pathlib import Path

from grid_hosting.addresses import ListenAddress, is_loopback, join, parse_listen
from grid_hosting.start import StartError


def concrete_host(address: ListenAddress) -> str:
    """Return the host to bind for an address. If the address means every interface, this is `::` if one socket can
    accept both IPv4 and IPv6 on this machine, and `0.0.0.0` otherwise."""
    if address.host:
        return address.host
    return "::" if socket.has_dualstack_ipv6() else "0.0.0.0"


def bind_socket(listen: str) -> tuple[socket.socket, str]:
    """Return a socket that is bound to an address, and the address with its actual port. Raises StartError, with one
    line that explains the reason."""
    address = parse_listen(listen)
    host = concrete_host(address)
    family, kind, protocol, _, where = _resolve(listen, host, address.port)[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and host == "::":
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        bound.bind(where)
    except OSError as error:
        bound.close()
        raise StartError(_why(listen, error)) from error
    return bound, join(host, bound.getsockname()[1])


def check_bindable(listen: str) -> None:
    """Raise StartError, with one line, if no program can listen on the address now. Raises ValueError for an invalid
    address."""
    bind_socket(listen)[0].close()


def is_exposed(address: str) -> bool:
    """Return whether other machines can reach a server that listens on `address`. A host name that cannot be resolved
    counts as exposed."""
    parsed = parse_listen(address)
    if parsed.everywhere:
        return True
    try:
        found = socket.getaddrinfo(parsed.host, parsed.port, type=socket.SOCK_STREAM)
    except OSError:
        return True
    return not all(is_loopback(str(each[4][0])) for each in found)


def bound_beyond_loopback(address: str) -> bool:
    """Return whether other machines can reach a server of this process that is bound to `address`. This depends on the
    bound sockets and not on the text, because a name may resolve to any address."""
    hosts = _bound_hosts(int(address.rpartition(":")[2]))
    return is_exposed(address) if not hosts else not all(map(is_loopback, hosts))


def _bound_hosts(port: int) -> set[str]:
    """Return the IP addresses at which TCP sockets of this process await connections at one port; none if the system
    does not list open files."""
    try:
        numbers = [int(each.name) for each in Path("/dev/fd").iterdir()]
    except (OSError, ValueError):
        return set()
    found = set()
    for number in numbers:
        with suppress(OSError):
            if not stat.S_ISSOCK(os.fstat(number).st_mode):
                continue
            with socket.socket(fileno=os.dup(number)) as each:
                if each.family not in (socket.AF_INET, socket.AF_INET6) or each.type != socket.SOCK_STREAM:
                    continue
                host, bound, *_ = each.getsockname()
                if bound == port and not _connected(each):
                    found.add(str(host))
    return found


def _connected(each: socket.socket) -> bool:
    try:
        each.getpeername()
    except OSError:
        return False
    return True


def _resolve(listen: str, host: str, port: int) -> list[tuple[int, int, int, str, tuple[object, ...]]]:
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)  # type: ignore[return-value]
    except (OSError, UnicodeError) as error:
        raise StartError(_why(listen, error)) from error


def _why(listen: str, error: Exception) -> str:
    number = getattr(error, "errno", None)
    if number == errno.EADDRINUSE:
        return f"{listen} is in use; stop the program that listens there, or choose another address"
    if number == errno.EADDRNOTAVAIL:
        return f"cannot listen on {listen}: this machine has no such address"
    return f"cannot listen on {listen}: {getattr(error, 'strerror', None) or error}"
