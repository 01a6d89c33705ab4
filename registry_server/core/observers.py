"""The observers: decides when each one is sent a frame, and whether the one that issues verdicts is still watching.
Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from grid_model.errors import QuotaExceeded
from grid_model.observation import ReportDeadline

from registry_server.core.observations import ObservationFeed
from registry_server.core.record import Record
from registry_server.core.service import Instant

MAX_OBSERVERS = 16

GONE_AFTER = 0.2
"""Attentive seconds (two ticks) without the observer's stream until judgement counts as unknown."""

MOST_UNJUDGED = 4
"""Frames that an observer may have to judge at a time. Overflow rule: the next frame waits until one was judged, and
what happens meanwhile is merged into it."""

PATIENT_TICKS = 5
"""Ticks without a frame after which one is sent whatever was judged: an observer that confirms now and then, by the
time of the frames, must not wait for the frame that waits for its word."""

NOTHING = float("-inf")

SAME_TIME = 1e-6
"""Seconds by which a time may differ after it was a Duration on the wire."""

STALE_AFTER = 2.0
"""Attentive seconds without a message from an observer with an open stream until judgement is unknown."""

BEHIND = 10.0
"""Attentive seconds by which the judgement of an observer that speaks may lag until it counts as unknown. Thousands who
die at once are judged one after another: an observer that sends meanwhile is late, not lost."""


class Pacing:
    """Decides when one observer may be sent its next frame, so that frames cannot queue on their way.

    An urgent frame is sent only once all earlier frames were evaluated, and after a frame with facts, which the
    observer confirms at once, no frame is sent before that: if thousands of services register or die at once, frames
    follow each other as fast as they are evaluated, each contains more, and none is old when it is read. An observer
    that never issued a verdict gets one frame each tick.
    """

    def __init__(self) -> None:
        self._unjudged: deque[float] = deque()
        self._facts_until = NOTHING
        """The time of the newest frame with facts."""
        self._judges = False
        self._ticks_without = 0

    def may_send(self, *, urgent: bool) -> bool:
        """Return whether a frame may be sent now; a frame that is not `urgent` is sent with the tick."""
        if not self._judges:
            return not urgent
        if urgent:
            return not self._unjudged
        self._ticks_without += 1
        confirmed = not self._unjudged or self._facts_until < self._unjudged[0]
        return (confirmed and len(self._unjudged) < MOST_UNJUDGED) or self._ticks_without > PATIENT_TICKS

    def sent(self, until: float, *, facts: bool) -> None:
        """Record that a frame with all facts up to the attentive time `until` was sent. `facts`: it has facts about
        services, not only the time, heartbeats and copies of alerts."""
        self._ticks_without = 0
        if facts:
            self._facts_until = until
        if self._judges:
            if len(self._unjudged) >= MOST_UNJUDGED:
                self._unjudged.pop()
            self._unjudged.append(until)

    def judged(self, until: float) -> None:
        """Record that all facts up to the attentive time `until` were evaluated."""
        self._judges = True
        while self._unjudged and self._unjudged[0] <= until + SAME_TIME:
            self._unjudged.popleft()


