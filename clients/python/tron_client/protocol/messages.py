"""The messages that an agent sends on its heartbeat stream, as plain values; codec.py converts them to protobuf.

Times are seconds of one monotonic clock. Times of the registry's clock are aware datetimes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from tron_client.protocol.report import Figures


@dataclass(frozen=True, slots=True)
class Register:
    """Registers the service. `incarnation` 0 asks for a new incarnation."""

    declared: Any
    """The service as the program declared it; the session does not read it."""
    service_id: str
    incarnation: int
    instance_id: str
    shared: str = ""
    """The process whose other agents share the stream; empty if the stream carries this agent alone."""


@dataclass(slots=True)
class Beat:
    """A heartbeat with all reported values of the agent. The class is not frozen because creating a frozen one is
    slow."""

    service_id: str
    incarnation: int
    sequence: int
    ack_requested: bool
    figures: Figures
    activity: int | None
    busy_until: datetime | None


@dataclass(frozen=True, slots=True)
class Beats:
    """The beats of several agents, which are sent on a shared stream in one message."""

    beats: tuple[Beat, ...]
    senders: tuple[Any, ...]
    """The sessions of the agents: one for each beat in `beats`, then one for each beat in `alive`."""
    alive: tuple[Beat, ...] = ()
    """The beats that report no value that the agent has not reported on this stream before; they are sent in
    columns."""


@dataclass(frozen=True, slots=True)
class AlertAck:
    """Acknowledges alerts that the program has handled."""

    alert_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The last message of an agent that leaves on purpose."""

    service_id: str
    reason: str
    incarnation: int = 0
    """The incarnation that leaves; the registry then answers with `Left`. With 0, the agent on this stream leaves, and
    the registry does not answer."""


@dataclass(frozen=True, slots=True)
class Abandoned:
    """A message on a shared stream: an agent of this stream has ended without a goodbye. TRON treats this
    agent like one whose own stream has broken."""

    service_id: str
    incarnation: int


Outgoing = Register | Beat | AlertAck | Goodbye
"""The messages of one agent."""


@dataclass(frozen=True, slots=True)
class Registers:
    """The registrations of agents that start or reconnect together, in one message of a shared stream."""

    registers: tuple[Register, ...]


OutgoingShared = Outgoing | Beats | Registers | Abandoned
"""The messages of a stream, which may carry several agents."""
