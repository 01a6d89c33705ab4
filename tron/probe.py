"""Checks whether the host of a suspect still accepts connections for it.

Only a refusal is evidence: the host is alive and nothing listens. A timeout may be caused by the network, and an open
port may belong to another program. The probe is off unless a policy enables it, and only connects to targets that the
settings allow, because a service chooses its own URL.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from urllib.parse import urlsplit

import structlog

log = structlog.get_logger("tron")

PROBE_TIMEOUT = 1.0

MAX_PROBES = 100
"""The most probes at a time. Overflow rule: the suspect is not probed, and is down after its grace as usual."""


class Prober:
    """Connects to the URLs of suspects. `targets`: each `host:port` or `host` to which it may connect."""

    def __init__(self, targets: frozenset[str]) -> None:
        self._targets = targets
        self._probes: set[asyncio.Task[None]] = set()

    def probe(self, service_id: str, url: str, confirmed: Callable[[], None]) -> None:
        """Connect to the service's URL, and call `confirmed` if the connection is refused."""
        target = target_of(url)
        if target is None or len(self._probes) >= MAX_PROBES:
            return
        host, port = target
        if not self._targets & {host, f"{host}:{port}"}:
            log.info("probe_not_allowed", service_id=service_id, target=f"{host}:{port}")
            return
        task = asyncio.create_task(_look(service_id, host, port, confirmed))
        self._probes.add(task)
        task.add_done_callback(self._probes.discard)

    async def close(self) -> None:
        """Cancel the probes in progress."""
        for task in self._probes:
            task.cancel()
        await asyncio.gather(*self._probes, return_exceptions=True)


def target_of(url: str) -> tuple[str, int] | None:
    """Return the host and port of a URL; None if the URL has no host, or has no port and its scheme has no default
    port."""
    defaults = {"http": 80, "https": 443}
    try:
        parts = urlsplit(url if "//" in url else f"//{url}")
        port = parts.port or defaults.get(parts.scheme)
    except ValueError:
        return None
    return (parts.hostname, port) if parts.hostname and port else None


async def _look(service_id: str, host: str, port: int, confirmed: Callable[[], None]) -> None:
    try:
        async with asyncio.timeout(PROBE_TIMEOUT):
            _, writer = await asyncio.open_connection(host, port)
    except ConnectionRefusedError:
        log.info("probe_refused", service_id=service_id, target=f"{host}:{port}")
        confirmed()
    except (OSError, TimeoutError) as error:
        log.info("probe_undecided", service_id=service_id, target=f"{host}:{port}", why=repr(error))
    else:
        log.info("probe_answered", service_id=service_id, target=f"{host}:{port}")
        writer.close()
