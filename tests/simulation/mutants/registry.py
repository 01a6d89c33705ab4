"""Mistakes of the registry: of the core, the logs, the clock, and the loop around them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from grid_model.liveness import LivenessCause
from grid_model.verdict import AlertCopy, Verdict, VerdictOutcome, VerdictResult

from registry_server.core import queries
from registry_server.core.alert_delivery import AlertDelivery
from registry_server.core.attachments import Attachments
from registry_server.core.attention import AttentiveClock
from registry_server.core.changes import Change, ChangeLog
from registry_server.core.commits import Commits, PendingCommit
from registry_server.core.deadlines import Deadlines
from registry_server.core.effects import AppendEvent, Effects, SupersededBy, Write
from registry_server.core.event_log import EventLog
from registry_server.core.heartbeats import Heartbeats
from registry_server.core.mailbox import Mailboxes
from registry_server.core.observations import ObservationFeed, Unread
from registry_server.core.published import Published
from registry_server.core.queries import Listing, Listings
from registry_server.core.record import Record
from registry_server.core.registrations import Registrations
from registry_server.core.registry import Registry
from registry_server.core.releases import Releases
from registry_server.core.service import Instant, Judgement
from registry_server.core.sessions import Session, Sessions
from registry_server.core.verdicts import Verdicts
from tests.simulation import words
from tests.simulation.mutants.mutant import Mutant, Patches
from tests.simulation.sim_readers import SimLister
from tests.simulation.sim_reading import Calls
from tests.simulation.sim_registry import SimRegistry


def _no_attentive_clock() -> Patches:
    def tick(self: Any, now: float) -> float:
        self._time += now - self._last
        self._last = now
        return 0.0

    def read(self: Any, now: float) -> float:
        return float(self._time + now - self._last)

    return [
        (AttentiveClock, "tick", tick),
        (AttentiveClock, "read", read),
        (AttentiveClock, "lags", lambda *_: False),
        (AttentiveClock, "hears_since", lambda *_: 0.0),
    ]


def _heartbeats_overtake_facts() -> Patches:
    def take(self: Any, most: int | None = None) -> Unread:
        beats = tuple(self._beats.values())
        return replace(taken(self, most), beats=beats)

    taken = ObservationFeed.take
    return [(ObservationFeed, "take", take)]


def _deadlines_are_never_reached() -> Patches:
    return [(Deadlines, "reached", lambda *_: [])]


def _stall_is_not_noticed() -> Patches:
    def tick(self: Any, now: float) -> float:
        self._time += min(max(0.0, now - self._last), self._cap)
        self._last = now
        return 0.0

    hears_since = AttentiveClock.hears_since

    def not_noticed(self: AttentiveClock, now: float) -> float:
        return min(hears_since(self, now), self.hearing_since)

    return [(AttentiveClock, "tick", tick), (AttentiveClock, "hears_since", not_noticed)]


def _wall_clock_for_intervals() -> Patches:
    def now(self: SimRegistry) -> Instant:
        return Instant(self.wall(), max(0.0, self.clock.read(self.loop.now) + self.wall_offset))

    return [(SimRegistry, "now", now)]


def _no_fencing() -> Patches:
    beat = Heartbeats.beat

    def any_beat(
        self: Heartbeats, session_id: int, service_id: str, incarnation: int, report: Any, now: Instant, **options: Any
    ) -> Record | None:
        record = self._records.get(service_id)
        current = 0 if record is None else record.incarnation
        self._attachments.sessions[session_id].superseded.pop(service_id, None)
        return beat(self, session_id, service_id, current or incarnation, report, now, **options)

    return [(Heartbeats, "beat", any_beat)]


def _older_goodbye_removes() -> Patches:
    def goodbye(self: Heartbeats, session_id: int, service_id: str, reason: str, now: Instant, *_: int) -> None:
        record = self._records.get(service_id)
        if record is not None:
            self._registrations.remove(record, reason, None, now)

    return [(Heartbeats, "goodbye", goodbye)]


def _superseded_is_not_told() -> Patches:
    def supersede(self: Any, record: Record, session_id: int, incarnation: int) -> None:
        self.sessions[session_id].services.pop(record.spec.service_id, None)
        self._delivery.connection_lost(record)

    beat = Heartbeats.beat

    def silent(self: Any, *args: Any, **options: Any) -> Record | None:
        sends = self._outgoing.sends
        before = len(sends)
        record = beat(self, *args, **options)
        sends[before:] = [each for each in sends[before:] if not isinstance(each[1], SupersededBy)]
        return record

    return [(Attachments, "supersede", supersede), (Heartbeats, "beat", silent)]


def _verdict_without_compare_and_set() -> Patches:
    apply = Verdicts.apply

    def believe(self: Any, verdict: Verdict, now: Instant) -> VerdictResult:
        record = self._records.get(verdict.service_id)
        if record is not None:
            verdict = replace(verdict, incarnation=record.incarnation, observation=record.observation)
        return apply(self, verdict, now)

    return [(Verdicts, "apply", believe)]


def _alert_dropped_on_reconnect() -> Patches:
    return [(Mailboxes, "connection_lost", lambda *_: None)]


def _mailbox_forgets_on_connection_loss() -> Patches:
    def connection_lost(self: Any, recipient: str) -> None:
        for copy in self.waiting_for(recipient):
            if copy.event.alert_id in self._sent.get(recipient, ()):
                self.acknowledge(copy.event.alert_id, recipient)

    return [(Mailboxes, "connection_lost", connection_lost)]


def _waiting_alerts_are_not_restored() -> Patches:
    restore = Registry.restore

    def forget(self: Registry, services: Any, tombstones: Any, intents: Any, waiting: Any, *rest: Any) -> None:
        restore(self, services, tombstones, intents, [], *rest)

    return [(Registry, "restore", forget)]


def _acknowledgement_before_commit() -> Patches:
    add = Commits.add

    def hasty(self: Commits, effects: Effects, revision: int, sequence: int) -> int:
        if not effects.writes:
            return add(self, effects, revision, sequence)
        self._position += 1
        told = PendingCommit(self._position, Effects(effects.sends, []), revision, sequence)
        self._durable.appendleft(told)
        position = self._position
        add(self, Effects([], effects.writes), revision + 1, sequence)
        return position

    return [(Commits, "add", hasty)]


def _readers_see_what_is_not_on_disk() -> Patches:
    add = Commits.add

    def peek(self: Commits, effects: Effects, revision: int, sequence: int) -> int:
        self._show(revision, sequence)
        return add(self, effects, revision, sequence)

    return [(Commits, "add", peek)]


def _readers_before_the_alert() -> Patches:
    release = Commits.release

    def hurried(self: Commits, now: float) -> PendingCommit | None:
        commit = release(self, now)
        if commit is not None:
            self._show(commit.revision, commit.sequence)
        return commit

    return [(Commits, "release", hurried)]


def _newest_commit_released_first() -> Patches:
    release = Commits.release

    def reverse(self: Commits, now: float) -> PendingCommit | None:
        self._durable.rotate(1)
        return release(self, now)

    return [(Commits, "release", reverse)]


def _inline_beside_another_commit() -> Patches:
    def careless(self: Commits, now: float) -> bool:
        return len(self._waiting) == 1

    return [(Commits, "commits_inline", careless)]


def _callers_do_not_wait() -> Patches:
    proceed = Releases._proceed

    def hasty(self: Releases, position: int, effects: Effects, then: Callable[[], None] | None) -> None:
        proceed(self, position, effects, None)
        if then is not None:
            then()

    return [(Releases, "_proceed", hasty)]


def _a_failed_batch_is_released() -> Patches:
    return [(Commits, "failed", lambda *_: None)]


def _what_follows_a_failed_batch_is_released() -> Patches:
    failed = Commits.failed

    def forgetful(self: Commits, position: int) -> None:
        failed(self, position)
        self._failed = False

    return [(Commits, "failed", forgetful)]


def _verdict_and_alert_in_two_commits() -> Patches:
    written = SimRegistry.flush_inline

    def split(self: SimRegistry, then: Callable[[], None] | None = None) -> None:
        effects = self.core.take()
        events: list[Write] = [write for write in effects.writes if isinstance(write, AppendEvent)]
        others: list[Write] = [write for write in effects.writes if not isinstance(write, AppendEvent)]
        self.core._outgoing.writes[:0] = others
        written(self)
        self.core._outgoing.writes[:0] = events
        self.core._outgoing.sends[:0] = effects.sends
        self.flush(then)

    return [(SimRegistry, "flush_inline", split)]


def _restored_with(**wrong: int) -> Patches:
    def fresh(self: SimRegistry, revision: int, incarnation: int, events: EventLog) -> Registry:
        return Registry(
            revision=wrong.get("revision", revision),
            incarnation=wrong.get("incarnation", incarnation),
            event_log=EventLog(0, 1) if "last" in wrong else events,
        )

    return [(SimRegistry, "fresh_core", fresh)]


def _end_of_stream_taken_as_goodbye() -> Patches:
    def stream_ended(self: Registry, session_id: int, now: Instant) -> None:
        session = self._attachments.sessions.close(session_id, now.attentive)
        for service_id in () if session is None else list(session.services):
            record = self.records.get(service_id)
            if record is not None and record.session == session_id:
                record.session = None
                self._registrations.remove(record, "goodbye", None, now)

    return [(Registry, "stream_ended", stream_ended)]


def _judgement_dies_with_the_incarnation() -> Patches:
    start = Registrations._start_incarnation

    def innocent(self: Any, spec: Any, instance_id: str, session_id: int | None, now: Instant) -> Record:
        record = start(self, spec, instance_id, session_id, now)
        record.judgement = Judgement(since=now.wall)
        return record

    return [(Registrations, "_start_incarnation", innocent)]


def _since(off: int) -> Patches:
    since = ChangeLog.since

    def wrong(self: ChangeLog, revision: int) -> list[Change]:
        return since(self, min(self.revision, max(1, revision + off)))

    return [(ChangeLog, "since", wrong)]


def _removals_are_not_restored() -> Patches:
    return [(ChangeLog, "restore_removed", lambda *_: None)]


def _compaction_is_not_told() -> Patches:
    return [(EventLog, "check", lambda *_: None)]


def _settled_before_the_copy_is_there() -> Patches:
    """The copy above comes only with the next notice: a crash between loses it."""
    notify = Verdicts.notify

    def lossy(self: Any, copy: AlertCopy, now: Instant) -> bool:
        if copy.escalated_from:
            self._delivery.stop_escalation(copy.alert_id, copy.escalated_from)
            return False
        return notify(self, copy, now)

    return [(Verdicts, "notify", lossy)]


def _acknowledged_by_anybody() -> Patches:
    def acknowledge(self: Any, session_id: int, alert_ids: Sequence[str], now: Instant) -> None:
        for alert_id in alert_ids:
            for recipient in sorted(self._delivery.mailboxes.recipients(alert_id)):
                self._delivery.acknowledge(alert_id, recipient, now)

    deliver = AlertDelivery.deliver

    def eager(self: Any, record: Record) -> set[str]:
        told: set[str] = deliver(self, record)
        for alert_id in told:
            self.acknowledge(alert_id, record.spec.service_id, Instant(0.0, 0.0))
        return told

    return [(Heartbeats, "acknowledge_on_stream", acknowledge), (AlertDelivery, "deliver", eager)]


def _promotions_are_not_kept() -> Patches:
    restore = Registry.restore

    def forget(self: Registry, services: Any, tombstones: Any, intents: Any, *rest: Any) -> None:
        restore(self, services, tombstones, [], *rest)

    return [(Registry, "restore", forget)]


def _a_watcher_is_not_needed() -> Patches:
    return [(Published, "set_watched", _always_watched)]


def _always_watched(self: Any, watched: bool) -> None:
    if not self.watched:
        self.watched = True
        for record in self._records.values():
            self.show(record)


def _an_older_stream_takes_the_service_along() -> Patches:
    beat = Heartbeats.beat

    def newest_last(self: Any, session_id: int, service_id: str, *rest: Any, **options: Any) -> Record | None:
        record = self._records.get(service_id)
        incarnation = rest[0]
        if record is not None and record.session not in (None, session_id) and incarnation == record.incarnation:
            now = rest[2]
            self._attachments.attach(record, session_id, now)
            self._facts.changed(record)
        return beat(self, session_id, service_id, *rest, **options)

    return [(Heartbeats, "beat", newest_last)]


def _owes_a_beat_before_it_was_told() -> Patches:
    return [(Heartbeats, name, lambda *_: None) for name in ("wait_for_answers", "answered")]


def _our_own_end_is_a_break() -> Patches:
    return [(Session, "reason", lambda *_: "")]


def _silent_streams_are_never_reclaimed() -> Patches:
    return [(Sessions, "silent", lambda *_: [])]


def _a_stream_of_the_dead_is_forgotten() -> Patches:
    return [(Sessions, "recheck", lambda *_: None)]


def _what_the_judge_says_of_a_stream_that_we_ended_is_stale() -> Patches:
    apply = Verdicts.apply

    def strict(self: Any, verdict: Verdict, now: Instant) -> VerdictResult:
        record = self._records.get(verdict.service_id)
        if record is not None and record.detached_reason and verdict.cause is LivenessCause.SILENT:
            return VerdictResult(VerdictOutcome.STALE)
        return apply(self, verdict, now)

    return [(Verdicts, "apply", strict)]


def _pages_at_two_revisions() -> Patches:
    """Each page is read at its own revision, and that of the last one is told for all."""

    def resume(self: Any, token: str, wanted: Any, now: float) -> tuple[Listing, int]:
        changes = self.changes
        listing = Listing(0, changes.revision, wanted, changes.services())
        while not listing.work():
            pass
        return listing, queries._read(token)[2]

    listed = Calls._list

    def each_anew(self: Any, word: words.ListServices) -> object:
        self.listings.changes = self._registry.core._changes
        return listed(self, word)

    def take(self: SimLister, answer: object) -> None:
        if isinstance(answer, words.Answer):
            self.revision = 0
        taken(self, answer)

    taken = SimLister.take
    return [(Listings, "resume", resume), (Calls, "_list", each_anew), (SimLister, "take", take)]


MISTAKES = (
    Mutant("our_end_is_a_break", "streams that we end accuse agents", ("P2",), _our_own_end_is_a_break),
    Mutant("silent_streams_stay", "silent streams are not ended", ("P4",), _silent_streams_are_never_reclaimed),
    Mutant("dead_streams_stay", "a judgement ends no stream", ("P4",), _a_stream_of_the_dead_is_forgotten),
    Mutant(
        "nobody_is_silent_off_a_stream",
        "whose stream we ended is never judged",
        ("P3",),
        _what_the_judge_says_of_a_stream_that_we_ended_is_stale,
    ),
    Mutant(
        "heartbeats_overtake_facts",
        "TRON has the newest number and old facts",
        ("ALERT", "P2", "P3"),
        _heartbeats_overtake_facts,
        first=18500,
    ),
    Mutant("deadlines_are_never_reached", "silence is not reported", ("P3",), _deadlines_are_never_reached),
    Mutant("no_attentive_clock", "a pause counts as silence", ("P2",), _no_attentive_clock),
    Mutant("stall_is_not_noticed", "no window after a pause", ("P2",), _stall_is_not_noticed),
    Mutant("wall_clock_for_intervals", "intervals by the wall clock", ("P2", "P3", "FRESH"), _wall_clock_for_intervals),
    Mutant("no_fencing", "beats of older incarnations count", ("P5",), _no_fencing),
    Mutant("older_goodbye_removes", "anybody's goodbye removes", ("P5",), _older_goodbye_removes),
    Mutant("superseded_is_not_told", "who is followed is not told", ("P5",), _superseded_is_not_told),
    Mutant("verdict_without_compare_and_set", "verdicts are believed", ("P2", "P5"), _verdict_without_compare_and_set),
    Mutant("alert_dropped_on_reconnect", "what was in flight is not sent again", ("P3",), _alert_dropped_on_reconnect),
    Mutant("mailbox_forgets", "what was in flight counts as heard", ("P3",), _mailbox_forgets_on_connection_loss),
    Mutant("waiting_alerts_not_restored", "a restart loses alerts", ("P3",), _waiting_alerts_are_not_restored),
    Mutant("acknowledgement_before_commit", "told before it is on disk", ("P1",), _acknowledgement_before_commit),
    Mutant("readers_before_commit", "shown before it is on disk", ("P1", "P7"), _readers_see_what_is_not_on_disk),
    Mutant("readers_before_the_alert", "shown before its recipient has it", ("P7",), _readers_before_the_alert),
    Mutant("newest_commit_first", "released out of order", ("P7", "P1"), _newest_commit_released_first),
    Mutant("inline_beside_another", "committed inline beside a batch", ("P1",), _inline_beside_another_commit),
    Mutant("callers_do_not_wait", "callers are answered before it is on disk", ("P1",), _callers_do_not_wait),
    Mutant("failed_is_released", "what could not be written is released", ("P1",), _a_failed_batch_is_released),
    Mutant(
        "failed_is_forgotten",
        "what follows what could not be written is released",
        ("P1",),
        _what_follows_a_failed_batch_is_released,
    ),
    Mutant(
        "verdict_and_alert_apart",
        "verdict and alert in two commits",
        ("P3", "ALERT", "P1"),
        _verdict_and_alert_in_two_commits,
        seeds=3000,
    ),
    Mutant("incarnation_not_restored", "incarnations begin anew", ("P1", "P5"), lambda: _restored_with(incarnation=0)),
    Mutant("revisions_from_zero", "revisions begin anew", ("P7",), lambda: _restored_with(revision=0)),
    Mutant("sequences_from_zero", "events are numbered anew", ("P1", "P7"), lambda: _restored_with(last=0)),
    Mutant("end_of_stream_is_goodbye", "who crashes has left", ("P2", "P3", "P5"), _end_of_stream_taken_as_goodbye),
    Mutant("judgement_dies", "a new incarnation starts clean", ("ALERT",), _judgement_dies_with_the_incarnation),
    Mutant("resume_repeats", "a reader gets a revision twice", ("P7",), lambda: _since(-1)),
    Mutant("resume_skips", "a reader misses a revision", ("P7",), lambda: _since(1)),
    Mutant("pages_at_two_revisions", "each page is at its own revision", ("P7",), _pages_at_two_revisions),
    Mutant("removals_not_restored", "a reader never hears of a removal", ("P7",), _removals_are_not_restored),
    Mutant("gap_is_not_told", "a reader is not told of a gap", ("P7",), _compaction_is_not_told),
    Mutant("settled_and_not_sent", "a copy is settled, and not sent on", ("P3",), _settled_before_the_copy_is_there),
    Mutant("sent_is_heard", "an alert that was sent counts as heard", ("P3",), _acknowledged_by_anybody),
    Mutant(
        "promotions_not_restored",
        "a promotion does not outlive a restart",
        ("P1",),
        _promotions_are_not_kept,
        first=1600,
    ),
    Mutant("nobody_needs_to_watch", "judgements are shown while nobody judges", ("FRESH",), _a_watcher_is_not_needed),
    Mutant(
        "older_stream_takes_along",
        "a late beat moves a service back",
        ("P2",),
        _an_older_stream_takes_the_service_along,
        seeds=30000,
    ),
    Mutant(
        "owes_a_beat_untold", "silence counts before the answer", ("P2",), _owes_a_beat_before_it_was_told, first=20000
    ),
)
