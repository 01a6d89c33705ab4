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
    shared: str = ""
    """The process whose other agents share the stream; empty: the stream carries this agent alone."""


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
class Beats:
    """Up: what a stream sends of the beats of its agents at one time."""

    beats: tuple[Beat, ...]
    senders: tuple[Any, ...]
    """The session of each beat, and then of each in `alive`."""
    alive: tuple[Beat, ...] = ()
    """The beats that report nothing that the stream has not carried before: they travel in columns."""


@dataclass(frozen=True, slots=True)
class AlertAck:
    """Up: these alerts were heard."""

    alert_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Goodbye:
    """Up: the agent leaves on purpose; it sends nothing after it."""

    service_id: str
    reason: str
    incarnation: int = 0
    """The incarnation that leaves, which asks for the answer `Left`; 0: the one that this stream carries."""


@dataclass(frozen=True, slots=True)
class Abandoned:
    """Up, on a shared stream: this agent ended without a goodbye, and is judged as if its stream had broken."""

    service_id: str
    incarnation: int


Outgoing = Register | Beat | AlertAck | Goodbye
"""What one agent sends."""

OutgoingShared = Outgoing | Beats | Abandoned
"""What a stream sends."""


@dataclass(frozen=True, slots=True)
class Registered:
    """Down: the service is registered and carried by this stream."""

    service_id: str
    incarnation: int
    service: Any
    """The record; the session passes it on unread."""
    observed_at: datetime | None = None
    """The registry's time; None from a registry that does not say it."""
    instance_id: str = ""
    """That of the registration; empty from a registry that does not offer shared streams."""
    batches: bool = False
    """Whether the registry reads beats in columns."""


@dataclass(slots=True)
class BeatAck:
    """Down: the highest beat that the registry heard on this stream."""

    sequence: int


@dataclass(frozen=True, slots=True)
class Alert:
    """Down: an event for this agent."""

    alert_id: str
    event: Any
    recipient: str = ""
    """The service_id of the agent."""


@dataclass(frozen=True, slots=True)
class UnknownService:
    """Down: the registry does not know the service; announce it again."""

    service_id: str = ""
    """Empty if the registry does not remember whose incarnation it was: only the answer to a registration tells."""
    incarnation: int = 0
    """Of a beat in columns: the incarnation that it named."""


@dataclass(frozen=True, slots=True)
class Superseded:
    """Down: a newer incarnation holds the id; stop."""

    incarnation: int
    service_id: str = ""


@dataclass(frozen=True, slots=True)
class DeclaredDown:
    """Down: this service was declared down, as the event says."""

    event: Any
    service_id: str = ""


@dataclass(frozen=True, slots=True)
class Drain:
    """Down: the registry is going away; reconnect within this many seconds."""

    reconnect_after: float


@dataclass(frozen=True, slots=True)
class Rejected:
    """Down: part of a message was refused, and the stream goes on."""

    field: str
    description: str
    service_id: str = ""
    reason: str = ""
    """A name of grid.registry.v1.ErrorReason; empty from a registry that does not say it."""
    instance_id: str = ""
    """Of a registration: its instance_id."""


@dataclass(frozen=True, slots=True)
class Left:
    """Down: the goodbye of this incarnation is durable."""

    service_id: str
    incarnation: int


Incoming = Registered | BeatAck | Alert | UnknownService | Superseded | DeclaredDown | Drain | Rejected | Left


@dataclass(frozen=True, slots=True)
class StreamError:
    """Why a stream ended. `reason` is a name of grid.registry.v1.ErrorReason; empty if the transport failed."""

    reason: str
    message: str = ""
    incarnation: int = 0
    """Of SUPERSEDED: the incarnation that holds the id; 0 if the registry did not say it."""
    fields: tuple[tuple[str, str], ...] = ()
    """Of INVALID_REQUEST: the name of each field that was refused, and why."""
