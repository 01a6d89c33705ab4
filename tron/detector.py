"""The failure detector: facts in, transitions out. Alive -> suspect -> down -> deregistered, and back.

| judged  | what is known                           | becomes    | when                                                |
|---------|-----------------------------------------|------------|-----------------------------------------------------|
| alive   | the other side ended its stream         | suspect    | at once; later if the stream predates a stall       |
| alive   | not re-attached since the registry's start | suspect | at the end of the reattach window                   |
| alive   | no beat                                 | suspect    | 1 x interval + tolerance: a missed beat             |
| alive   | beats, but no activity                  | suspect    | stall_after after the activity counter last moved   |
| suspect | the stream is still broken              | down       | reconnect_grace after it broke                      |
| suspect | a refused connection confirms it        | down       | at once                                             |
| suspect | still no beat                           | down       | 2 x interval + tolerance after the last beat        |
| suspect | a beat was missed, then the stream broke | down      | reconnect_grace or 2 x interval, if that is sooner  |
| down    | still nothing                           | deregister | 3 x interval + tolerance, one interval after down,  |
|         |                                         |            | keep_down after down; never without `deregister`    |
| suspect | heard, and connected if it was before   | alive      | at once; nobody is notified                         |
| suspect | stalled, and its counter moved          | alive      | at once; nobody is notified                         |
| down    | heard, and connected if it was before   | alive      | at once; a "restored" alert is sent                 |

A stream that the registry itself ended (`detached_reason`) is no evidence: its service is judged by silence alone.

A service that declared itself busy is exempt from silence and from a lack of progress until its busy time ends, but
not from a broken stream. A service that sends heartbeats is never down, however long it makes no progress.
Deregistration waits while it is held (a mass failure, maintenance), and no service is called stalled under maintenance.

All times are attentive seconds from the frames of the registry: the detector owns no clock. Evidence from before the
registry stopped receiving heartbeats (its start, or a stall) is ignored for the reattach window: silence that nobody
could have noticed means nothing. The window lasts longer for services without a new stream while other services open
streams again. While many services open streams at the same time, the silence of services that are connected again
counts a little later.
"""

from __future__ import annotations

from dataclasses import replace
from heapq import heapify, heappop, heappush

from grid_model.liveness import Liveness, LivenessCause
from grid_model.observation import Facts, ReportDeadline

from tron.facts import NEVER, Kind, Lease, Transition
from tron.hold import LONGEST, Hold
from tron.living import Living, unit_of
from tron.policy import Policies, Policy
from tron.returns import PATIENCE, RETURNING, Returns
from tron.tally import Tally

SPARE_DEADLINES = 1000
"""Outdated deadlines are removed when there are more deadlines than this number plus four for each service."""


