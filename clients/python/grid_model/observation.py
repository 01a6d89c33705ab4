"""What the registry tells TRON: facts about services, copies of alerts, and frames of both. Pure values."""

from __future__ import annotations

from dataclasses import dataclass

from grid_model.event import Event
from grid_model.liveness import Liveness, LivenessCause
from grid_model.service import Maintenance


@dataclass(slots=True)
class Facts:
    """What the registry says about one service. Times `*_at` are attentive seconds; None: did not happen.

    Not to be changed. It is not frozen only because thousands are made in one moment, and a frozen one takes twice as
    long to make.
    """

    service_id: str
    name: str
    incarnation: int
    observation: int
    parent: str
    interval: float
    reconnect_grace: float | None
    connected: bool
    streamed: bool
    attached_at: float | None
    detached_at: float | None
    heard_at: float
    last_heartbeat_at: float
    """Seconds since the epoch; for people, never for judgement."""
    judged: Liveness
    cause: LivenessCause
    judged_at: float
    missed_beats: int
    stall_after: float | None = None
    active_at: float = 0.0
    busy_until_at: float | None = None
    busy_declared_at: float | None = None
    busy_until: float | None = None
    """Seconds since the epoch, as the service said it; for people."""
    url: str = ""
    process: str = ""
    """The process whose other agents it shares a stream with; empty if it is alone."""
    notified: tuple[str, ...] = ()
    """The recipients of the alert of its last DOWN."""
    held_alert: Event | None = None
    """That alert, if nobody received it yet."""
    grouped_into: str = ""
    """The alert of another service that lists this one as failed with it."""
    maintenance: Maintenance | None = None
    """Set while an operator holds notices about it."""
    detached_reason: str = ""
    """Why the registry itself ended its last stream, as the name of an error reason; empty if the other side did."""

    @property
    def maintained(self) -> bool:
        """Whether an operator holds notices about it."""
        return self.maintenance is not None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One copy of an alert that its recipient has not acknowledged. `since` in attentive seconds. `escalated`: it went
    on to another recipient, or the alert of another service lists it."""

    event: Event
    since: float
    escalated: bool = False


@dataclass(frozen=True, slots=True)
class Forebear:
    """A service that is gone, whose parent may still have to be notified."""

    service_id: str
    name: str
    parent: str


@dataclass(frozen=True, slots=True)
class Frame:
    """The facts of one moment, or a part of them: complete up to `now` (attentive seconds) if `snapshot_complete` came
    with it or before. Beats are (incarnation, observation, attentive second)."""

    now: float
    hearing_since: float
    observations: tuple[Facts, ...] = ()
    beats: tuple[tuple[int, int, float], ...] = ()
    removed: tuple[str, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    deliveries_ended: tuple[tuple[str, str], ...] = ()
    """Copies that wait no more, as (alert_id, recipient)."""
    forebears: tuple[Forebear, ...] = ()
    cascade_alert_id: str = ""
    """The mass failure that the observer before reported."""
    snapshot_complete: bool = False
