"""The observers: decides when each observer is sent a frame, and whether the observer that issues verdicts is still
watching. Pure."""

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
"""Attentive seconds (two ticks) after the end of the observer's stream until all liveness counts as unknown."""

MOST_UNJUDGED = 4
"""Maximum number of frames that an observer was sent and has not evaluated yet. Overflow rule: the next frame waits
until one has been evaluated, and changes in the meantime are merged into it."""

PATIENT_TICKS = 5
"""Ticks without a frame after which a frame is sent even if earlier frames have not been evaluated. An observer that
reports its progress only from time to time, by the time in the frames, would otherwise wait for a frame that itself
waits for the observer's report."""

IDLE_EVERY = 0.5
"""Attentive seconds after which an observer that has nothing to decide is sent a frame without news. Its reports on
these frames show that it watches, so this must be far less than STALE_AFTER."""

NOTHING = float("-inf")

SAME_TIME = 1e-6
"""Seconds by which a time may differ from the original because it was converted to a Duration on the wire."""

STALE_AFTER = 2.0
"""Attentive seconds without a call from an observer with an open stream until all liveness counts as unknown."""

BEHIND = 10.0
"""Attentive seconds by which an observer that still sends verdicts may be behind until all liveness counts as unknown.
If thousands of services fail at once, they are evaluated one after another: an observer that sends verdicts meanwhile
is late, not lost."""


class Pacing:
    """Decides when one observer may be sent its next frame, so that frames do not queue on their way.

    An urgent frame is sent only once all earlier frames have been evaluated. If a frame contains facts, the observer
    confirms it at once, and no further frame is sent before this confirmation. So if thousands of services register or
    fail at once, frames follow each other as fast as they are evaluated, each contains more facts, and none is outdated
    when it is read. An observer that has never sent a verdict gets one frame at each tick.

    An observer that has nothing to decide before a certain time can say so. Until then, it is sent a frame at a tick
    only if there is news, or every IDLE_EVERY seconds.
    """

    def __init__(self) -> None:
        self._unjudged: deque[float] = deque()
        self._facts_until = NOTHING
        """The time of the newest frame with facts."""
        self._judges = False
        self._ticks_without = 0
        self._sent_until = NOTHING
        self._idle_until = NOTHING

    def is_idle(self, now: float) -> bool:
        """Return whether the observer needs no frame without news at `now` (attentive seconds)."""
        return now < self._idle_until and now < self._sent_until + IDLE_EVERY

    def may_send(self, *, urgent: bool) -> bool:
        """Return whether a frame may be sent now. `urgent`: an urgent fact waits; otherwise, this must be called once
        at each tick."""
        if not self._judges:
            return not urgent
        if urgent:
            return not self._unjudged
        self._ticks_without += 1
        confirmed = not self._unjudged or self._facts_until < self._unjudged[0]
        return (confirmed and len(self._unjudged) < MOST_UNJUDGED) or self._ticks_without > PATIENT_TICKS

    def sent(self, until: float, *, facts: bool) -> None:
        """Record that a frame with all facts up to the attentive time `until` was sent. `facts`: it contained facts
        about services, and not only the time, heartbeats and alert copies."""
        self._ticks_without = 0
        self._sent_until, self._idle_until = until, NOTHING
        if facts:
            self._facts_until = until
        if self._judges:
            if len(self._unjudged) >= MOST_UNJUDGED:
                self._unjudged.pop()
            self._unjudged.append(until)

    def judged(self, until: float, idle_until: float = NOTHING) -> None:
        """Record that the observer has evaluated all facts up to the attentive time `until`, and has nothing to decide
        before `idle_until` unless it receives new facts. A frame that was sent later may have changed that."""
        self._judges = True
        if until + SAME_TIME >= self._sent_until:
            self._idle_until = idle_until
        while self._unjudged and self._unjudged[0] <= until + SAME_TIME:
            self._unjudged.popleft()


