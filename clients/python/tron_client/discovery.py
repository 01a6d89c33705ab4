"""Finds the address of TRON from the registry, where TRON registers itself like any other service. This module does no
I/O."""

from __future__ import annotations

from urllib.parse import urlsplit

from tron_client.address import Address, is_local, parse_address

MONITOR_SERVICE_ID = "tron-heartbeat-monitor"
"""The service id under which TRON registers itself."""

_EVERYWHERE = frozenset({"0.0.0.0", "::", ""})


class Unreachable(ValueError):
    """TRON is registered, but this client cannot use TRON's URL; the text explains why."""


def monitor_address(url: str, registry: Address) -> Address:
    """Return TRON's address. `url` is the URL with which TRON registered itself; `registry` is the address at which the
    registry was reached.

    If TRON listens on every interface, it is assumed to be on the host of the registry. Raises Unreachable if the URL
    is not valid, or if TRON can be reached only from its own machine.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    if port is None:
        raise Unreachable(f"TRON is registered with the url {url!r}, which does not have a host and a port")
    if host in _EVERYWHERE:
        hosts = [each for each, _ in registry.endpoints]
        host = "127.0.0.1" if registry.local or not hosts else hosts[0]
    elif is_local(host) and not registry.local:
        raise Unreachable(f"TRON listens only on {host}:{port} of its own machine, so it cannot be reached from here")
    try:
        return parse_address(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", "url")
    except ValueError as error:
        raise Unreachable(f"TRON is registered with the url {url!r}: {error}") from error
