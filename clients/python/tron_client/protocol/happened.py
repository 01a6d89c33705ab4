"""What a program learns from its session: the transport logs it, and calls back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class RegistrationConfirmed:
    """The registry holds the service. `first`: for the first time on this stream."""

    service: Any
    first: bool


@dataclass(frozen=True, slots=True)
class AlertReceived:
    """An alert came. The program's inbox takes it or not; see `AgentSession.alert_offered`."""

    alert_id: str
    event: Any


@dataclass(frozen=True, slots=True)
class ServiceUnknown:
    """The registry does not know the service, which held this incarnation; 0: a new registration is under way."""

    incarnation: int


@dataclass(frozen=True, slots=True)
class TakenOver:
    """A newer incarnation holds the id, and the session is over. `expected`: the program was handing over."""

    incarnation: int
    expected: bool


@dataclass(frozen=True, slots=True)
class DownDeclared:
    """The service was declared down while it was away."""

    event: Any


@dataclass(frozen=True, slots=True)
class DrainBegan:
    """The registry is going away: nothing more is sent on this stream, and the next one is opened soon."""


@dataclass(frozen=True, slots=True)
class RegistrationRefused:
    """The registry refused the first registration, and the session is over."""

    message: str
    fields: tuple[tuple[str, str], ...]
    """The name of each field that was refused, and why."""


@dataclass(frozen=True, slots=True)
class FieldRejected:
    """The registry refused part of a beat, or of a later registration. Reported once for each field."""

    field: str
    description: str


@dataclass(frozen=True, slots=True)
class RegistrationDeferred:
    """The registry refused a registration for now, and the session tries again after `delay` seconds."""

    message: str
    delay: float


@dataclass(frozen=True, slots=True)
class HasLeft:
    """The registry removed the service as the goodbye asked, and the session is over."""


@dataclass(frozen=True, slots=True)
class SharingNotOffered:
    """The registry carries one agent per stream: this one needs another stream."""


@dataclass(frozen=True, slots=True)
class CutOffNoticed:
    """No beat was acknowledged for `limit` seconds. Reported once until the next acknowledgement."""

    limit: float


@dataclass(frozen=True, slots=True)
class StreamGivenUp:
    """The registry does not answer on this stream: break it, and do not use its connection again."""


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
    """The registry asked for it."""
    was_registered: bool = False
    """The stream that ended had carried the service."""
    trouble: str = ""
    """What prevents the registration, if nothing has reported it since the last registration; for people."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Open no other stream. `because` is None if the program ended the session."""

    because: RegistrationRefused | TakenOver | None = None
    left: bool = False
    """The goodbye was sent on the stream that ended."""
