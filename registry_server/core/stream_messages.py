"""The messages of an agent's stream: those that arrive, and those that are sent in addition to the effects of commands.
Pure.

Messages that are created for each heartbeat are named tuples: creating one takes a third of the time of creating a
frozen dataclass.
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
    """An agent registers its service, or attaches it again. `shared` is the process whose agents share the stream; it
    is empty if the agent has a stream of its own."""

    spec: Declaration
    incarnation: int
    instance_id: str
    shared: str = ""
    among: bool = False
    """Whether it arrived together with other registrations in one message. If it is refused, the others are still
    handled."""
    relayed: bool = False
    """Whether the stream only relays the registration, and does not carry the service."""
    on_behalf_of: str = ""
    """The principal for which a relay registers the service."""


@dataclass(frozen=True, slots=True)
class Registers:
    """The registrations in one message. `count` is their number; they are read one by one, so that other work can run
    in between."""

    registers: Iterable[Register | Invalid]
    count: int


class Beats(NamedTuple):
    """The heartbeats in one message. `relayed`: the stream only relays them, and does not carry the services.
    `replaces_figures`: each heartbeat contains all figures of its service. `on_behalf_of` is the principal for which a
    relay sends them. `more`: this is a part of a large message, and further parts follow."""

    beats: Sequence[Beat]
    ack_requested: bool = False
    relayed: bool = False
    replaces_figures: bool = False
    columns: Columns | None = None
    on_behalf_of: str = ""
    more: bool = False


@dataclass(frozen=True, slots=True)
class AlertAck:
    """Acknowledges alerts, which their recipient has handled."""

    alert_ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class Goodbye:
    """A service leaves on purpose; `incarnation` 0 means the one that the stream carries."""

    service_id: str
    reason: str
    incarnation: int = 0


@dataclass(frozen=True, slots=True)
class Abandoned:
    """The program of one service crashed, or gave the service up without a goodbye, while the stream continues with
    other services."""

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
    """Whether it is a registration that arrived together with others in one message."""


AgentMessage = Register | Registers | Beats | AlertAck | Goodbye | Abandoned | Invalid


class BeatAck(NamedTuple):
    """Acknowledges all heartbeats that were read, up to this sequence number. On a relay's stream it also contains the
    newest revision, and the time at which the registry read the heartbeats, in seconds since the epoch."""

    sequence: int
    revision: int | None = None
    heard_at: float | None = None


@dataclass(frozen=True, slots=True)
class Registrations:
    """The answers to several registrations, in one message."""

    registered: tuple[Registered, ...]


@dataclass(frozen=True, slots=True)
class Drain:
    """Asks the agent to reconnect within `reconnect_after` seconds.

    `ends_after` is the number of seconds for which this stream continues, so that the agent can open the next stream
    first; None means that the registry is shutting down. `reason` is the error reason with which the stream will end.
    """

    reconnect_after: float
    ends_after: float | None = None
    reason: str = ""


Output = Message | Registrations | BeatAck | Drain
"""A message that the registry writes to a stream."""
