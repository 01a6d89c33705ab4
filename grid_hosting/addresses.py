"""The listen addresses of servers: parses them and explains mistakes. Pure: no name is resolved."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import unquote

IpAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

EXAMPLE = "127.0.0.1:6122"

_ALL_INTERFACES = frozenset({"", "0.0.0.0", "::", "*"})


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """A listen address. An empty `host` means every interface of this machine; port 0 means any free port."""

    host: str
    """A host name or an IP address, IPv6 without its brackets."""
    port: int

    @property
    def everywhere(self) -> bool:
        """Whether the address means every interface of this machine."""
        return self.host in _ALL_INTERFACES

    def __str__(self) -> str:
        return join(self.host, self.port)


def join(host: str, port: int) -> str:
    """Return `host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_listen(text: str) -> ListenAddress:
    """Return the parsed `HOST:PORT`, `[IPV6]:PORT` or `:PORT` (every interface). Raises ValueError with a message that
    explains the mistake."""
    if not text:
        raise ValueError(f"it is empty; write HOST:PORT, for example {EXAMPLE}")
    if "://" in text:
        raise ValueError(f"{text!r} has a scheme; write HOST:PORT, for example {EXAMPLE}")
    if text.startswith(("unix:", "unix-abstract:", "/")):
        raise ValueError(f"{text!r} is a Unix socket, which is not supported; write HOST:PORT, for example {EXAMPLE}")
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        raise ValueError(f"{text!r} has no port; write HOST:PORT, for example {text}:6122")
    if host.startswith("[") != host.endswith("]"):
        raise ValueError(f"{text!r} has an unmatched bracket; write [IPV6]:PORT, for example [::1]:6122")
    bracketed = host.startswith("[")
    host = host.strip("[]")
    if ":" in host and not bracketed:
        raise ValueError(f"{text!r} is ambiguous; write an IPv6 address in brackets, for example [::1]:6122")
    if bracketed and not _is_ipv6(host):
        raise ValueError(f"{host!r} is not an IPv6 address")
    if any(character.isspace() or not character.isprintable() or character in "/@?#" for character in host):
        raise ValueError(f"{host!r} is not a host name or an IP address")
    # int() would take signs, spaces and digits of other scripts.
    if not (port.isascii() and port.isdigit()):
        raise ValueError(f"the port {port!r} is not a number from 0 to 65535")
    if len(port) > 5 or int(port) > 65535:
        raise ValueError(f"the port {port} is above 65535")
    return ListenAddress("" if host == "*" else host, int(port))


def reachable_here(address: str) -> str:
    """Return the address by which a client on the same machine reaches a server: loopback if the server listens on
    every interface. A text that is not a listen address is returned unchanged."""
    try:
        parsed = parse_listen(address)
    except ValueError:
        return address
    if not parsed.everywhere:
        return address
    return join("127.0.0.1", parsed.port)


def is_loopback(ip: str) -> bool:
    """Return whether an IP address can be reached from this machine only."""
    try:
        parsed = ipaddress.ip_address(ip.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped.is_loopback
    return parsed.is_loopback


def grpc_peer(host: str, port: int) -> str:
    """Return the address of a connection in the form that gRPC uses, such as `ipv4:127.0.0.1:5000`. `host` is an IP
    address."""
    return f"ipv6:[{host}]:{port}" if ":" in host else f"ipv4:{host}:{port}"


def ip_of_peer(peer: str) -> IpAddress | None:
    """Return the IP address of a gRPC peer, such as `ipv4:127.0.0.1:5000`; None if the peer has no IP address. An IPv4
    address that is mapped to IPv6 is returned as IPv4."""
    host = unquote(peer.partition(":")[2].rpartition(":")[0]).strip("[]").partition("%")[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def client_block(peer: str) -> str:
    """Return the block of addresses that one client is assumed to control: its IPv4 address, or the network with the
    first 64 bits of its IPv6 address, in which it may choose any address. For a peer without an IP address, return the
    peer without its port."""
    address = ip_of_peer(peer)
    if address is None:
        return peer.rpartition(":")[0] or peer
    return str(ipaddress.ip_network((address, 32 if address.version == 4 else 64), strict=False))


def exposure_refusal(what: str, *addresses: str, tls: bool, authentication: bool, insecure: bool) -> str | None:
    """Return one line that explains why a server may not listen on addresses that other machines can reach; None if it
    may.

    `tls` and `authentication`: whether they are configured. `insecure`: whether the user allows such addresses without
    them. Tokens in plaintext are never allowed.
    """
    if (tls and authentication) or (insecure and not authentication):
        return None
    where = f"{what} does not listen on {', '.join(addresses)}: other machines can reach that address, and"
    if authentication:
        return (
            f"{where} without TLS the tokens of callers would be readable on the network. Set [security] cert and key, "
            "or listen on 127.0.0.1"
        )
    missing = "callers do not authenticate" if tls else "TLS and authentication are not configured"
    return (
        f"{where} {missing}. Set [security] cert and key, and authentication (tron security enable does that), or "
        "listen on 127.0.0.1; --insecure-listen allows it without authentication"
    )


def exposure_warning(what: str, address: str, *, tls: bool = False) -> str:
    """Return a warning about a server that other machines can reach and that does not authenticate its callers. `tls`:
    whether its connections are encrypted."""
    port = address.rpartition(":")[2]
    if tls:
        return (
            f"{what} listens on {address}, which other machines can reach. Connections are encrypted, but callers do "
            "not authenticate: anyone who can connect can register, change and remove services and acknowledge "
            "alerts. Set [security] authentication."
        )
    return (
        f"{what} listens on {address} without TLS, and other machines can reach it: anyone who reaches it can "
        "read everything, register, change and remove services, and acknowledge alerts. Set [security] cert, key and "
        f"authentication, or listen on 127.0.0.1 and connect through an SSH tunnel (ssh -L {port}:127.0.0.1:{port} "
        "HOST)."
    )


def _is_ipv6(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True
