"""What travels on the simulated streams: the messages of the contract that the cores have no value for."""

from __future__ import annotations

from dataclasses import dataclass

from grid_model.declaration import Declaration
from grid_model.event import Event
from grid_model.observation import ReportDeadline
from grid_model.service import ServiceRole
from grid_model.verdict import AlertCopy, StandingSuspicion, Verdict, VerdictResult

from registry_server.core.changes import Change
from registry_server.core.service import Report, Service


@dataclass(frozen=True, slots=True)
class Register:
    """Up a Heartbeat stream."""

    spec: Declaration
    incarnation: int
    instance_id: str


@dataclass(frozen=True, slots=True)
class Beat:
    """A sign of life."""

    service_id: str
    incarnation: int
    sequence: int
    report: Report
    ack_requested: bool


@dataclass(frozen=True, slots=True)
class BeatInColumns:
    """A sign of life that names its incarnation only, beside columns of figures. `activity` None: no such column."""

    incarnation: int
    sequence: int
    activity: int | None
    ack_requested: bool


@dataclass(frozen=True, slots=True)
class Ack:
    """Alerts that were heard."""

    alert_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Goodbye:
    """It leaves on purpose."""

    service_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class BeatAck:
    """The highest beat that was seen."""

    sequence: int


@dataclass(frozen=True, slots=True)
class Drain:
    """Reconnect within this many seconds."""

    reconnect_after: float


@dataclass(frozen=True, slots=True)
class Watch:
    """The first word of a reader of services."""

    start_revision: int


@dataclass(frozen=True, slots=True)
class Changed:
    """A change for a reader of services; `change` is None where the snapshot is complete."""

    revision: int
    change: Change | None


@dataclass(frozen=True, slots=True)
class Subscribe:
    """The first word of a reader of events."""

    after_sequence: int


@dataclass(frozen=True, slots=True)
class Observe:
    """The first word of TRON's stream of facts."""

    observer: str


@dataclass(frozen=True, slots=True)
class ApplyVerdicts:
    """TRON's call with its verdicts; `call` pairs the answer with it."""

    call: int
    observer: str
    verdicts: tuple[Verdict, ...]
    copies: tuple[AlertCopy, ...]
    standing: tuple[StandingSuspicion, ...]
    withdrawn: tuple[int, ...]
    standing_held: bool
    cascade_alert_id: str
    judged_until: float
    idle_until: float | None = None
    deadlines: tuple[ReportDeadline, ...] = ()


@dataclass(frozen=True, slots=True)
class VerdictsApplied:
    """The answer."""

    call: int
    results: tuple[VerdictResult, ...]


@dataclass(frozen=True, slots=True)
class Promote:
    """An operator's call."""

    name: str
    from_role: ServiceRole
    to_role: ServiceRole


@dataclass(frozen=True, slots=True)
class Publish:
    """An operator's call."""

    event: Event


@dataclass(frozen=True, slots=True)
class Deregister:
    """An operator's call."""

    service_id: str


@dataclass(frozen=True, slots=True)
class Maintain:
    """An operator's call: hold alerts for this many seconds, None until it is ended."""

    service_id: str
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """A call: the recipient has heard an alert."""

    alert_id: str
    recipient: str


@dataclass(frozen=True, slots=True)
class ListServices:
    """A call: a page of the services, of at most `size`."""

    token: str
    size: int


@dataclass(frozen=True, slots=True)
class Listed:
    """A page; the token is empty on the last one."""

    services: tuple[Service, ...]
    token: str
    revision: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call came to: a value, or an error."""

    value: object = None
    error: Exception | None = None