class Observers:
    """All connected observers. If several observers send verdicts, only the one that sent the latest verdicts counts as
    TRON."""

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
        """The attentive time up to which TRON has evaluated all facts; 0.0 before TRON's first call with verdicts."""
        return self._judged_until

    def open(
        self, feed_id: int, observer: str, service_ids: Iterable[str], copies: Iterable[tuple[str, str]]
    ) -> ObservationFeed:
        """Add an observer; its first frame contains all facts. Raises QuotaExceeded for too many observers."""
        if len(self._feeds) >= MAX_OBSERVERS:
            raise QuotaExceeded(f"{MAX_OBSERVERS} observers are connected; no more are allowed")
        feed = ObservationFeed(list(service_ids), list(copies))
        self._feeds[feed_id] = (observer, feed)
        self._pacing[feed_id] = Pacing()
        if observer == self._judge:
            self._gone_at = None
        return feed

    def close(self, feed_id: int, now: Instant) -> str:
        """Record that an observer's stream ended. Return the id of the observer; empty if the stream never opened."""
        observer, _ = self._feeds.pop(feed_id, ("", None))
        self._pacing.pop(feed_id, None)
        if observer and observer == self._judge and not self._listens(observer):
            self._gone_at = now.attentive
        return observer

    def is_due(self, feed_id: int, now: float, *, tick: bool) -> bool:
        """Return whether to send the observer a frame at `now` (attentive seconds): at a tick (`tick`), or because an
        urgent fact waits. The result is False if the `Pacing` of the observer does not allow a frame now."""
        feed = self._feeds.get(feed_id)
        if feed is None:
            return False
        pacing = self._pacing[feed_id]
        if feed[1].urgent and pacing.may_send(urgent=True):
            return True
        if not tick or (pacing.is_idle(now) and not feed[1].has_news(now)):
            return False
        return pacing.may_send(urgent=False)

    def sent(self, feed_id: int, until: float, *, facts: bool) -> None:
        """Record that the observer was sent a frame with all facts up to the attentive time `until`; see
        `Pacing.sent`."""
        self._pacing[feed_id].sent(until, facts=facts)

    def judged(self, observer: str, now: Instant, until: float | None, idle_until: float | None = None) -> bool | None:
        """Record that an observer has evaluated all facts up to the attentive time `until` (None means now), and has
        nothing to decide before `idle_until` unless it receives new facts (None if it may have). Return whether the
        observer is watching.

        The result is False if `until` is long past, because the observer is still catching up. It is None if the
        observer has no open stream; then nothing is recorded.
        """
        if not self._listens(observer):
            return None
        for feed_id, (other, _) in self._feeds.items():
            if other == observer:
                judged_until = now.attentive if until is None else until
                self._pacing[feed_id].judged(judged_until, NOTHING if idle_until is None else idle_until)
        self._judge = observer
        self._last_word = now.attentive
        self._judged_until = now.attentive if until is None else min(until, now.attentive)
        self._gone_at = None
        return now.attentive - self._judged_until < BEHIND

    def are_lost(self, now: Instant) -> bool:
        """Return whether no observer is watching: none has sent verdicts yet, or the observer that counts as TRON has
        disconnected, no longer sends anything, or is too far behind."""
        if self._gone_at is not None and now.attentive - self._gone_at >= GONE_AFTER:
            return True
        silent = self._last_word is None or now.attentive - self._last_word >= STALE_AFTER
        return silent or now.attentive - self._judged_until >= BEHIND

    # --- what they receive -----------------------------------------------------------------------------------------

    def changed(self, service_id: str, *, parent: str = "", urgent: bool = True) -> None:
        """Record a change of a service other than a heartbeat; see `ObservationFeed.changed`."""
        for _, feed in self._feeds.values():
            feed.changed(service_id, parent=parent, urgent=urgent)

    def heard(self, record: Record) -> None:
        """Record a heartbeat of this service."""
        for _, feed in self._feeds.values():
            feed.heard(record)

    def heard_many(self, records: Sequence[Record]) -> None:
        """Record a heartbeat of each of these services."""
        for _, feed in self._feeds.values():
            feed.heard_many(records)

    def activity_moved(self, record: Record) -> None:
        """Record a change of the activity counter of a service whose progress TRON checks."""
        for _, feed in self._feeds.values():
            feed.activity_moved(record)

    def decided(self, service_id: str) -> None:
        """Record that the newest change of this service needs no decision by the observer, because the registry has
        already applied the observer's preauthorized suspicion to it."""
        for _, feed in self._feeds.values():
            feed.decided(service_id)

    def undefer(self, incarnation: int) -> None:
        """Drop the report deadline of this incarnation; see `ObservationFeed.undefer`."""
        for _, feed in self._feeds.values():
            feed.undefer(incarnation)

    def removed(self, service_id: str) -> None:
        """Record that a service was removed."""
        for _, feed in self._feeds.values():
            feed.removed(service_id)

    def defer(self, observer: str, deferred: Iterable[tuple[Record, ReportDeadline]]) -> None:
        """Set the report deadlines of an observer for these services. The observer is sent no heartbeats of a service
        before the deadline."""
        feeds = [feed for other, feed in self._feeds.values() if other == observer]
        for record, deadline in deferred:
            for feed in feeds:
                feed.defer(record, deadline)

    def copy(self, alert_id: str, recipient: str) -> None:
        """Record that an alert copy was added, escalated, acknowledged or dropped."""
        for _, feed in self._feeds.values():
            feed.copy(alert_id, recipient)

    def _listens(self, observer: str) -> bool:
        return any(other == observer for other, _ in self._feeds.values())
