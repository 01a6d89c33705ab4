"""The messages of a heartbeat stream as plain values; codec.py maps them to protobuf and back.

Times are seconds of one monotonic clock, or aware datetimes where the registry's clock is meant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from tron_client.protocol.report import Figures


@dataclass(frozen=True, slots=True)
class Register:
    """Up: announces the service. `incarnation` 0 asks for a new one."""

    declared: Any
    """The service as the program declared it; the session passes it on unread."""
    service_id: str
    incarnation: int
    instance_id: str


@dataclass(slots=True)
class Beat:
    """Up: a sign of life with all that is known about the agent. Not frozen: one is made for each beat."""

    service_id: str
    incarnation: int
    sequence: int
    ack_requested: bool
    figures: Figures
    activity: int | None
    busy_until: datetime | None


@dataclass(frozen=True, slots=True)
class AlertAck:
    """Up: these alerts were heard."""

    alert_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Goodbye:
    """Up: the agent leaves on purpose; nothing follows it."""

    service_id: str
    reason: str


Outgoing = Register | Beat | AlertAck | Goodbye


@dataclass(frozen=True, slots=True)
class Registered:
    """Down: the service is registered and carried by this stream."""

    service_id: str
    incarnation: int
    service: Any
    """The record; the session passes it on unread."""
    observed_at: datetime | None = None
    """The registry's time; None from a registry that does not say it."""


@dataclass(slots=True)
class BeatAck:
    """Down: the highest beat that the registry heard on this stream."""

    sequence: int


@dataclass(frozen=True, slots=True)
class Alert:
    """Down: an event for this agent."""

    alert_id: str
    event: Any


@dataclass(frozen=True, slots=True)
class UnknownService:
    """Down: the registry does not know the service; announce it again."""


@dataclass(frozen=True, slots=True)
class Superseded:
    """Down: a newer incarnation holds the id; stop."""

    incarnation: int


@dataclass(frozen=True, slots=True)
class DeclaredDown:
    """Down: this service was declared down, as the event says."""

    event: Any


@dataclass(frozen=True, slots=True)
class Drain:
    """Down: the registry is going away; reconnect within this many seconds."""

    reconnect_after: float


@dataclass(frozen=True, slots=True)
class Rejected:
    """Down: part of a message was refused, and the stream goes on."""

    field: str
    description: str


Incoming = Registered | BeatAck | Alert | UnknownService | Superseded | DeclaredDown | Drain | Rejected


@dataclass(frozen=True, slots=True)
class StreamError:
    """Why a stream ended. `reason` is a name of grid.registry.v1.ErrorReason; empty if the transport failed."""

    reason: str
    message: str = ""
    incarnation: int = 0
    """Of SUPERSEDED: the incarnation that holds the id; 0 if the registry did not say it."""
    fields: tuple[tuple[str, str], ...] = ()
    """Of INVALID_REQUEST: the name of each field that was refused, and why."""
