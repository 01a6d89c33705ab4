"""TRON's stream of facts, and its calls with verdicts: builds each frame, and applies or refuses each order. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from grid_model.errors import Draining, FieldError, InvalidRequest, ReaderTooSlow
from grid_model.event import Event
from grid_model.observation import Delivery, Forebear, Frame, ReportDeadline
from grid_model.verdict import AlertCopy, StandingSuspicion, Verdict, VerdictOutcome, VerdictResult

from registry_server.core.commits import READERS_AFTER, Commits
from registry_server.core.facts import facts_of
from registry_server.core.observations import Unread
from registry_server.core.registry import Registry
from registry_server.core.service import Instant
from registry_server.core.validation import check_event, check_id

MAX_IN_FRAME = 500
"""Facts in one message: for services about 50 KB, and 5 ms for which nobody else is served."""

MOST_IN_FRAME = 300
"""Services whose facts changed in one frame, and copies of alerts; the snapshot has all. The rest follows in the next
frame, in which the parents take turns: what happens to one service does not wait for thousands of others. The time
advances with each frame, so a deadline may be found late by the time that TRON takes for one."""

MAX_DEADLINES = 10_000
"""Report deadlines in one call: 5 ms."""


class ObserverStream:
    """The stream of one observer, open as `feed_id`.

    Raises InvalidRequest for an invalid observer id, and QuotaExceeded for too many observers.
    """

    def __init__(
        self,
        registry: Registry,
        commits: Commits,
        feed_id: int,
        observer: str,
        *,
        max_in_frame: int = MAX_IN_FRAME,
        most_in_frame: int = MOST_IN_FRAME,
    ) -> None:
        check_id("observer", observer)
        self._registry = registry
        self._commits = commits
        self._max_in_frame = max_in_frame
        self._most_in_frame = most_in_frame
        self._until = 0.0
        self._snapshot = True
        self.feed_id = feed_id
        self._feed = registry.open_feed(feed_id, observer)

    @property
    def delay(self) -> float:
        """Seconds for which the next frame may wait: a moment if all services whose streams broke are already suspect
        by preauthorized suspicions. TRON uses the processor when it reads a frame, and the recipients of those alerts
        should run first."""
        return READERS_AFTER if self._feed.is_decided else 0.0

    def frame(self, now: Instant, hearing_since: Callable[[], float], *, draining: bool = False) -> Iterator[Frame]:
        """Yield new facts as messages that are built one by one, so that other work runs between two of them. Changes
        during that time are in the next frame, and so are those beyond `MOST_IN_FRAME`; the time of the facts advances
        when the whole frame has been sent. A verdict on a service whose newest facts are still to come is refused as
        stale.

        `hearing_since` returns the attentive second since which the registry did not stall.

        Raises Draining, and ReaderTooSlow if too much changed while nothing was read.
        """
        if draining:
            raise Draining("the registry is going away")
        if self._feed.overflowed:
            raise ReaderTooSlow("too much happened while nothing was read; start again from a snapshot")
        self._feed.report(now.attentive)
        most = None if self._snapshot else self._most_in_frame
        unread = self._feed.take(most)
        *parts, last = unread.parts(self._max_in_frame)
        for part in parts:
            yield replace(self._read(part, hearing_since), continues=True)
        self._until = now.attentive
        self._registry.frame_sent(self.feed_id, self._until, facts=bool(unread.changed or unread.removed))
        frame = self._read(last, hearing_since)
        if self._snapshot:
            self._snapshot = False
            gone = self._registry.tombstones.values()
            frame = replace(
                frame,
                forebears=tuple(Forebear(each.service_id, each.name, each.parent) for each in gone),
                cascade_alert_id=self._registry.cascade_alert_id,
                snapshot_complete=True,
                takes_deadlines=True,
            )
        yield frame

    def _read(self, unread: Unread, hearing_since: Callable[[], float]) -> Frame:
        registry = self._registry
        records = registry.records
        deliveries: list[Delivery] = []
        ended: list[tuple[str, str]] = []
        for alert_id, recipient in unread.copies:
            delivery = registry.copy(alert_id, recipient)
            if delivery is None:
                # What came and ended between two frames, as most do in a mass failure, is no fact for an observer.
                if self._feed.copy_ended(alert_id, recipient):
                    ended.append((alert_id, recipient))
            elif delivery.event.sequence > self._commits.sequence:
                self._feed.copy(alert_id, recipient)  # operators must not be notified before it is durable
            else:
                self._feed.copy_sent(alert_id, recipient)
                deliveries.append(delivery)
        changed = [records[each] for each in unread.changed if each in records]
        known = [
            facts_of(record, registry.maintenance_of(record.spec.service_id), registry.parent_of(record))
            for record in changed
        ]
        for record in changed:
            self._feed.undefer(record.incarnation)
        return Frame(
            self._until,
            hearing_since(),
            tuple(known),
            unread.beats,
            unread.removed,
            tuple(deliveries),
            tuple(ended),
        )


class VerdictCall:
    """One call with an observer's orders; call `finish` in any case. Raises InvalidRequest for a wrong observer."""

    def __init__(self, registry: Registry, observer: str) -> None:
        check_id("observer", observer)
        self._registry = registry
        self._observer = observer
        self._standing: list[StandingSuspicion] = []
        self._deadlines: Sequence[ReportDeadline] = ()

    def apply(self, verdict: Verdict, now: Instant) -> VerdictResult:
        """Apply a verdict, or refuse it."""
        try:
            _check((verdict.alert, *verdict.further_alerts))
        except InvalidRequest:
            return VerdictResult(VerdictOutcome.INVALID)
        return self._registry.apply(verdict, now)

    def notify(self, copy: AlertCopy, now: Instant) -> None:
        """Send an alert, or one more copy of one. Raises InvalidRequest."""
        _check((copy.alert,))
        self._registry.notify(copy, now)

    def preauthorize(self, suspicion: StandingSuspicion) -> None:
        """Store a preauthorized suspicion. Raises InvalidRequest."""
        _check((suspicion.alert,))
        self._standing.append(suspicion)

    def defer(self, deadlines: Sequence[ReportDeadline]) -> None:
        """Report these incarnations at their deadlines, and none of their heartbeats before. Raises InvalidRequest."""
        if len(deadlines) > MAX_DEADLINES:
            error = f"has {len(deadlines)}; at most {MAX_DEADLINES} are allowed"
            raise InvalidRequest.of(FieldError("report_deadlines.incarnations", error))
        self._deadlines = deadlines

    def finish(
        self, withdrawn: Iterable[int], now: Instant, *, held: bool, cascade_alert_id: str, until: float | None
    ) -> None:
        """Record that all orders were applied, and that the observer has evaluated all facts up to `until` (attentive
        seconds; None: now)."""
        self._registry.preauthorize(self._standing, withdrawn, held=held, observer=self._observer)
        self._registry.defer(self._observer, self._deadlines)
        self._registry.report_cascade(cascade_alert_id)
        self._registry.judged(self._observer, now, until)


def _check(events: Iterable[Event | None]) -> None:
    for event in events:
        if event is not None:
            check_event(event)
