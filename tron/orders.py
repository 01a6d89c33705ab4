"""The orders of the judge to the registry: verdicts with their alerts, alerts without a verdict, and preauthorized
suspicions."""

from __future__ import annotations

from dataclasses import dataclass, field

from grid_model.event import Event
from grid_model.observation import ReportDeadline
from grid_model.verdict import AlertCopy, StandingSuspicion, Verdict

from tron.facts import Transition


@dataclass(frozen=True, slots=True)
class Ruling:
    """One transition with its alerts. `suppressed`: why its alert is held for now; empty if it is sent."""

    transition: Transition
    alert: Event | None = None
    suppressed: str = ""
    grouped: bool = False
    """Whether the alert of an ancestor lists this service and its `subtree`, so that this alert does not escalate."""
    subtree: tuple[str, ...] = ()
    """The services that failed together with this one, which its alert lists."""
    further: tuple[Event, ...] = ()

    def verdict(self) -> Verdict:
        """Return the verdict that the registry should apply."""
        transition = self.transition
        return Verdict(
            transition.service_id,
            transition.incarnation,
            transition.observation,
            transition.kind.meaning.verdict,
            transition.cause,
            transition.missed_beats,
            self.alert,
            quiet=bool(self.suppressed),
            folded=self.grouped,
            folds=self.subtree,
            further_alerts=self.further,
        )


@dataclass(slots=True)
class Orders:
    """All orders that follow from one frame."""

    rulings: list[Ruling] = field(default_factory=list)
    copies: list[AlertCopy] = field(default_factory=list)
    preauthorized: list[StandingSuspicion] = field(default_factory=list)
    withdrawn: list[int] = field(default_factory=list)
    deadlines: list[ReportDeadline] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to send."""
        return not (self.rulings or self.copies or self.preauthorized or self.withdrawn or self.deadlines)

    def __len__(self) -> int:
        return len(self.rulings) + len(self.copies) + len(self.preauthorized) + len(self.withdrawn)

    def add(self, more: Orders) -> None:
        """Append orders that were decided later."""
        self.rulings += more.rulings
        self.copies += more.copies
        self.preauthorized += more.preauthorized
        self.withdrawn += more.withdrawn
        self.deadlines += more.deadlines
