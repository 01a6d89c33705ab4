"""What all requests are answered from, on all ports: the replica to read, and what is asked upstream."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from tron_client import AsyncRegistryClient

from gateway_http.config import Config
from gateway_http.http.asgi import Headers
from gateway_http.http.event_streams import EventStreams
from gateway_http.http.problems import Refused
from gateway_http.replica.replica import Replica
from gateway_http.replica.watch_log import WatchLog
from gateway_http.upstream.actions import Actions
from gateway_http.upstream.tron_status import TronStatusPoller

_LIVE = (b"x-registry-live", b"true")
_NOT_LIVE = (b"x-registry-live", b"false")
_WATCHED = (b"x-tron-watching", b"true")
_NOT_WATCHED = (b"x-tron-watching", b"false")

NOTHING_HEARD = "the registry is away, and nothing was heard of it yet"


@dataclass(frozen=True, slots=True)
class Gateway:
    """One connection to the registry and one to TRON, and what was learned over them."""

    config: Config
    replica: Replica
    registry: AsyncRegistryClient
    """For reads that the replica does not hold; its errors are those of `tron_client.errors`."""
    actions: Actions
    """For everything that changes something."""
    tron: TronStatusPoller
    watched: WatchLog
    """When the services were not watched."""
    streams: EventStreams
    closing: asyncio.Event
    """Set when streams must end, because the gateway does."""

    @property
    def max_body_bytes(self) -> int:
        """Size of one request's body."""
        return self.config.max_body_bytes

    @property
    def data_dir(self) -> Path:
        """The folder for data that outlives a restart."""
        return self.config.data_dir

    def freshness(self) -> Headers:
        """Headers of every read: whether it is current, and whether TRON is watching."""
        watched = _WATCHED if self.tron.status.watching else _NOT_WATCHED
        if self.replica.live:
            return (_LIVE, watched)
        return (_NOT_LIVE, watched, (b"age", b"%d" % self.replica.stale_for))

    def freshness_as_text(self) -> dict[str, str]:
        """The same, as FastAPI's responses take them."""
        return {name.decode(): value.decode() for name, value in self.freshness()}

    def need_snapshot(self) -> None:
        """Raise Refused (503) before the first snapshot: there is nothing to show, which is not an empty fleet."""
        if not self.replica.loaded:
            raise Refused(503, NOTHING_HEARD)
