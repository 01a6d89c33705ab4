"""The messages of an agent's stream: what comes in, and what is written beside the effects of commands. Pure.

What each heartbeat needs is a named tuple, because it is made in a third of the time of a frozen dataclass.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from grid_model.declaration import Declaration
from grid_model.errors import TronError

from registry_server.core.columns import Columns
from registry_server.core.effects import Message, Registered
from registry_server.core.heartbeats import Beat


@dataclass(frozen=True, slots=True)
class Register:
    """An agent registers, or attaches again. `shared`: the process whose agents share the stream; empty if the agent
    has the stream alone."""

    spec: Declaration
    incarnation: int
    instance_id: str
    shared: str = ""
    among: bool = False
    """Whether it came with others in a message, which it does not disturb if it is refused."""
    relayed: bool = False
    """Whether the stream only passes it on, and does not carry the service."""
    on_behalf_of: str = ""
    """The principal for which a relay registers the service."""


@dataclass(frozen=True, slots=True)
class Registers:
    """Registrations that came in one message, `count` of them; read one by one, so that others are served meanwhile."""

    registers: Iterable[Register | Invalid]
    count: int


class Beats(NamedTuple):
    """Heartbeats. `relayed`: the stream only relays the heartbeats, and does not carry the services.
    `replaces_figures`: each heartbeat contains all figures of its service. `on_behalf_of`: the principal for which a
    relay sends them."""

    beats: Sequence[Beat]
    ack_requested: bool = False
    relayed: bool = False
    replaces_figures: bool = False
    columns: Columns | None = None
    on_behalf_of: str = ""


@dataclass(frozen=True, slots=True)
class AlertAck:
    """The recipient has handled these alerts."""

    alert_ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class Goodbye:
    """A service leaves on purpose; `incarnation` 0 means the one that the stream carries."""

    service_id: str
    reason: str
    incarnation: int = 0


@dataclass(frozen=True, slots=True)
class Abandoned:
    """The program of one service crashed or abandoned it, while the stream continues with other services."""

    service_id: str
    incarnation: int


@dataclass(frozen=True, slots=True)
class Invalid:
    """A message that could not be parsed."""

    error: TronError
    service_id: str = ""
    instance_id: str = ""
    shared: str = ""
    among: bool = False
    """Of a registration that came with others in a message."""


AgentMessage = Register | Registers | Beats | AlertAck | Goodbye | Abandoned | Invalid


class BeatAck(NamedTuple):
    """Acknowledges the highest heartbeat that was read; on a relay's stream it also names the newest revision, and the
    time of reading."""

    sequence: int
    revision: int | None = None
    heard_at: float | None = None


@dataclass(frozen=True, slots=True)
class Registrations:
    """Answers to registrations, in one message."""

    registered: tuple[Registered, ...]


@dataclass(frozen=True, slots=True)
class Drain:
    """Asks the agent to reconnect within this many seconds.

    `ends_after`: the seconds for which this stream goes on, so that the agent can open the next one first; None: the
    registry is going away. `reason`: the error reason with which the stream ends then.
    """

    reconnect_after: float
    ends_after: float | None = None
    reason: str = ""


Output = Message | Registrations | BeatAck | Drain
"""What is written on a stream."""
