"""The facts about services and the copies of alerts that the registry sends to TRON, and the frames that carry them.
Pure values."""

from __future__ import annotations

from dataclasses import dataclass

from grid_model.event import Event
from grid_model.liveness import Liveness, LivenessCause
from grid_model.service import Maintenance


@dataclass(slots=True)
class Facts:
    """The facts that the registry sends about one service. Times `*_at` are attentive seconds; None means that it did
    not happen.

    Do not change an instance. The class is not frozen only because thousands of instances are created at once, and
    creating frozen instances takes twice as long.
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
    """The time of the last heartbeat in seconds since the epoch; only for people, never for a verdict."""
    judged: Liveness
    cause: LivenessCause
    judged_at: float
    missed_beats: int
    stall_after: float | None = None
    active_at: float = 0.0
    busy_until_at: float | None = None
    busy_declared_at: float | None = None
    busy_until: float | None = None
    """The end of the busy time in seconds since the epoch, as the service declared it; only for people."""
    url: str = ""
    process: str = ""
    """The process whose other agents share the service's stream; empty if the service has a stream of its own."""
    notified: tuple[str, ...] = ()
    """The recipients of the alert about the service's last DOWN."""
    held_alert: Event | None = None
    """The alert about the service's last DOWN, if it has not been sent to any recipient yet."""
    grouped_into: str = ""
    """The alert of another service that lists this service as failed together with that one."""
    maintenance: Maintenance | None = None
    """The maintenance in which an operator holds the alerts about this service; None without one."""
    worst_gap: float = 0.0
    """The longest time between two heartbeats of the service since the registry started, in seconds."""
    earlier_streams_for: float = 0.0
    """For how long earlier streams carried this incarnation, in sum, since the registry started, in seconds."""
    detached_reason: str = ""
    """The name of the error reason for which the registry ended the service's last stream; empty if the agent's side
    ended it."""

    @property
    def maintained(self) -> bool:
        """Whether an operator holds the alerts about this service."""
        return self.maintenance is not None


@dataclass(frozen=True, slots=True)
class ReportDeadline:
    """An order of the observer to report an incarnation at this time, and none of its heartbeats before.

    `due` is the attentive second if nothing more is heard. A heartbeat puts it off to at least `silence` seconds after
    itself, unless the activity counter does not move for `inactivity` seconds (infinite: it may stay as it is).
    """

    incarnation: int
    due: float
    silence: float
    inactivity: float = float("inf")


@dataclass(frozen=True, slots=True)
class Delivery:
    """One copy of an alert that its recipient has not acknowledged. `since` is in attentive seconds. `escalated`: the
    alert has been sent on to another recipient, or the alert of another service lists it."""

    event: Event
    since: float
    escalated: bool = False


@dataclass(frozen=True, slots=True)
class Forebear:
    """A service that is no longer registered, whose parent may still have to be notified."""

    service_id: str
    name: str
    parent: str


@dataclass(frozen=True, slots=True)
class Frame:
    """The facts of one moment, or a part of them. They are complete up to `now` (attentive seconds) if this frame or an
    earlier one had `snapshot_complete`. Each beat is a tuple (incarnation, observation, attentive second)."""

    now: float
    hearing_since: float
    observations: tuple[Facts, ...] = ()
    beats: tuple[tuple[int, int, float], ...] = ()
    removed: tuple[str, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    deliveries_ended: tuple[tuple[str, str], ...] = ()
    """The copies of alerts that no longer wait, as (alert_id, recipient)."""
    forebears: tuple[Forebear, ...] = ()
    cascade_alert_id: str = ""
    """The alert of the mass failure that the previous observer reported."""
    snapshot_complete: bool = False
    takes_deadlines: bool = False
    """Whether the registry takes `ReportDeadline`s; it says so when the snapshot is complete."""
    continues: bool = False
    """Whether more parts of this moment follow: only the last one advances the time."""
