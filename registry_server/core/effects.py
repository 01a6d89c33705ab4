"""The consequences of commands: messages to agents, and lines for the store. The core creates them; the server or the
simulation carries them out."""

from __future__ import annotations

from dataclasses import dataclass, field

from grid_model.errors import InvalidRequest
from grid_model.event import Event
from grid_model.service import Maintenance

from registry_server.core.service import Intent, OwnedId, Service, StoredService, Tombstone


@dataclass(frozen=True, slots=True)
class Registered:
    """Notifies an agent that its service is registered and that this stream carries it. `instance_id` is the
    instance_id that the agent sent with the registration."""

    service: Service
    instance_id: str = ""
    relayed: bool = False
    """Whether this is the stream of a relay, which does not carry the service."""


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert for a service on this stream."""

    event: Event


@dataclass(frozen=True, slots=True)
class UnknownService:
    """Notifies an agent that the registry does not know this service, so that the agent registers it again."""

    service_id: str
    """The id of the service; empty if the registry does not remember to which service the incarnation belonged."""
    incarnation: int = 0
    """The incarnation in the heartbeat, if the heartbeat came in columns; 0 otherwise."""


@dataclass(frozen=True, slots=True)
class SupersededBy:
    """Notifies an agent that a newer incarnation holds its service id, so that the agent stops. `incarnation` is the
    newer one."""

    service_id: str
    incarnation: int
    superseded: int = 0
    """The incarnation in the heartbeat, if the heartbeat came in columns; 0 otherwise."""


@dataclass(frozen=True, slots=True)
class DeclaredDown:
    """Notifies an agent that TRON declared its service down; the event contains the time and the cause."""

    service_id: str
    event: Event


@dataclass(frozen=True, slots=True)
class Rejected:
    """Notifies an agent that the registry refused a part of a message; the stream continues."""

    service_id: str
    field: str
    description: str
    reason: str = InvalidRequest.reason
    """The error reason: a name of ErrorReason."""
    instance_id: str = ""
    """The instance_id of a refused registration; empty if another message was refused."""
    on_behalf_of: str = ""
    """The principal for which a relay sent the refused message; for the audit log only."""


@dataclass(frozen=True, slots=True)
class Left:
    """Notifies an agent that its service left on purpose, and that its goodbye is durable."""

    service_id: str
    incarnation: int


Message = Registered | Alert | UnknownService | SupersededBy | DeclaredDown | Rejected | Left


@dataclass(frozen=True, slots=True)
class EndStream:
    """Ends a silent stream, because no message arrives on it any more. `services` is the number of services that the
    stream carries; `count` is the number of silent streams that were ended since the start, including this one."""

    services: int
    count: int


@dataclass(frozen=True, slots=True)
class PutService:
    """Store the record of a registered service. `fresh`: the incarnation may be new to the store."""

    service: StoredService
    fresh: bool = True


@dataclass(frozen=True, slots=True)
class RemoveService:
    """Delete the record of a service, and store its tombstone."""

    tombstone: Tombstone


@dataclass(frozen=True, slots=True)
class PutIntent:
    """Store an operator's decision about the role of a service."""

    intent: Intent


@dataclass(frozen=True, slots=True)
class DropIntent:
    """Delete an operator's decision about the role of a service, because the decision no longer applies."""

    service_id: str


@dataclass(frozen=True, slots=True)
class PutOwner:
    """Store the owner of a service id."""

    owned: OwnedId


@dataclass(frozen=True, slots=True)
class DropOwner:
    """Delete the owner of a service id."""

    service_id: str


@dataclass(frozen=True, slots=True)
class PutMaintenance:
    """Store the maintenance of a service."""

    maintenance: Maintenance


@dataclass(frozen=True, slots=True)
class DropMaintenance:
    """Delete the maintenance of a service."""

    service_id: str


@dataclass(frozen=True, slots=True)
class AppendEvent:
    """Store an event; an event with a recipient is also kept for delivery. `escalated`: the copy for the recipient is
    marked, so that it never escalates."""

    event: Event
    escalated: bool = False
    recorded_at: float | None = field(default=None, compare=False)
    """When the registry recorded the event, in seconds since the epoch; None means at the time of the event. The
    retention counts from then: a client may publish an event with a time of long ago, and every event before it would
    be deleted."""


@dataclass(frozen=True, slots=True)
class StopEscalation:
    """Store that a copy does not escalate any further, because it has escalated to another recipient, or because an
    alert about another service lists the failure that this copy reports."""

    alert_id: str
    recipient: str


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Store that the recipient has handled the alert."""

    alert_id: str
    recipient: str
    at: float


@dataclass(frozen=True, slots=True)
class WithdrawCopy:
    """Store that a copy of an alert is withdrawn, because a newer fact made it obsolete. With `absent`, the reason is
    that its recipient is not registered, or must not receive it."""

    alert_id: str
    recipient: str
    at: float
    absent: bool = False


@dataclass(frozen=True, slots=True)
class PutHeartbeats:
    """Store the times of the last heartbeats of services, as (service_id, seconds since the epoch). This may be
    delayed, because losing these times does no harm."""

    heard: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class ReserveRevisions:
    """Store a new upper bound on revisions before any revision above the old bound is used, so that no revision is used
    twice."""

    ceiling: int


@dataclass(frozen=True, slots=True)
class CompactEvents:
    """Delete the events with sequence numbers below `first`."""

    first: int


Write = (
    PutService
    | RemoveService
    | PutIntent
    | DropIntent
    | PutOwner
    | DropOwner
    | PutMaintenance
    | DropMaintenance
    | AppendEvent
    | StopEscalation
    | Acknowledge
    | WithdrawCopy
    | PutHeartbeats
    | ReserveRevisions
    | CompactEvents
)


@dataclass(slots=True)
class Effects:
    """The consequences of one or several commands; messages are released to agents only after the lines are on disk."""

    sends: list[tuple[int, Message | EndStream]]
    writes: list[Write]

    @property
    def registered(self) -> list[Service]:
        """Return the services whose registration these effects confirm."""
        return [message.service for _, message in self.sends if isinstance(message, Registered)]

    @property
    def alerts(self) -> bool:
        """Whether the effects contain an alert for an agent."""
        return any(isinstance(message, Alert) for _, message in self.sends)

    @property
    def empty(self) -> bool:
        """Whether there are no effects."""
        return not self.sends and not self.writes
