"""The consequences of commands: messages to agents, and lines for the store. The core creates them; the shell carries
them out."""

from __future__ import annotations

from dataclasses import dataclass

from grid_model.errors import InvalidRequest
from grid_model.event import Event
from grid_model.service import Maintenance

from registry_server.core.service import Intent, OwnedId, Service, StoredService, Tombstone


@dataclass(frozen=True, slots=True)
class Registered:
    """The registry has registered the service, and this stream carries it; `instance_id`: the one of the
    registration."""

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
    """The registry does not know this service: the agent should register it again."""

    service_id: str
    """Empty if the registry does not remember which service the incarnation belonged to."""
    incarnation: int = 0
    """The incarnation that a heartbeat in columns named; 0 for other heartbeats."""


@dataclass(frozen=True, slots=True)
class SupersededBy:
    """A newer incarnation holds the id: stop."""

    service_id: str
    incarnation: int
    superseded: int = 0
    """Of a heartbeat in columns: the incarnation that it named."""


@dataclass(frozen=True, slots=True)
class DeclaredDown:
    """TRON declared this service down; the event contains the time and the cause."""

    service_id: str
    event: Event


@dataclass(frozen=True, slots=True)
class Rejected:
    """The registry refused a part of a message; the stream continues."""

    service_id: str
    field: str
    description: str
    reason: str = InvalidRequest.reason
    """The reason of the error."""
    instance_id: str = ""
    """The instance_id of a refused registration; empty if another message was refused."""
    on_behalf_of: str = ""
    """The principal for which a relay sent it; for the audit log only."""


@dataclass(frozen=True, slots=True)
class Left:
    """The service left on purpose, and its goodbye is durable."""

    service_id: str
    incarnation: int


Message = Registered | Alert | UnknownService | SupersededBy | DeclaredDown | Rejected | Left


@dataclass(frozen=True, slots=True)
class EndStream:
    """End this stream, because no message arrives on it any more. `services`: how many it carries; `count`: how many
    such streams there were."""

    services: int
    count: int


@dataclass(frozen=True, slots=True)
class PutService:
    """Store the record of a registered service; `fresh`: the incarnation is not stored yet."""

    service: StoredService
    fresh: bool = True


@dataclass(frozen=True, slots=True)
class RemoveService:
    """Remove the record and keep the tombstone."""

    tombstone: Tombstone


@dataclass(frozen=True, slots=True)
class PutIntent:
    """Store an operator's decision about the role of a service."""

    intent: Intent


@dataclass(frozen=True, slots=True)
class DropIntent:
    """Delete an operator's decision that no longer applies."""

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
    """Store an event; an event with a recipient is also kept for delivery. `escalated`: this copy does not escalate."""

    event: Event
    escalated: bool = False


@dataclass(frozen=True, slots=True)
class StopEscalation:
    """Store that a copy has escalated to another recipient, or that the alert of another service lists it."""

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
    """Store that the copy is withdrawn: a newer fact made it obsolete, or (`absent`) its recipient is not
    registered."""

    alert_id: str
    recipient: str
    at: float
    absent: bool = False


@dataclass(frozen=True, slots=True)
class PutHeartbeats:
    """Store when services were last heard: (service_id, seconds since the epoch). This may be delayed, because losing
    it does no harm."""

    heard: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class ReserveRevisions:
    """Store a new upper bound on revisions before any revision above the old bound is used, so that no revision is used
    twice."""

    ceiling: int


@dataclass(frozen=True, slots=True)
class CompactEvents:
    """Delete events with a smaller sequence number."""

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
