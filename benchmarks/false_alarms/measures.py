"""The measures of a failure detector, after W. Chen, S. Toueg, M. K. Aguilera: On the Quality of Service of Failure
Detectors, IEEE Transactions on Computers 51(5), 2002. Pure.

| measure | meaning |
|---|---|
| T_D  | detection time: from the failure until the detector suspects the agent for good |
| T_MR | mistake recurrence time: from the beginning of one mistake to the beginning of the next |
| T_M  | mistake duration: from a suspicion of an agent that lives until the detector trusts it again |
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ceil, inf

DAY = 86_400.0
TICK = 0.1
"""All detectors look at the time as the registry does, ten times a second, after the input was read."""

RULE_OF_THREE = 3.0
"""If no event was seen in n days, the rate is below 3/n a day with 95 % confidence: exp(-3) is 0.05."""


def tick_at(seconds: float) -> float:
    """Return the first tick that is not before a moment."""
    return ceil(seconds / TICK - 1e-9) * TICK


@dataclass(slots=True)
class Measures:
    """What one detector did, with one threshold. Times are seconds."""

    observed: float = 0.0
    """How long agents that live were observed, in sum."""
    mistakes: int = 0
    mistaken: float = 0.0
    """The duration of all mistakes, in sum."""
    detections: list[float] = field(default_factory=list)
    """The detection times of failures."""

    def add_mistake(self, suspected_at: float, trusted_at: float) -> None:
        """Record that an agent that lives was suspected, and when it was trusted again."""
        self.mistakes += 1
        self.mistaken += trusted_at - suspected_at

    def add_detection(self, failed_at: float, suspected_at: float) -> None:
        """Record a failure, and when it was suspected for good; a suspicion from before the failure counts as 0."""
        self.detections.append(max(0.0, suspected_at - failed_at))

    def merge(self, others: Iterable[Measures]) -> Measures:
        """Return the sum of these measures and others."""
        every = [self, *others]
        return Measures(
            sum(each.observed for each in every),
            sum(each.mistakes for each in every),
            sum(each.mistaken for each in every),
            [seconds for each in every for seconds in each.detections],
        )

    @property
    def days(self) -> float:
        """The observed agent-days."""
        return self.observed / DAY

    @property
    def mistakes_per_day(self) -> float:
        """The mistakes per agent-day."""
        return self.mistakes / self.days if self.days else 0.0

    @property
    def at_most_per_day(self) -> float:
        """If there was no mistake: the mistakes per agent-day that are not exceeded with 95 % confidence."""
        return RULE_OF_THREE / self.days if self.days else inf

    @property
    def recurrence(self) -> float:
        """The mean of T_MR; infinite if there was no mistake."""
        return self.observed / self.mistakes if self.mistakes else inf

    @property
    def duration(self) -> float:
        """The mean of T_M; 0 if there was no mistake."""
        return self.mistaken / self.mistakes if self.mistakes else 0.0

    @property
    def detection(self) -> float:
        """The mean of T_D."""
        return sum(self.detections) / len(self.detections)

    def detection_at(self, share: float) -> float:
        """The T_D that this share of the failures does not exceed (nearest rank)."""
        return sorted(self.detections)[max(0, ceil(share * len(self.detections)) - 1)]
