"""The decisions that TRON sends to the registry: verdicts about services, alerts without a verdict, and preauthorized
suspicions. Pure.

The registry stores each alert in the same transaction as the verdict that carries it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from grid_model.event import Event
from grid_model.liveness import LivenessCause


class VerdictKind(IntEnum):
    """The kind of a verdict, with the numbers of the wire."""

    ALIVE = 1
    SUSPECT = 2
    DOWN = 3
    DEREGISTER = 4


class VerdictOutcome(IntEnum):
    """The registry's answer to a verdict, with the numbers of the wire."""

    APPLIED = 1
    STALE = 2
    UNCHANGED = 3
    GONE = 4
    INVALID = 5


@dataclass(frozen=True, slots=True)
class Verdict:
    """One decision of TRON about a service, the observation that it is based on, and the alerts that are stored with
    it.

    `quiet`: the alert is recorded, but not sent to any recipient for now. `folded`: the alert does not escalate.
    `folds`: the services whose alerts to this service no longer escalate, because this alert lists them.
    """

    service_id: str
    incarnation: int
    observation: int
    kind: VerdictKind
    cause: LivenessCause = LivenessCause.NONE
    missed_beats: int = 0
    alert: Event | None = None
    quiet: bool = False
    folded: bool = False
    folds: tuple[str, ...] = ()
    further_alerts: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class VerdictResult:
    """The registry's answer to a verdict; `delivered`: the alert is being sent on a stream of its recipient."""

    outcome: VerdictOutcome
    delivered: bool = False
    alert: Event | None = None


@dataclass(frozen=True, slots=True)
class StandingSuspicion:
    """A preauthorized suspicion: if the stream of this incarnation breaks, the registry marks it as SUSPECT at once.
    With `alert` None no recipient is notified."""

    service_id: str
    incarnation: int
    alert: Event | None


@dataclass(frozen=True, slots=True)
class AlertCopy:
    """An alert without a verdict, or one more copy of an alert; the contract calls it `Notice` and explains each field.

    `escalated_from`: the recipient of the copy that this copy replaces. `notified_about`: the service whose death this
    copy reports to its recipient.
    """

    alert_id: str
    alert: Event | None = None
    escalated_from: str = ""
    notified_about: str = ""
