"""The decisions that TRON sends to the registry: verdicts about services, alerts without a verdict, and preauthorized
suspicions. This module does no I/O.

The registry stores a verdict and the alerts of this verdict in one transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from grid_model.event import Event
from grid_model.liveness import LivenessCause


class VerdictKind(IntEnum):
    """The kind of a verdict. The numbers are those of the protobuf enum."""

    ALIVE = 1
    SUSPECT = 2
    DOWN = 3
    DEREGISTER = 4


class VerdictOutcome(IntEnum):
    """What the registry did with a verdict. The numbers are those of the protobuf enum."""

    APPLIED = 1
    STALE = 2
    UNCHANGED = 3
    GONE = 4
    INVALID = 5


@dataclass(frozen=True, slots=True)
class Verdict:
    """One decision of TRON about a service, the observation that the decision is based on, and the alerts that the
    registry stores with the decision.

    With `quiet`, the registry records the alert, but does not send it for now. With `folded`, the alert does not
    escalate, because the alert about another service lists this service as failed too. `folds` contains the services
    that this alert lists as failed together with this service. Alerts about those services that were sent to this
    service no longer escalate.
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
    """The registry's answer to a verdict. `delivered` is True if the alert is being sent on a stream of its
    recipient."""

    outcome: VerdictOutcome
    delivered: bool = False
    alert: Event | None = None


@dataclass(frozen=True, slots=True)
class StandingSuspicion:
    """A preauthorized suspicion: if the stream of this incarnation breaks, the registry at once marks the service as
    SUSPECT and sends the alert. If `alert` is None, no recipient is notified."""

    service_id: str
    incarnation: int
    alert: Event | None


@dataclass(frozen=True, slots=True)
class AlertCopy:
    """An alert that TRON sends without a verdict, or a further copy of an alert. The protobuf contract calls it
    `Notice` and explains each field.

    `escalated_from` is the recipient from which the alert escalates: the copy for that recipient escalates no further.
    If this copy reports that a service is down or was removed, `notified_about` is that service; when the service
    returns, the recipient of this copy is notified again.
    """

    alert_id: str
    alert: Event | None = None
    escalated_from: str = ""
    notified_about: str = ""
