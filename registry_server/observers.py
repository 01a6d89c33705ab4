"""Who observes: what each of them is yet to be told, and whether the one that judges still watches. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from registry_server.observations import Heard, ObservationFeed
from registry_server.service import Instant

GONE_AFTER = 0.2
"""Attentive seconds (two ticks) without the observer's stream until judgement counts as unknown."""

STALE_AFTER = 2.0
"""Attentive seconds without a word from an observer whose stream stands until judgement counts as unknown."""


class Observers:
    """All observers that listen. The one whose judgement came last is the one that judges."""

    def __init__(self) -> None:
        self._feeds: dict[int, tuple[str, ObservationFeed]] = {}
        self._judge = ""
        self._last_word: float | None = None
        self._gone_at: float | None = None

    def open(
        self, feed_id: int, observer: str, service_ids: Iterable[str], copies: Iterable[tuple[str, str]]
    ) -> ObservationFeed:
        """An observer listens from now on; its first frame is everything."""
        feed = ObservationFeed(list(service_ids), list(copies))
        self._feeds[feed_id] = (observer, feed)
        if observer == self._judge:
            self._gone_at = None
        return feed

    def close(self, feed_id: int, now: Instant) -> str:
        """An observer's stream ended; return whose, empty where it never opened."""
        observer, _ = self._feeds.pop(feed_id, ("", None))
        if observer and observer == self._judge and not self._listens(observer):
            self._gone_at = now.attentive
        return observer

    def is_urgent(self, feed_id: int) -> bool:
        """Whether the observer should be told something before the next tick."""
        feed = self._feeds.get(feed_id)
        return feed is not None and feed[1].urgent

    def judged(self, observer: str, now: Instant, until: float | None) -> bool | None:
        """The observer has judged all facts up to the attentive time `until` (None: now): return whether it watches.

        Not where that is long ago: then it is still catching up. None for one who has no ear: it does not count.
        """
        if not self._listens(observer):
            return None
        self._judge = observer
        self._last_word = now.attentive if until is None else min(until, now.attentive)
        self._gone_at = None
        return now.attentive - self._last_word < STALE_AFTER

    def are_lost(self, now: Instant) -> bool:
        """Whether nobody watches: the one that judged is gone, or has said nothing for too long."""
        gone = self._gone_at is not None and now.attentive - self._gone_at >= GONE_AFTER
        return gone or self._last_word is None or now.attentive - self._last_word >= STALE_AFTER

    # --- what they are told -----------------------------------------------------------------------------------------

    def changed(self, service_id: str, *, urgent: bool = True) -> None:
        """More than a beat changed about a service."""
        for _, feed in self._feeds.values():
            feed.changed(service_id, urgent=urgent)

    def heard(self, service_id: str, beat: Heard) -> None:
        """A beat came."""
        for _, feed in self._feeds.values():
            feed.heard(service_id, beat)

    def removed(self, service_id: str) -> None:
        """A service is gone."""
        for _, feed in self._feeds.values():
            feed.removed(service_id)

    def copy(self, alert_id: str, recipient: str) -> None:
        """A copy of an alert was put, settled, acknowledged or dropped."""
        for _, feed in self._feeds.values():
            feed.copy(alert_id, recipient)

    def _listens(self, observer: str) -> bool:
        return any(other == observer for other, _ in self._feeds.values())
