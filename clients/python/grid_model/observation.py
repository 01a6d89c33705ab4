"""The facts about services and the copies of alerts that the registry sends to TRON, and the frames that carry them.
This module does no I/O."""

from __future__ import annotations

from dataclasses import dataclass

from grid_model.event import Event
from grid_model.liveness import Liveness, LivenessCause
from grid_model.service import Maintenance


@dataclass(slots=True)
class Facts:
    """The facts that the registry sends about one service. A field whose name ends in `_at` contains attentive seconds;
    if it is None, there was no such moment. Only `last_heartbeat_at` is in seconds since the epoch.

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
    """The random id of the process whose agents share the service's stream; empty if the service has a stream of its
    own."""
    notified: tuple[str, ...] = ()
    """The recipients of the alert about the service's last DOWN."""
    held_alert: Event | None = None
    """The alert about the service's last DOWN, if it has not been sent to any recipient yet; else None."""
    grouped_into: str = ""
    """The id of the alert about another service that lists this service as failed together with it; empty if there is
    no such alert."""
    maintenance: Maintenance | None = None
    """The maintenance of this service, in which an operator holds back the alerts about it; None without
    maintenance."""
    worst_gap: float = 0.0
    """The longest time between two heartbeats of the service since the registry started, in seconds."""
    earlier_streams_for: float = 0.0
    """How long earlier streams have carried this incarnation in total since the registry started, in seconds."""
    detached_reason: str = ""
    """The name of the error reason for which the registry ended the service's last stream; empty if the agent's side
    ended it."""

    @property
    def maintained(self) -> bool:
        """Whether this service is under maintenance; the alerts about it are then held back."""
        return self.maintenance is not None


@dataclass(frozen=True, slots=True)
class ReportDeadline:
    """An instruction from the observer (TRON) to the registry: send no heartbeats of this incarnation until a deadline,
    and report the incarnation at the deadline.

    `due` is the deadline, in attentive seconds, if no heartbeat arrives. Each heartbeat moves the deadline to `silence`
    seconds after that heartbeat, if this is later. But no heartbeat moves the deadline to more than `inactivity`
    seconds after the last change of the activity counter. If `inactivity` is infinite, the activity counter does not
    matter.
    """

    incarnation: int
    due: float
    silence: float
    inactivity: float = float("inf")


@dataclass(frozen=True, slots=True)
class Delivery:
    """One copy of an alert that the recipient has not acknowledged. `since` is the attentive second at which the copy
    was added. `escalated` is True if this copy must not escalate: it has escalated to another recipient already, or the
    alert about another service lists the service of this alert as failed too."""

    event: Event
    since: float
    escalated: bool = False


@dataclass(frozen=True, slots=True)
class Forebear:
    """A service that has been removed. TRON still reads the field `parent`, to find the next ancestor that must be
    notified."""

    service_id: str
    name: str
    parent: str


@dataclass(frozen=True, slots=True)
class Frame:
    """One message with facts from the registry to TRON; the facts of one moment may need several messages. `now` is the
    attentive second of the facts. A stream begins with a snapshot, and the frame with `snapshot_complete` is the last
    one of the snapshot. Each item of `beats` is a heartbeat: (incarnation, observation, attentive second)."""

    now: float
    hearing_since: float
    observations: tuple[Facts, ...] = ()
    beats: tuple[tuple[int, int, float], ...] = ()
    removed: tuple[str, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    deliveries_ended: tuple[tuple[str, str], ...] = ()
    """The copies of alerts that no longer wait for an acknowledgement, as (alert_id, recipient)."""
    forebears: tuple[Forebear, ...] = ()
    cascade_alert_id: str = ""
    """The id of the alert about the mass failure that the previous observer reported; empty if there is none."""
    snapshot_complete: bool = False
    takes_deadlines: bool = False
    """Whether the registry accepts `ReportDeadline`s; it is set in the frame that completes the snapshot."""
    continues: bool = False
    """Whether more frames for the same moment follow; only the last one advances the time."""
