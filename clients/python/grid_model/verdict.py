"""What TRON tells the registry: verdicts on services, alerts that come without one, and suspicions in advance. Pure.

Each alert becomes true in the same transaction as the verdict that it came with.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from grid_model.event import Event
from grid_model.liveness import LivenessCause


class VerdictKind(IntEnum):
    """What TRON decided; the numbers of the wire."""

    ALIVE = 1
    SUSPECT = 2
    DOWN = 3
    DEREGISTER = 4


class VerdictOutcome(IntEnum):
    """What became of a verdict; the numbers of the wire."""

    APPLIED = 1
    STALE = 2
    UNCHANGED = 3
    GONE = 4
    INVALID = 5


@dataclass(frozen=True, slots=True)
class Verdict:
    """One decision, the observation it was based on, and the alerts that become true with it.

    `quiet`: the alert is recorded and sent to nobody for now. `folded`: it does not escalate. `folds`: the services
    whose alerts to this one escalate no further, because this alert lists them.
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
    """What became of it; `delivered`: the alert goes out on a stream of its recipient."""

    outcome: VerdictOutcome
    delivered: bool = False
    alert: Event | None = None


@dataclass(frozen=True, slots=True)
class StandingSuspicion:
    """If the stream of this incarnation breaks, it is suspect at once; `alert` None: nobody is notified."""

    service_id: str
    incarnation: int
    alert: Event | None


@dataclass(frozen=True, slots=True)
class AlertCopy:
    """An alert without a verdict, or one more copy of one: `Notice` in the contract, which explains each field.

    `escalated_from`: the recipient of the copy that this one replaces. `notified_about`: the service whose death its
    recipient is notified of."""

    alert_id: str
    alert: Event | None = None
    escalated_from: str = ""
    notified_about: str = ""
