"""Counts TRON's work since its start; GetStats and the metrics read these counts. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from grid_model.liveness import LivenessCause
from grid_model.verdict import VerdictOutcome

from grid_hosting.telemetry.histogram import SHORT, Histogram
from tron import messages
from tron.facts import Kind

HELD = {
    messages.HELD_MAINTENANCE: "maintenance",
    messages.HELD_MASS_FAILURE: "mass_failure",
    messages.HELD_FLAPPING: "flapping",
    messages.HELD_IN_CASCADE: "listed",
    messages.HELD_UNREPORTED_FAILURE: "unreported",
}
"""The label of the metrics for each reason why an alert is held."""


@dataclass(slots=True)
class Stats:
    """The counts of TRON's work since its start, whether it is `watching` now, and when it last evaluated the services
    (`last_check`, in seconds since the epoch)."""

    alerts_issued: int = 0
    last_check: float | None = None
    watching: bool = False
    alerts_escalated: int = 0
    """The number of copies that were sent to the next ancestor, or to operators."""
    alerts_undelivered: int = 0
    """The number of CRITICAL alerts of which no recipient could be notified in time."""
    streams_broken: int = 0
    """The number of streams of facts that ended."""
    judgement_seconds: Histogram = field(default_factory=lambda: Histogram(SHORT))
    """The seconds from the arrival of each frame to the registry's answers to the verdicts on it."""
    verdicts: dict[tuple[str, ...], int] = field(default_factory=dict)
    """The number of verdicts by kind, cause and outcome, in lower case."""
    alerts_held: dict[tuple[str, ...], int] = field(default_factory=lambda: {(why,): 0 for why in HELD.values()})
    """The number of alerts that were recorded and not sent, by reason."""

    def verdict(self, kind: Kind, cause: LivenessCause, outcome: VerdictOutcome | None) -> None:
        """Count a verdict by the registry's answer. `outcome` is None for an answer that this version does not know."""
        key = (kind.value, cause.name.lower(), "unknown" if outcome is None else outcome.name.lower())
        self.verdicts[key] = self.verdicts.get(key, 0) + 1

    def held(self, reason: str) -> None:
        """Count an alert that is held. `reason`: one of the texts of `messages` that `HELD` lists."""
        self.alerts_held[(HELD[reason],)] += 1
