"""The outcomes that a session reports. The transport logs them, and calls the program's callbacks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class RegistrationConfirmed:
    """The registry confirmed the registration. `first` is True if this is the first confirmation on this stream."""

    service: Any
    first: bool


@dataclass(frozen=True, slots=True)
class AlertReceived:
    """An alert arrived. The program's inbox accepts or refuses it; the session learns this through
    `AgentSession.alert_offered`."""

    alert_id: str
    event: Any


@dataclass(frozen=True, slots=True)
class ServiceUnknown:
    """The registry does not know the service. `incarnation` is the incarnation that the service held, or 0 if a
    registration for a new incarnation is already in progress."""

    incarnation: int


@dataclass(frozen=True, slots=True)
class TakenOver:
    """A newer incarnation holds the id, and the session is over. `expected` is True if the program was handing over to
    another process."""

    incarnation: int
    expected: bool


@dataclass(frozen=True, slots=True)
class DownDeclared:
    """TRON declared the service down while its heartbeats did not arrive."""

    event: Any


@dataclass(frozen=True, slots=True)
class DrainBegan:
    """The registry is about to stop: the session sends nothing more on this stream, and the next stream is opened
    soon."""


@dataclass(frozen=True, slots=True)
class RegistrationRefused:
    """The registry refused the first registration, and the session is over."""

    message: str
    fields: tuple[tuple[str, str], ...]
    """The name of each refused field, and why it was refused."""


@dataclass(frozen=True, slots=True)
class FieldRejected:
    """The registry refused a field of a heartbeat, or of a later registration. This is reported once for each field."""

    field: str
    description: str


@dataclass(frozen=True, slots=True)
class RegistrationDeferred:
    """The registry refused a registration temporarily, and the session tries again after `delay` seconds."""

    message: str
    delay: float


@dataclass(frozen=True, slots=True)
class HasLeft:
    """The registry removed the service because of its goodbye, and the session is over."""


@dataclass(frozen=True, slots=True)
class SharingNotOffered:
    """The registry carries only one agent per stream, so this agent needs another stream."""


@dataclass(frozen=True, slots=True)
class CutOffNoticed:
    """No heartbeat was acknowledged for `limit` seconds. The next such report is possible only after
    another heartbeat was acknowledged."""

    limit: float


@dataclass(frozen=True, slots=True)
class StreamGivenUp:
    """The registry does not answer on this stream: break the stream, and do not use its connection again."""


Happened = (
    RegistrationConfirmed
    | AlertReceived
    | ServiceUnknown
    | TakenOver
    | DownDeclared
    | DrainBegan
    | RegistrationRefused
    | FieldRejected
    | RegistrationDeferred
    | HasLeft
    | SharingNotOffered
    | CutOffNoticed
    | StreamGivenUp
)


@dataclass(frozen=True, slots=True)
class Reconnect:
    """Open the next stream after `delay` seconds."""

    delay: float
    drained: bool = False
    """Whether the registry asked the client to reconnect."""
    was_registered: bool = False
    """Whether the stream that ended had carried the service."""
    trouble: str = ""
    """Why the agent is not registered, for people; empty if this reason was already reported since the last
    registration."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Open no other stream for this agent. `because` is the outcome that ended the session; None if the program ended
    the session."""

    because: RegistrationRefused | TakenOver | None = None
    left: bool = False
    """Whether the goodbye was sent on the stream that ended."""
