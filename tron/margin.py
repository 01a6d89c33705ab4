"""The safety margin of a service: how much of its allowed silence its longest gap between heartbeats used, and the
timeout that its gaps suggest. Pure.

Only the longest gap and the time of observation are known, so the suggestion is twice the longest gap. Suppose that the
gaps have a power tail, P(gap > t) ~ t ** -a. Then, on average, one in 2 ** a observations of equal length contains a
gap of at least twice the longest gap that was observed (I. Weissman: Estimation of Parameters and Large Quantiles Based
on the k Largest Observations, JASA 73, 1978; here k is 1). If the mean is finite, a is above 1 and 2 ** a is above 2;
with a lighter tail, such a gap is less frequent.
"""

from __future__ import annotations

from dataclasses import dataclass

from grid_model.observation import Facts

from tron.policy import Policy

FACTOR = 2.0
"""The suggested timeout is this many times the longest gap, so that the longest gap uses half of it."""

ENOUGH = 100
"""How many heartbeats must have been due before a timeout is suggested. The next gap is longer than the longest of n
alike gaps with probability 1 / (n + 1), by symmetry: with 100 that is below 1 %."""


@dataclass(frozen=True, slots=True)
class Margin:
    """How the gaps between the heartbeats of a service compare with its thresholds. All times are in seconds."""

    longest_gap: float
    observed_for: float
    """How long the service was on streams, with this incarnation, since the registry started."""
    enough_after: float
    """The time of observation after which a timeout is suggested."""
    down_after: float
    """The silence after which the service is down."""
    suggested: float | None
    """The suggested silence; None if there is too little data."""
    suggested_misses: int | None
    """The value of `misses_before_down` that allows the suggested silence; None if there is too little data."""

    @property
    def used(self) -> float:
        """The share of the allowed silence that the longest gap used. At 1 or more, the service was declared down."""
        return self.longest_gap / self.down_after

    @property
    def suffices(self) -> bool:
        """Whether the thresholds in force allow the suggested silence."""
        return self.suggested is not None and self.suggested <= self.down_after


def margin_of(facts: Facts, policy: Policy, now: float) -> Margin | None:
    """Return the margin of a service at `now` (attentive seconds); None if no gap between two heartbeats was observed
    on a stream."""
    if facts.worst_gap <= 0:
        return None
    on_stream = now - facts.attached_at if facts.connected and facts.attached_at is not None else 0.0
    observed_for = facts.earlier_streams_for + max(0.0, on_stream)
    enough_after = ENOUGH * facts.interval
    suggested = None
    if observed_for >= enough_after:
        suggested = max(FACTOR * facts.worst_gap, facts.interval)
    return Margin(
        longest_gap=facts.worst_gap,
        observed_for=observed_for,
        enough_after=enough_after,
        down_after=policy.silence(facts.interval, policy.misses_before_down),
        suggested=suggested,
        suggested_misses=None if suggested is None else policy.misses_for(facts.interval, suggested),
    )
