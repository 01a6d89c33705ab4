"""What the registry says, live, once for all requests and browsers: one watch, one event subscription."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tron_client.models import Event, Service


@dataclass(frozen=True, slots=True)
class Update:
    """What a subscriber has not seen yet, merged: the newest state of each service, never a queue."""

    revision: int
    """The revision that the copy is true at."""
    snapshot: bool = False
    """Forget everything first: `upserted` is all there is."""
    upserted: tuple[Service, ...] = ()
    removed: tuple[str, ...] = ()
    heard: Mapping[str, datetime] = field(default_factory=dict)
    """Services of which nothing changed but when they were last heard (`last_heartbeat_at`)."""
    live: bool = True
    stale_for: float = 0.0


@dataclass(frozen=True, slots=True)
class Gap:
    """Events between the cursor and `first` can not be told any more: read the list anew."""

    first: int


class LiveFeed:
    """The copy and its state. Reads never wait and never fail."""

    @property
    def loaded(self) -> bool:
        """Whether a first snapshot was complete; before it there is nothing to show, which is not an empty fleet."""
        raise NotImplementedError

    @property
    def live(self) -> bool:
        """Whether the copy follows the registry now."""
        raise NotImplementedError

    @property
    def stale_for(self) -> float:
        """Seconds since the copy was last known to be current; 0 while live."""
        raise NotImplementedError

    @property
    def revision(self) -> int:
        """The registry's revision that the copy is true at."""
        raise NotImplementedError

    @property
    def services(self) -> Mapping[str, Service]:
        """All services by id, with their newest `last_heartbeat_at`. A snapshot: it does not change under the reader."""
        raise NotImplementedError

    def service(self, service_id: str) -> Service | None:
        """One service; None where there is none."""
        raise NotImplementedError

    @property
    def events(self) -> Sequence[Event]:
        """The newest events of the log, oldest first; at most 1000."""
        raise NotImplementedError

    def subscribe(self, after: int | None = None) -> AsyncIterator[Update]:
        """What changed after a revision (None, or one that is no longer kept: a snapshot first), then live.

        Also yields when `live` changes. Overflow rule: nothing queues; a slow reader gets the newest state.
        """
        raise NotImplementedError

    def subscribe_events(self, after: int | None = None) -> AsyncIterator[Event | Gap]:
        """Events after a sequence (None: only new ones), then live ones; a Gap where some are no longer kept."""
        raise NotImplementedError
