"""What TRON did since it started, counted as it happens: GetStats and the metrics are read from here. Pure."""

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
"""Why an alert is held, as a label."""


@dataclass(slots=True)
class Stats:
    """Counts, and how it is now; `last_check` in seconds since the epoch."""

    alerts_issued: int = 0
    last_check: float | None = None
    watching: bool = False
    alerts_escalated: int = 0
    """Copies that went to the next ancestor, or to operators."""
    alerts_undelivered: int = 0
    """CRITICAL alerts of which nobody at all was notified in time."""
    streams_broken: int = 0
    """Streams of facts that ended."""
    judgement_seconds: Histogram = field(default_factory=lambda: Histogram(SHORT))
    """How long each frame took, from its facts to the answers of the registry."""
    verdicts: dict[tuple[str, ...], int] = field(default_factory=dict)
    """By kind, cause and outcome, lower case."""
    alerts_held: dict[tuple[str, ...], int] = field(default_factory=lambda: {(why,): 0 for why in HELD.values()})
    """Alerts that were recorded and not sent, by reason."""

    def verdict(self, kind: Kind, cause: LivenessCause, outcome: VerdictOutcome | None) -> None:
        """A verdict was answered; `outcome` None: by a word that this program does not know."""
        key = (kind.value, cause.name.lower(), "unknown" if outcome is None else outcome.name.lower())
        self.verdicts[key] = self.verdicts.get(key, 0) + 1

    def held(self, reason: str) -> None:
        """An alert is held, for one of the reasons in `messages`."""
        self.alerts_held[(HELD[reason],)] += 1