class Observers:
    """All connected observers. Only the observer whose verdicts were the last to arrive counts as TRON."""

    def __init__(self) -> None:
        self._feeds: dict[int, tuple[str, ObservationFeed]] = {}
        self._pacing: dict[int, Pacing] = {}
        self._judge = ""
        self._last_word: float | None = None
        self._judged_until = 0.0
        self._gone_at: float | None = None

    def __len__(self) -> int:
        return len(self._feeds)

    @property
    def judged_until(self) -> float:
        """The attentive second up to which the observer that counts has evaluated all facts; 0 before the first
        verdict."""
        return self._judged_until

    def open(
        self, feed_id: int, observer: str, service_ids: Iterable[str], copies: Iterable[tuple[str, str]]
    ) -> ObservationFeed:
        """Add an observer; its first frame contains all facts. Raises QuotaExceeded for too many observers."""
        if len(self._feeds) >= MAX_OBSERVERS:
            raise QuotaExceeded(f"{MAX_OBSERVERS} observers listen; no more are allowed")
        feed = ObservationFeed(list(service_ids), list(copies))
        self._feeds[feed_id] = (observer, feed)
        self._pacing[feed_id] = Pacing()
        if observer == self._judge:
            self._gone_at = None
        return feed

    def close(self, feed_id: int, now: Instant) -> str:
        """Record that an observer's stream ended; return which observer it was, empty if the stream never opened."""
        observer, _ = self._feeds.pop(feed_id, ("", None))
        self._pacing.pop(feed_id, None)
        if observer and observer == self._judge and not self._listens(observer):
            self._gone_at = now.attentive
        return observer

    def is_due(self, feed_id: int, *, tick: bool) -> bool:
        """Return whether to send the observer a frame: at a `tick`, or for an urgent fact, if its pacing allows it."""
        feed = self._feeds.get(feed_id)
        if feed is None:
            return False
        pacing = self._pacing[feed_id]
        return (feed[1].urgent and pacing.may_send(urgent=True)) or (tick and pacing.may_send(urgent=False))

    def sent(self, feed_id: int, until: float, *, facts: bool) -> None:
        """Record that the observer was sent a frame with all facts up to the attentive time `until`; see
        `Pacing.sent`."""
        self._pacing[feed_id].sent(until, facts=facts)

    def judged(self, observer: str, now: Instant, until: float | None) -> bool | None:
        """Record that the observer has evaluated all facts up to the attentive time `until` (None: now); return whether
        it is watching.

        An observer for which this time is long past is still catching up, so it is not watching. An observer without a
        stream does not count.
        """
        if not self._listens(observer):
            return None
        for feed_id, (other, _) in self._feeds.items():
            if other == observer:
                self._pacing[feed_id].judged(now.attentive if until is None else until)
        self._judge = observer
        self._last_word = now.attentive
        self._judged_until = now.attentive if until is None else min(until, now.attentive)
        self._gone_at = None
        return now.attentive - self._judged_until < BEHIND

    def are_lost(self, now: Instant) -> bool:
        """Return whether no observer is watching: the one that counted has disconnected, sends nothing any more, or is
        too far behind."""
        if self._gone_at is not None and now.attentive - self._gone_at >= GONE_AFTER:
            return True
        silent = self._last_word is None or now.attentive - self._last_word >= STALE_AFTER
        return silent or now.attentive - self._judged_until >= BEHIND

    # --- what they receive -----------------------------------------------------------------------------------------

    def changed(self, service_id: str, *, parent: str = "", urgent: bool = True) -> None:
        """Record that more than a heartbeat changed about a service."""
        for _, feed in self._feeds.values():
            feed.changed(service_id, parent=parent, urgent=urgent)

    def heard(self, record: Record) -> None:
        """Record that a heartbeat of this service arrived."""
        for _, feed in self._feeds.values():
            feed.heard(record)

    def heard_many(self, records: Sequence[Record]) -> None:
        """Record that a heartbeat of each of these services arrived."""
        for _, feed in self._feeds.values():
            feed.heard_many(records)

    def activity_moved(self, record: Record) -> None:
        """Record that the activity counter of a service changed whose lack of progress TRON evaluates."""
        for _, feed in self._feeds.values():
            feed.activity_moved(record)

    def decided(self, service_id: str) -> None:
        """Record that the change about this service was handled by a preauthorized suspicion of the observer."""
        for _, feed in self._feeds.values():
            feed.decided(service_id)

    def undefer(self, incarnation: int) -> None:
        """Send the heartbeats of this incarnation again; see `ObservationFeed.undefer`."""
        for _, feed in self._feeds.values():
            feed.undefer(incarnation)

    def removed(self, service_id: str) -> None:
        """Record that a service was removed."""
        for _, feed in self._feeds.values():
            feed.removed(service_id)

    def defer(self, observer: str, deferred: Iterable[tuple[Record, ReportDeadline]]) -> None:
        """Report these services to an observer at its deadlines, and send it none of their heartbeats before."""
        feeds = [feed for other, feed in self._feeds.values() if other == observer]
        for record, deadline in deferred:
            for feed in feeds:
                feed.defer(record, deadline)

    def copy(self, alert_id: str, recipient: str) -> None:
        """Record that a copy of an alert was added, escalated, acknowledged or dropped."""
        for _, feed in self._feeds.values():
            feed.copy(alert_id, recipient)

    def _listens(self, observer: str) -> bool:
        return any(other == observer for other, _ in self._feeds.values())
