"""What follows from a command: messages to agents, lines for the store. The core names them; the shell does them."""

from __future__ import annotations

from dataclasses import dataclass

from grid_model.errors import InvalidRequest
from grid_model.event import Event
from grid_model.service import Maintenance

from registry_server.core.service import Intent, Service, StoredService, Tombstone


@dataclass(frozen=True, slots=True)
class Registered:
    """The service is registered and carried by this stream; `instance_id`: that of the registration."""

    service: Service
    instance_id: str = ""
    relayed: bool = False
    """Whether this is the stream of a relay, which does not carry the service."""


@dataclass(frozen=True, slots=True)
class Alert:
    """An event for somebody on this stream."""

    event: Event


@dataclass(frozen=True, slots=True)
class UnknownService:
    """Announce it again."""

    service_id: str
    """Empty if the registry does not remember whose incarnation it was."""
    incarnation: int = 0
    """Of a heartbeat in columns: the incarnation that it named."""


@dataclass(frozen=True, slots=True)
class SupersededBy:
    """A newer incarnation holds the id; stop."""

    service_id: str
    incarnation: int
    superseded: int = 0
    """Of a heartbeat in columns: the incarnation that it named."""


@dataclass(frozen=True, slots=True)
class DeclaredDown:
    """You were declared down; the event says when and why."""

    service_id: str
    event: Event


@dataclass(frozen=True, slots=True)
class Rejected:
    """Part of a message was refused while the stream goes on."""

    service_id: str
    field: str
    description: str
    reason: str = InvalidRequest.reason
    """The reason of the error."""
    instance_id: str = ""
    """Of a registration: its instance_id."""


@dataclass(frozen=True, slots=True)
class Left:
    """The service left on purpose; its goodbye is durable."""

    service_id: str
    incarnation: int


Message = Registered | Alert | UnknownService | SupersededBy | DeclaredDown | Rejected | Left


@dataclass(frozen=True, slots=True)
class EndStream:
    """No message arrives on this stream any more: end it. It carries this many services; `count`: such streams."""

    services: int
    count: int


@dataclass(frozen=True, slots=True)
class PutService:
    """Store the record of a registered service; `fresh`: of an incarnation that is not stored yet."""

    service: StoredService
    fresh: bool = True


@dataclass(frozen=True, slots=True)
class RemoveService:
    """Remove the record and keep the tombstone."""

    tombstone: Tombstone


@dataclass(frozen=True, slots=True)
class PutIntent:
    """Store what an operator decided."""

    intent: Intent


@dataclass(frozen=True, slots=True)
class DropIntent:
    """The decision no longer applies."""

    service_id: str


@dataclass(frozen=True, slots=True)
class PutMaintenance:
    """Store that an operator holds notices."""

    maintenance: Maintenance


@dataclass(frozen=True, slots=True)
class DropMaintenance:
    """Notices are held no more."""

    service_id: str


@dataclass(frozen=True, slots=True)
class AppendEvent:
    """Store an event; one with a recipient is kept for delivery too. `escalated`: that copy does not escalate."""

    event: Event
    escalated: bool = False


@dataclass(frozen=True, slots=True)
class StopEscalation:
    """A copy escalated to another recipient, or the alert of another service lists it."""

    alert_id: str
    recipient: str


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """The recipient has heard the alert."""

    alert_id: str
    recipient: str
    at: float


@dataclass(frozen=True, slots=True)
class WithdrawCopy:
    """The copy waits no more: a newer fact has overtaken it, or (`absent`) nobody is there to take it."""

    alert_id: str
    recipient: str
    at: float
    absent: bool = False


@dataclass(frozen=True, slots=True)
class PutHeartbeats:
    """Store when services were last heard: (service_id, seconds since the epoch). Lazy: lost beats cost nothing."""

    heard: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class ReserveRevisions:
    """No revision above this one is given out before this line is stored, so that none is ever given twice."""

    ceiling: int


@dataclass(frozen=True, slots=True)
class CompactEvents:
    """Delete events with a smaller number."""

    first: int


Write = (
    PutService
    | RemoveService
    | PutIntent
    | DropIntent
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
    """What one command, or several, asked for; released to agents only after the writes are on disk."""

    sends: list[tuple[int, Message | EndStream]]
    writes: list[Write]

    @property
    def registered(self) -> list[Service]:
        """The services that they confirm as registered."""
        return [message.service for _, message in self.sends if isinstance(message, Registered)]

    @property
    def alerts(self) -> bool:
        """Whether they contain an alert for an agent."""
        return any(isinstance(message, Alert) for _, message in self.sends)

    @property
    def empty(self) -> bool:
        """Whether nothing follows."""
        return not self.sends and not self.writes
