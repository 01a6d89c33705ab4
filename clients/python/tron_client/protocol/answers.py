"""The messages that an agent receives on its heartbeat stream, as plain values; codec.py converts protobuf to them.

Times are seconds of one monotonic clock, or aware datetimes if the registry's clock is meant.
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
    """The registry's time; None from a registry that does not send it."""
    instance_id: str = ""
    """The instance_id of the registration; empty from a registry that does not offer shared streams."""
    batches: bool = False
    """Whether the registry reads beats in columns, and many registrations in a message."""


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
    """The service; empty if the registry does not remember to which service the incarnation belonged."""
    incarnation: int = 0
    """The incarnation that a beat in columns named; 0 for any other beat."""


@dataclass(frozen=True, slots=True)
class Superseded:
    """A newer incarnation holds the service id: stop."""

    incarnation: int
    service_id: str = ""


@dataclass(frozen=True, slots=True)
class DeclaredDown:
    """TRON declared this service down; the event contains the time and the cause."""

    event: Any
    service_id: str = ""


@dataclass(frozen=True, slots=True)
class Drain:
    """The registry is about to stop: reconnect within this many seconds.

    `ends_after`: the registry goes on, and ends this stream after this many seconds; None: it stops. `renews`: the next
    stream needs another credential.
    """

    reconnect_after: float
    ends_after: float | None = None
    renews: bool = False


@dataclass(frozen=True, slots=True)
class Rejected:
    """The registry refused a part of a message; the stream continues."""

    field: str
    description: str
    service_id: str = ""
    reason: str = ""
    """A name of grid.registry.v1.ErrorReason; empty from a registry that does not send it."""
    instance_id: str = ""
    """The instance_id of a refused registration; empty if another message was refused."""


@dataclass(frozen=True, slots=True)
class Left:
    """The registry has removed this incarnation as its goodbye requested, and the removal is on disk."""

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
