"""The objects from which all ports answer requests: the replica, and the connections to the registry and to TRON."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from grid_model.access import LOCAL, Role
from tron_client import AsyncRegistryClient

from gateway_http.config import Config
from gateway_http.http.asgi import Headers
from gateway_http.http.event_streams import EventStreams
from gateway_http.http.problems import Refused
from gateway_http.replica.replica import Replica
from gateway_http.replica.watch_log import WatchLog
from gateway_http.upstream.actions import Actions
from gateway_http.upstream.tron_status import TronStatusPoller
from grid_hosting.open_calls import current_principal

_LIVE = (b"x-registry-live", b"true")
_NOT_LIVE = (b"x-registry-live", b"false")
_WATCHED = (b"x-tron-watching", b"true")
_NOT_WATCHED = (b"x-tron-watching", b"false")

NOTHING_HEARD = "the registry is unreachable, and no data has been received from it yet"


@dataclass(frozen=True, slots=True)
class Gateway:
    """The objects that all ports share: the copy of the registry's data, the clients of the registry and of TRON, and
    the open streams."""

    config: Config
    replica: Replica
    registry: AsyncRegistryClient
    """The client for reads that the replica cannot answer. It calls the registry in the name of the caller, and raises
    the errors of `tron_client.errors`."""
    actions: Actions
    """The operations that change data at the registry."""
    tron: TronStatusPoller
    watched: WatchLog
    """The periods in which TRON was not watching the services."""
    streams: EventStreams
    closing: asyncio.Event
    """Set when all streams must end because the gateway stops."""

    @property
    def max_body_bytes(self) -> int:
        """The maximum size of one request body, in bytes."""
        return self.config.max_body_bytes

    @property
    def data_dir(self) -> Path:
        """The directory for data that survives a restart."""
        return self.config.data_dir

    def freshness(self) -> Headers:
        """Return the HTTP headers that every answer to a read carries: whether the data is current, and whether TRON is
        watching."""
        watched = _WATCHED if self.tron.status.watching else _NOT_WATCHED
        if self.replica.live or not self.shows_everything():  # the registry has answered
            return (_LIVE, watched)
        return (_NOT_LIVE, watched, (b"age", b"%d" % self.replica.stale_for))

    def freshness_as_text(self) -> dict[str, str]:
        """Return the headers of `freshness` as strings, for the responses of FastAPI."""
        return {name.decode(): value.decode() for name, value in self.freshness()}

    @staticmethod
    def shows_everything() -> bool:
        """Return whether the caller of the current request may read all services and events. If so, the replica answers
        the request. Otherwise the gateway asks the registry in the caller's name, because the registry knows who owns
        each id."""
        caller = current_principal()
        return caller is LOCAL or caller.may_everywhere(Role.OBSERVER)

    def need_snapshot(self) -> None:
        """Raise Refused (503) if no snapshot has been received yet: an empty answer would wrongly report that there are
        no services."""
        if not self.replica.loaded:
            raise Refused(503, NOTHING_HEARD)
