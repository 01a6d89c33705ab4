"""The messages that an agent receives on its heartbeat stream, as plain values; codec.py converts protobuf to them.

Times are seconds of one monotonic clock. Times of the registry's clock are aware datetimes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Registered:
    """The registry has registered the service, and this stream carries it."""

    service_id: str
    incarnation: int
    service: Any
    """The service record; the session does not read it."""
    observed_at: datetime | None = None
    """The time on the registry's clock; None if the registry does not send it."""
    instance_id: str = ""
    """The instance_id of the registration; empty from a registry that does not offer shared streams."""
    batches: bool = False
    """Whether the registry accepts beats in columns, and many registrations in one message."""


@dataclass(slots=True)
class BeatAck:
    """Acknowledges all beats of this stream up to this sequence number."""

    sequence: int


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert for this agent."""

    alert_id: str
    event: Any
    recipient: str = ""
    """The service_id of the agent."""


@dataclass(frozen=True, slots=True)
class UnknownService:
    """The registry does not know the service: register it again."""

    service_id: str = ""
    """The id of the service; empty if the registry does not know to which service the incarnation belonged."""
    incarnation: int = 0
    """The incarnation, if the beat was sent in columns; 0 for any other beat."""


@dataclass(frozen=True, slots=True)
class Superseded:
    """A newer incarnation holds the service id, so this agent must stop."""

    incarnation: int
    service_id: str = ""


@dataclass(frozen=True, slots=True)
class DeclaredDown:
    """TRON declared this service down; the event contains the time and the cause."""

    event: Any
    service_id: str = ""


@dataclass(frozen=True, slots=True)
class Drain:
    """The registry asks the agent to open another stream.

    If `ends_after` is None, the registry is about to stop: reconnect after a random wait of up to `reconnect_after`
    seconds. Otherwise the registry continues, and ends only this stream, after `ends_after` seconds; with `renews`, the
    next stream must use another credential.
    """

    reconnect_after: float
    ends_after: float | None = None
    renews: bool = False


@dataclass(frozen=True, slots=True)
class Rejected:
    """The registry refused a part of a message, for example one field. The stream stays open."""

    field: str
    description: str
    service_id: str = ""
    reason: str = ""
    """A name of grid.registry.v1.ErrorReason; empty from a registry that does not send it."""
    instance_id: str = ""
    """The instance_id of the registration that was refused; empty if another message was refused."""


@dataclass(frozen=True, slots=True)
class Left:
    """The registry has removed this incarnation because of the agent's goodbye, and the removal is durable."""

    service_id: str
    incarnation: int


Incoming = Registered | BeatAck | Alert | UnknownService | Superseded | DeclaredDown | Drain | Rejected | Left


@dataclass(frozen=True, slots=True)
class StreamError:
    """The error that ended a stream. `reason` is a name of grid.registry.v1.ErrorReason; empty if the transport
    failed."""

    reason: str
    message: str = ""
    incarnation: int = 0
    """With the reason SUPERSEDED: the incarnation that holds the id; 0 if the registry did not send it."""
    fields: tuple[tuple[str, str], ...] = ()
    """With the reason INVALID_REQUEST: the name of each refused field, and why it was refused."""
