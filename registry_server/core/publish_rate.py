"""Limits how many events each principal may publish, with a token bucket for each principal. Pure."""

from __future__ import annotations

from collections import OrderedDict

PUBLISHED_A_SECOND = 10
"""Maximum number of events that a principal may publish per second; it may publish all of them at once."""

MOST_BUCKETS = 10_000
"""Maximum number of principals that are remembered. Overflow rule: the principal that published least recently is
forgotten, and may publish again at once."""


class PublishRate:
    """Counts the events that each principal published in the last second."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """By principal: how many events it may still publish, and since when that holds (attentive seconds)."""

    def take(self, principal: str, now: float) -> bool:
        """Return whether a principal may publish an event now (attentive seconds), and count it if so."""
        left, since = self._buckets.get(principal, (float(PUBLISHED_A_SECOND), now))
        left = min(float(PUBLISHED_A_SECOND), left + (now - since) * PUBLISHED_A_SECOND)
        allowed = left >= 1.0
        self._buckets[principal] = (left - allowed, now)
        self._buckets.move_to_end(principal)
        if len(self._buckets) > MOST_BUCKETS:
            self._buckets.popitem(last=False)
        return allowed
