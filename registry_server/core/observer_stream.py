"""The stream on which TRON receives facts, and the calls in which it sends verdicts and other orders: builds each
frame, and applies or refuses each order. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from grid_model.errors import Draining, InvalidRequest, ReaderTooSlow
from grid_model.event import Event
from grid_model.observation import Delivery, Forebear, Frame, ReportDeadline
from grid_model.verdict import AlertCopy, StandingSuspicion, Verdict, VerdictOutcome, VerdictResult

from registry_server.core.commits import READERS_AFTER, Commits
from registry_server.core.facts import facts_of
from registry_server.core.observations import Unread
from registry_server.core.registry import Registry
from registry_server.core.service import Instant
from registry_server.core.validation import (
    MAX_ALERT_VALUES,
    MAX_OBJECT_BYTES,
    check_event,
    check_id,
    count_values,
    too_many_elements,
)

MAX_IN_FRAME = 500
"""Maximum number of facts in one message. 500 services take about 50 KB, and 5 ms in which nothing else is served."""

MOST_VALUES = 4000
"""Number of values in the details of alert copies after which a message ends; the other copies follow in further
messages. A value takes up to a microsecond here, and as long at the observer."""

MOST_IN_FRAME = 300
"""Maximum number of changed services in one frame, and of alert copies; only the snapshot contains all. The rest
follows in the next frames, in which the parents take turns, so that a change of one service does not wait for thousands
of other services. The time of the facts advances with each frame, so TRON may notice a deadline late by the time that
it needs for one frame."""

MOST_DETAILS = 2 * MAX_OBJECT_BYTES
"""Maximum size of the details of an observer's alert in bytes. A client's alert may use all of MAX_OBJECT_BYTES, and
its copy for the next ancestor also names the earlier recipients, and why it escalated."""

MAX_DEADLINES = 10_000
"""Maximum number of report deadlines in one call; 10,000 take 5 ms."""


class ObserverStream:
    """The stream of one observer; `feed_id` is its number in the registry.

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
        """Seconds by which the next frame should be delayed: a few milliseconds if urgent changes wait and none of them
        needs a decision by the observer, else 0. The delay keeps the processor free for the recipients of alerts,
        because TRON uses it when it reads a frame."""
        return READERS_AFTER if self._feed.is_decided else 0.0

    def frame(self, now: Instant, hearing_since: Callable[[], float], *, draining: bool = False) -> Iterator[Frame]:
        """Yield the new facts as messages, which are built one by one, so that other work can run between two of them.
        Changes in the meantime are sent in the next frame, and so are those beyond `MOST_IN_FRAME`. Only the last
        message of a frame contains the new time up to which the observer has the facts. A verdict on a service whose
        newest facts have not been sent yet is refused as stale.

        `hearing_since` returns the attentive time at which the registry's last stall ended.

        Raises Draining if the registry is shutting down, and ReaderTooSlow if the observer did not read for so long
        that it must start again with a snapshot.
        """
        if draining:
            raise Draining("the registry is shutting down")
        if self._feed.overflowed:
            raise ReaderTooSlow("the client read too slowly and missed changes; start again from a snapshot")
        self._feed.report(now.attentive)
        most = None if self._snapshot else self._most_in_frame
        unread = self._feed.take(most)
        *parts, last = unread.parts(self._max_in_frame)
        for part in parts:
            for each in _divided(self._read(part, hearing_since)):
                yield replace(each, continues=True)
        before, self._until = self._until, now.attentive
        self._registry.frame_sent(self.feed_id, self._until, facts=bool(unread.changed or unread.removed))
        *first, frame = _divided(self._read(last, hearing_since))
        for each in first:
            yield replace(each, now=before, continues=True)
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


def _divided(frame: Frame) -> list[Frame]:
    """Return the messages with the content of this one. There are several if its alert copies have many values: the
    facts are in the first one, and the heartbeats in the last one."""
    room, deliveries = MOST_VALUES, [list[Delivery]()]
    for delivery in frame.deliveries:
        if room < 0:
            room = MOST_VALUES
            deliveries.append([])
        deliveries[-1].append(delivery)
        room -= count_values(delivery.event.details)
    first, *others = map(tuple, deliveries)
    if not others:
        return [frame]
    further = [Frame(frame.now, frame.hearing_since, deliveries=each) for each in others]
    return [replace(frame, beats=(), deliveries=first), *further[:-1], replace(further[-1], beats=frame.beats)]


class VerdictCall:
    """One call in which an observer sends verdicts, alerts and other orders; `finish` must be called at the end. Raises
    InvalidRequest for an invalid observer id."""

    def __init__(self, registry: Registry, observer: str) -> None:
        check_id("observer", observer)
        self._registry = registry
        self._observer = observer
        self._standing: list[StandingSuspicion] = []
        self._deadlines: Sequence[ReportDeadline] = ()

    def apply(self, verdict: Verdict, now: Instant) -> VerdictResult:
        """Apply a verdict or refuse it; the result contains the outcome."""
        try:
            _check((verdict.alert, *verdict.further_alerts))
        except InvalidRequest:
            return VerdictResult(VerdictOutcome.INVALID)
        return self._registry.apply(verdict, now)

    def notify(self, copy: AlertCopy, now: Instant) -> None:
        """Send an alert, or a further copy of an alert. Raises InvalidRequest if the alert is invalid."""
        _check((copy.alert,))
        self._registry.notify(copy, now)

    def preauthorize(self, suspicion: StandingSuspicion) -> None:
        """Add a preauthorized suspicion, which `finish` stores. Raises InvalidRequest if its alert is invalid."""
        _check((suspicion.alert,))
        self._standing.append(suspicion)

    def defer(self, deadlines: Sequence[ReportDeadline]) -> None:
        """Set the report deadlines of incarnations, which `finish` applies. Raises InvalidRequest if there are too
        many."""
        if len(deadlines) > MAX_DEADLINES:
            path = "report_deadlines.incarnations"
            raise InvalidRequest.of(too_many_elements(path, len(deadlines), MAX_DEADLINES))
        self._deadlines = deadlines

    def finish(
        self,
        withdrawn: Iterable[int],
        now: Instant,
        *,
        held: bool,
        cascade_alert_id: str,
        until: float | None,
        idle_until: float | None = None,
    ) -> None:
        """Store the preauthorized suspicions and the report deadlines, and record that the observer has evaluated all
        facts up to `until` (attentive seconds; None means all facts until now), and has nothing to decide before
        `idle_until` (attentive seconds; None if it may have) unless it receives new facts.

        `withdrawn` contains the incarnations whose preauthorized suspicions end. `held`: preauthorized suspicions are
        not applied for now. `cascade_alert_id` is the alert of the mass failure that is in progress; empty if none is.
        """
        self._registry.preauthorize(self._standing, withdrawn, held=held, observer=self._observer)
        self._registry.defer(self._observer, self._deadlines)
        self._registry.report_cascade(cascade_alert_id)
        self._registry.judged(self._observer, now, until, idle_until)


def _check(events: Iterable[Event | None]) -> None:
    for event in events:
        if event is not None:
            check_event(event, MOST_DETAILS, MAX_ALERT_VALUES)
