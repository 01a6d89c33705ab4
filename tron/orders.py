"""What the judge wants of the registry: verdicts with their alerts, alerts without one, and suspicions in advance."""

from __future__ import annotations

from dataclasses import dataclass, field

from tron.facts import AlertDraft, Transition
from tron.preauthorized import StandingSuspicion


@dataclass(frozen=True, slots=True)
class Ruling:
    """One transition with its alerts. `hushed`: why no alert is sent for now; empty if it is sent."""

    transition: Transition
    alert: AlertDraft | None = None
    hushed: str = ""
    folded: bool = False
    """Whether the alert of an ancestor lists all of it, so that nobody gets this one."""
    folds: tuple[str, ...] = ()
    """The services that failed with it, which its alert lists."""
    further: tuple[AlertDraft, ...] = ()


@dataclass(frozen=True, slots=True)
class Notice:
    """An alert without a verdict, or one more copy of one; the contract explains each field."""

    alert_id: str
    alert: AlertDraft | None = None
    climbs_from: str = ""
    told_about: str = ""


@dataclass(slots=True)
class Orders:
    """Everything for the registry that follows from one frame."""

    rulings: list[Ruling] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    standing: list[StandingSuspicion] = field(default_factory=list)
    withdrawn: list[int] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to send."""
        return not (self.rulings or self.notices or self.standing or self.withdrawn)

    def __len__(self) -> int:
        return len(self.rulings) + len(self.notices) + len(self.standing) + len(self.withdrawn)

    def add(self, more: Orders) -> None:
        """Append later orders."""
        self.rulings += more.rulings
        self.notices += more.notices
        self.standing += more.standing
        self.withdrawn += more.withdrawn