class Detector:
    """Evaluates all services except those in `exempt` (the observer itself). A new detector is created for each
    snapshot."""

    def __init__(self, policies: Policies, exempt: frozenset[str] = frozenset(), patience: float = PATIENCE) -> None:
        self._policies = policies
        self._patience = patience
        self._exempt = exempt
        self._leases: dict[str, Lease] = {}
        self._by_incarnation: dict[int, Lease] = {}
        self._deadlines: list[tuple[float, str, int]] = []
        self._deregistration_held = False
        self._hold = Hold()
        self._returns = Returns()
        self.defers = False
        """Whether the registry accepts report deadlines."""
        self.tally = Tally()
        """The number of services in each state."""
        self.living = Living()
        """The services that are judged alive, counted."""
        self.hearing_since = 0.0
        self.now = 0.0

    def __len__(self) -> int:
        return len(self._leases)

    def counts(self) -> dict[Liveness, int]:
        """Return the number of services in each state."""
        return self.tally.by_liveness()

    def failing(self) -> list[Lease]:
        """Return the services that are suspect or down."""
        return [lease for lease in self._leases.values() if lease.liveness is not Liveness.ALIVE]

    def find(self, service_id: str) -> Lease | None:
        """Return the record of a service; None if it is not registered. Do not change it."""
        return self._leases.get(service_id)

    def find_incarnation(self, incarnation: int) -> Lease | None:
        """Return the record of the service whose current incarnation this is; None if there is none."""
        return self._by_incarnation.get(incarnation)

    def leases(self) -> list[Lease]:
        """Return the records of all services."""
        return list(self._leases.values())

    def observe(self, facts: Facts) -> None:
        """Record all facts about a service, in place of those that were known."""
        before = self._leases.get(facts.service_id)
        self.forget(facts.service_id)
        lease = Lease(
            facts=facts,
            observation=facts.observation,
            heard_at=facts.heard_at,
            last_heartbeat_at=facts.last_heartbeat_at,
            liveness=facts.judged,
            cause=facts.cause,
            judged_at=facts.judged_at,
            missed_beats=facts.missed_beats,
        )
        if before is not None and self._attached_before(before.facts) and not self._attached_before(facts):
            self._returns.add(facts.attached_at or 0.0)
        if before is not None and before.facts.incarnation == facts.incarnation:
            lease.confirmed = before.confirmed and not facts.connected
        self._leases[facts.service_id] = lease
        self._by_incarnation[facts.incarnation] = lease
        self.tally.put(lease)
        if lease.liveness is Liveness.ALIVE:
            self.living.add(unit_of(facts))
        self._schedule(lease)

    def record_beat(self, incarnation: int, observation: int, at: float) -> None:
        """Record that the service with this incarnation was last heard `at` (attentive seconds): a heartbeat arrived,
        or the registry reports that the service reached its report deadline.

        If the service's next transition is now due later, the entry in the queue stays, and is checked again at the
        time in the entry. If the transition is due earlier (a heartbeat can end a hold, or make a service alive again),
        the service gets a new entry.
        """
        lease = self._by_incarnation.get(incarnation)
        if lease is None or (observation <= lease.observation and lease.deadline is None):
            return
        lease.deadline = None
        if observation > lease.observation:
            lease.last_heartbeat_at += max(0.0, at - lease.heard_at)
            lease.observation = observation
            lease.heard_at = at
            lease.outdated = False
        self._schedule(lease)

    def refresh(self, facts: Facts) -> None:
        """Take the time at which a service was last heard, and the longest gap between its heartbeats, from facts that
        were requested for this service alone. The deadlines of the service stay.

        The number of its observation stays, too. Later verdicts are based on frames, which may be older than these
        facts; so a verdict must not name the observation of these facts.
        """
        lease = self._leases.get(facts.service_id)
        if lease is None or lease.facts.incarnation != facts.incarnation or facts.observation < lease.observation:
            return
        lease.facts = replace(lease.facts, worst_gap=facts.worst_gap, earlier_streams_for=facts.earlier_streams_for)
        lease.heard_at, lease.last_heartbeat_at = facts.heard_at, facts.last_heartbeat_at

    def defer(self, service_id: str) -> ReportDeadline | None:
        """Return the report deadline to send for a service that is ALIVE: the time at which the registry reports the
        service if no more heartbeats arrive. Until then the registry sends TRON no heartbeats of the service. Return
        None if the registry should send the heartbeats, or already has this deadline.

        The first deadline of a service is computed from all its heartbeats. A further deadline is computed when the
        thresholds have changed. It may have passed already; the registry then reports the service at once.
        """
        lease = self._leases.get(service_id)
        if lease is None or not self.defers or lease.liveness is not Liveness.ALIVE or lease.disconnected:
            return None
        policy = self._policies.of(service_id)
        silence = policy.silence(lease.facts.interval, policy.misses_before_warning)
        inactivity = NEVER if lease.facts.maintained else self._stall_limit(lease, policy)
        before, lease.deadline = lease.deadline, None
        if before is not None and (before.silence, before.inactivity) == (silence, inactivity):
            lease.deadline = before
            return None
        _, due = self._next(lease)
        if due == NEVER or (due <= self.now and before is None):
            return None
        lease.deadline = ReportDeadline(lease.facts.incarnation, due, silence, inactivity)
        lease.scheduled = NEVER
        return lease.deadline

    def forget(self, service_id: str) -> None:
        """Remove a service that is no longer registered."""
        gone = self._leases.pop(service_id, None)
        if gone is not None:
            del self._by_incarnation[gone.facts.incarnation]
            self.tally.remove(service_id)
            if gone.liveness is Liveness.ALIVE:
                self.living.remove(unit_of(gone.facts))

    def confirm_down(self, service_id: str, incarnation: int) -> None:
        """Record that a service's host refuses connections; if its stream is broken, it is then down at once."""
        lease = self._leases.get(service_id)
        if lease is not None and lease.facts.incarnation == incarnation and lease.disconnected:
            lease.confirmed = True
            self._schedule(lease)

    def hold_deregistrations(self, held: bool) -> None:
        """Hold or release deregistrations: while they are held, no service is deregistered."""
        if held == self._deregistration_held:
            return
        self._deregistration_held = held
        if not held:  # a deadline that is held comes to nothing when it is reached
            for lease in self._leases.values():
                if lease.liveness is Liveness.DOWN:
                    self._schedule(lease)

    def set_policies(self, policies: Policies) -> None:
        """Use these policies from now on. Earlier verdicts stay."""
        self._policies = policies
        for lease in self._leases.values():
            lease.scheduled = NEVER
        self._schedule_all()

    def advance(self, now: float, hearing_since: float, limit: int | None = None) -> list[Transition]:
        """Return the transitions that are due at `now`, oldest first, at most `limit`; if it returns that many, call it
        again. The detector assumes that its decisions are accepted; `refused` reverts one."""
        self.now = now
        window = self._policies.default.reattach_window
        hearing_since = self._hold.evidence_from(now, hearing_since, window)
        if hearing_since != self.hearing_since:
            self.hearing_since = hearing_since
            self._schedule_all()
        decided: list[Transition] = []
        while self._deadlines and self._deadlines[0][0] <= now and (limit is None or len(decided) < limit):
            due, service_id, incarnation = heappop(self._deadlines)
            lease = self._leases.get(service_id)
            if lease is None or lease.facts.incarnation != incarnation or lease.scheduled != due:
                continue
            lease.scheduled = NEVER
            kind, really_due = self._next(lease)
            if really_due <= now:
                before = lease.liveness
                decided.append(self._decide(lease, kind, really_due))
                self._count(lease, before)
            self._schedule(lease)
        return decided

    @property
    def next_at(self) -> float:
        """The attentive second before which no transition is due unless new facts arrive."""
        return self._deadlines[0][0] if self._deadlines else NEVER

    def refused(self, transition: Transition) -> None:
        """Revert a transition that the registry refused: restore the service's state before the transition. Nothing
        changes if an earlier transition was reverted already, and with it this one."""
        lease = self._leases.get(transition.service_id)
        if lease is None or lease.facts.incarnation != transition.incarnation:
            return
        before, liveness_before = transition.facts, lease.liveness
        if before.judged_at > lease.judged_at:
            return
        lease.deregistered = False
        if before.judged is not Liveness.ALIVE:
            lease.deadline = None  # the registry ignored it, because the service is not ALIVE there
        lease.liveness, lease.cause, lease.judged_at, lease.missed_beats = (
            before.judged,
            before.cause,
            before.judged_at,
            before.missed_beats,
        )
        self._count(lease, liveness_before)
        self._schedule(lease)

    def await_facts(self, service_id: str, incarnation: int) -> None:
        """Decide nothing about a service before newer facts about it arrive: the registry refused a verdict, and would
        refuse the same verdict again."""
        lease = self._leases.get(service_id)
        if lease is not None and lease.facts.incarnation == incarnation:
            lease.outdated, lease.scheduled = True, NEVER

    def deadlines(self, service_id: str) -> list[tuple[Kind, float]]:
        """Return the next transitions of a service, and when each is due (attentive seconds), if no further heartbeat
        arrives."""
        return [(kind, due) for kind, due, _ in self.forecast(service_id)]

    def forecast(self, service_id: str) -> list[tuple[Kind, float, LivenessCause]]:
        """Return the transitions that `deadlines` returns, with the cause of each."""
        lease = self._leases.get(service_id)
        if lease is None or service_id in self._exempt:
            return []
        imagined = replace(lease, deadline=None, outdated=False)
        now, due = self.now, self.now
        found: list[tuple[Kind, float, LivenessCause]] = []
        try:
            while len(found) < len(Kind):
                kind, at = self._next(imagined)
                if at == NEVER:
                    break
                self.now = due = max(due, at)
                found.append((kind, due, self._decide(imagined, kind, due).cause))
        finally:
            self.now = now
        return found

    def held_until(self, lease: Lease) -> float:
        """Return the attentive second until which there is no verdict about a service, because its last evidence is
        from before the start or the last stall of the registry; 0 if the evidence is newer."""
        evidence = lease.heard_at if not lease.disconnected else (lease.facts.attached_at or 0.0)
        return self._held(evidence, self._policies.of(lease.facts.service_id), returning=lease.disconnected)

    def break_held_until(self, lease: Lease) -> float:
        """Return the attentive second until which a break of the open stream causes no suspicion; 0 if a break causes a
        suspicion now."""
        return self._held(lease.facts.attached_at or 0.0, self._policies.of(lease.facts.service_id), returning=False)

    def window_ends(self, policy: Policy) -> float:
        """Return the attentive second at which the reattach window ends for services without a new stream."""
        returning_until = min(self._returns.last + RETURNING, self.hearing_since + LONGEST)
        return max(self.hearing_since + policy.reattach_window, returning_until)

    def busy_until(self, lease: Lease) -> float:
        """Return the attentive second until which a service declared itself busy, limited by `busy_cap`; 0 if never."""
        return self._busy_until(lease, self._policies.of(lease.facts.service_id))

    # --- inside -----------------------------------------------------------------------------------------------------

    def _count(self, lease: Lease, before: Liveness) -> None:
        """Count a service in its new state."""
        self.tally.put(lease)
        if lease.liveness is before:
            return
        if lease.liveness is Liveness.ALIVE:
            self.living.add(unit_of(lease.facts))
        elif before is Liveness.ALIVE:
            self.living.remove(unit_of(lease.facts))

    def _schedule_all(self) -> None:
        for lease in self._leases.values():
            self._schedule(lease)

    def _schedule(self, lease: Lease) -> None:
        _, due = self._next(lease)
        if due < lease.scheduled:
            lease.scheduled = due
            heappush(self._deadlines, (due, lease.facts.service_id, lease.facts.incarnation))
            if len(self._deadlines) > SPARE_DEADLINES + 4 * len(self._leases):
                self._drop_old_deadlines()

    def _drop_old_deadlines(self) -> None:
        """Remove old deadlines: each new fact adds a deadline, and the old one stays until it is due."""
        self._deadlines = [
            (lease.scheduled, lease.facts.service_id, lease.facts.incarnation)
            for lease in self._leases.values()
            if lease.scheduled != NEVER
        ]
        heapify(self._deadlines)

    def _next(self, lease: Lease) -> tuple[Kind, float]:
        """Return the next transition of the table above, and when it becomes true; NEVER if no transition is
        possible."""
        if lease.deregistered or lease.outdated:
            return Kind.DEREGISTER, NEVER
        facts = lease.facts
        if facts.service_id in self._exempt:
            return Kind.RECOVER, NEVER if lease.liveness is Liveness.ALIVE else 0.0
        policy = self._policies.of(facts.service_id)
        held_until = self.held_until(lease)
        if lease.liveness is not Liveness.ALIVE and self._is_back(lease, policy):
            return (Kind.RESTORE if lease.liveness is Liveness.DOWN else Kind.RECOVER), 0.0
        silent_since = max(lease.heard_at, self._busy_until(lease, policy))
        if lease.liveness is Liveness.DOWN:
            if self._deregistration_held or facts.maintained or not policy.deregister:
                return Kind.DEREGISTER, NEVER
            silent_enough = silent_since + policy.silence(facts.interval, policy.misses_before_deregister)
            down_enough = lease.judged_at + max(facts.interval, policy.keep_down)
            return Kind.DEREGISTER, max(silent_enough, down_enough, held_until)
        if lease.liveness is not Liveness.ALIVE:
            down_at = max(self._down_at(lease, policy)[0], held_until)
            return Kind.DOWN, down_at if lease.disconnected else self._in_crowd(down_at)
        if lease.disconnected:
            return Kind.SUSPECT, max(facts.detached_at or 0.0, held_until)
        if lease.deadline is not None:
            return Kind.MISS, NEVER
        missed_at = self._in_crowd(
            max(silent_since + policy.silence(facts.interval, policy.misses_before_warning), held_until)
        )
        # A stalled service gets no worse, so no alert would follow after maintenance: the stall waits until then.
        stalled_at = NEVER if facts.maintained else max(self._stalls_at(lease, policy), held_until)
        return (Kind.STALL, stalled_at) if stalled_at < missed_at else (Kind.MISS, missed_at)

    def _down_at(self, lease: Lease, policy: Policy) -> tuple[float, LivenessCause]:
        """Return when a suspect is down, and for which cause: the earlier of two deadlines, if both count.

        A break gives a service its grace to reconnect. It does not delay the deadline of a silence that was noticed
        before.
        """
        facts = lease.facts
        silent_since = max(lease.heard_at, self._busy_until(lease, policy))
        by_silence = silent_since + policy.silence(facts.interval, policy.misses_before_down)
        if not lease.disconnected:
            return by_silence, LivenessCause.SILENT
        grace = policy.reconnect_grace if facts.reconnect_grace is None else facts.reconnect_grace
        broken_at = lease.judged_at if facts.detached_at is None else facts.detached_at
        by_break = broken_at + (0.0 if lease.confirmed else grace)
        if lease.cause is LivenessCause.SILENT and by_silence < by_break:
            return by_silence, LivenessCause.SILENT
        return by_break, LivenessCause.DISCONNECTED

    def _held(self, evidence: float, policy: Policy, *, returning: bool) -> float:
        if evidence > self.hearing_since:
            return 0.0
        return self.window_ends(policy) if returning else self.hearing_since + policy.reattach_window

    def _in_crowd(self, due: float) -> float:
        """Return when a silence counts that is due: later by up to the patience, if a crowd of services opens streams
        again then."""
        crowded_until = min(self._returns.crowded_until, self.hearing_since + LONGEST)
        return max(due, min(crowded_until, due + self._patience))

    def _attached_before(self, facts: Facts) -> bool:
        """Return whether a service has opened no stream since the registry receives heartbeats."""
        return (facts.attached_at or 0.0) <= self.hearing_since

    def _busy_until(self, lease: Lease, policy: Policy) -> float:
        facts = lease.facts
        if facts.busy_until_at is None:
            return 0.0
        return min(facts.busy_until_at, (facts.busy_declared_at or 0.0) + policy.busy_cap)

    def _stalls_at(self, lease: Lease, policy: Policy) -> float:
        facts = lease.facts
        if facts.stall_after is None:
            return NEVER
        still_since = max(facts.active_at, self._busy_until(lease, policy))
        if lease.liveness is Liveness.ALIVE:
            # A new stream says nothing of the counter before its first beat.
            still_since = max(still_since, facts.attached_at or 0.0)
        return still_since + self._stall_limit(lease, policy)

    def _stall_limit(self, lease: Lease, policy: Policy) -> float:
        """For how many seconds the activity counter may not move; NEVER if it need not."""
        if lease.facts.stall_after is None:
            return NEVER
        # The counter is seen with each beat and not between: a shorter limit would accuse a service that beats in time.
        return max(lease.facts.stall_after, policy.silence(lease.facts.interval, 1))

    def _is_back(self, lease: Lease, policy: Policy) -> bool:
        if lease.disconnected:
            return False
        silent_since = max(lease.heard_at, self._busy_until(lease, policy))
        within = self.now < silent_since + policy.silence(lease.facts.interval, policy.misses_before_warning)
        if lease.cause is LivenessCause.STALLED:
            return within and self.now < self._stalls_at(lease, policy)
        # Only what was heard after the judgement speaks against it; an open stream is not a beat.
        since = lease.heard_at
        if lease.cause is not LivenessCause.SILENT:
            since = max(since, lease.facts.attached_at or 0.0)
        return since > lease.judged_at and within

    def _decide(self, lease: Lease, kind: Kind, due: float) -> Transition:
        before = lease.facts
        state_before = _with_judgement(before, lease)
        policy = self._policies.of(before.service_id)
        cause = LivenessCause.DISCONNECTED if lease.disconnected else LivenessCause.SILENT
        missed_beats = 0
        match kind:
            case Kind.MISS:
                lease.liveness, missed_beats = Liveness.SUSPECT, policy.misses_before_warning
            case Kind.SUSPECT:
                lease.liveness = Liveness.SUSPECT
            case Kind.STALL:
                lease.liveness, cause = Liveness.SUSPECT, LivenessCause.STALLED
            case Kind.DOWN:
                _, cause = self._down_at(lease, policy)
                lease.liveness = Liveness.DOWN
                missed_beats = policy.misses_before_down if cause is LivenessCause.SILENT else self._missed_beats(lease)
            case Kind.DEREGISTER:
                missed_beats, cause = max(policy.misses_before_deregister, self._missed_beats(lease)), lease.cause
                lease.deregistered = True
            case Kind.RECOVER | Kind.RESTORE:
                lease.liveness, cause = Liveness.ALIVE, LivenessCause.NONE
        lease.cause, lease.missed_beats, lease.judged_at = cause, missed_beats, self.now
        return Transition(
            kind=kind,
            service_id=before.service_id,
            incarnation=before.incarnation,
            observation=lease.observation,
            cause=cause,
            missed_beats=missed_beats,
            due=max(due, 0.0) if kind not in (Kind.RECOVER, Kind.RESTORE) else self.now,
            facts=state_before,
            heard_at=lease.heard_at,
        )

    def _missed_beats(self, lease: Lease) -> int:
        return max(0, int((self.now - lease.heard_at) / lease.facts.interval))


def _with_judgement(facts: Facts, lease: Lease) -> Facts:
    """Return the facts with the present judgement of the record. Facts that have it already, as those of thousands
    whose streams broke at once, are not copied: that would take half of the time of all decisions."""
    known = (facts.judged, facts.cause, facts.judged_at, facts.missed_beats, facts.last_heartbeat_at)
    if known == (lease.liveness, lease.cause, lease.judged_at, lease.missed_beats, lease.last_heartbeat_at):
        return facts
    return replace(
        facts,
        judged=lease.liveness,
        cause=lease.cause,
        judged_at=lease.judged_at,
        missed_beats=lease.missed_beats,
        last_heartbeat_at=lease.last_heartbeat_at,
    )
