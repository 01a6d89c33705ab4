"""The failure detector: facts in, transitions out. Alive -> suspect -> down -> deregistered, and back.

| judged  | what is known                           | becomes    | when                                                |
|---------|-----------------------------------------|------------|-----------------------------------------------------|
| alive   | its stream broke                        | suspect    | at once; held back where it predates a stall        |
| alive   | not re-attached since the registry's start | suspect | at the end of the reattach window                   |
| alive   | no beat                                 | suspect    | 1 x interval + tolerance: a missed beat             |
| suspect | the stream is still broken              | down       | reconnect_grace after it broke                      |
| suspect | still no beat                           | down       | 2 x interval + tolerance after the last beat        |
| down    | still nothing                           | deregister | 3 x interval + tolerance, one interval after down   |
| suspect | heard, and connected if it was before   | alive      | at once; nobody is told                             |
| down    | the same                                | alive      | at once; "restored" is said                         |

All times are attentive seconds from the frames of the registry: the detector owns no clock. What was last known before
the registry stopped hearing (its start, or a stall) is held back for the reattach window: that nobody was heard while
nobody listened means nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, IntEnum
from heapq import heappop, heappush

from tron.policy import Policies, Policy

NEVER = float("inf")


class State(IntEnum):
    """TRON's last word; the numbers of the wire."""

    ALIVE = 1
    SUSPECT = 2
    DOWN = 3


class Cause(IntEnum):
    """Why; the numbers of the wire."""

    NONE = 0
    DISCONNECTED = 1
    SILENT = 2
    STALLED = 3


class Kind(Enum):
    """What a transition does."""

    MISS = "miss"
    SUSPECT = "suspect"
    DOWN = "down"
    DEREGISTER = "deregister"
    RECOVER = "recover"
    """Back before it was down: nobody is told."""
    RESTORE = "restore"
    """Back after it was down."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the registry says about one service. Times `*_at` are attentive seconds; None: did not happen."""

    service_id: str
    name: str
    incarnation: int
    observation: int
    parent: str
    interval: float
    reconnect_grace: float | None
    connected: bool
    streamed: bool
    attached_at: float | None
    detached_at: float | None
    heard_at: float
    last_heartbeat_at: float
    """Seconds since the epoch; for people, never for judgement."""
    judged: State
    cause: Cause
    judged_at: float
    missed: int


@dataclass(frozen=True, slots=True)
class Transition:
    """One decision. `due` is when it became true, in attentive seconds, not when it was noticed."""

    kind: Kind
    service_id: str
    incarnation: int
    observation: int
    cause: Cause
    missed: int
    due: float
    facts: Facts
    heard_at: float


@dataclass(slots=True)
class _Lease:
    facts: Facts
    observation: int
    heard_at: float
    last_heartbeat_at: float
    state: State
    cause: Cause
    judged_at: float
    missed: int
    scheduled: float = NEVER
    given_up: bool = False

    @property
    def disconnected(self) -> bool:
        return self.facts.streamed and not self.facts.connected


class Detector:
    """Judges all services but those in `exempt` (who judges is alive). It is rebuilt from each snapshot."""

    def __init__(self, policies: Policies, exempt: frozenset[str] = frozenset()) -> None:
        self._policies = policies
        self._exempt = exempt
        self._leases: dict[str, _Lease] = {}
        self._by_incarnation: dict[int, _Lease] = {}
        self._deadlines: list[tuple[float, str, int]] = []
        self._hearing_since = 0.0
        self.now = 0.0

    def __len__(self) -> int:
        return len(self._leases)

    def states(self) -> dict[State, int]:
        """How many services are judged how."""
        counts = dict.fromkeys(State, 0)
        for lease in self._leases.values():
            counts[lease.state] += 1
        return counts

    def observe(self, facts: Facts) -> None:
        """Take over all that is known about a service."""
        self.forget(facts.service_id)
        lease = _Lease(
            facts=facts,
            observation=facts.observation,
            heard_at=facts.heard_at,
            last_heartbeat_at=facts.last_heartbeat_at,
            state=facts.judged,
            cause=facts.cause,
            judged_at=facts.judged_at,
            missed=facts.missed,
        )
        self._leases[facts.service_id] = lease
        self._by_incarnation[facts.incarnation] = lease
        self._schedule(lease)

    def heard(self, incarnation: int, observation: int, at: float) -> None:
        """A beat. A later deadline needs no new entry: the earlier one is looked at again when it is due. An earlier
        one does: a beat can end what was held back, or bring somebody back."""
        lease = self._by_incarnation.get(incarnation)
        if lease is None or observation <= lease.observation:
            return
        lease.last_heartbeat_at += max(0.0, at - lease.heard_at)
        lease.observation = observation
        lease.heard_at = at
        self._schedule(lease)

    def forget(self, service_id: str) -> None:
        """The service is gone."""
        gone = self._leases.pop(service_id, None)
        if gone is not None:
            del self._by_incarnation[gone.facts.incarnation]

    def advance(self, now: float, hearing_since: float) -> list[Transition]:
        """Everything that is due at `now`, oldest first. The detector takes its own decisions for accepted at once;
        what the registry refuses comes back by `refused`."""
        self.now = now
        if hearing_since != self._hearing_since:
            self._hearing_since = hearing_since
            for each in self._leases.values():
                self._schedule(each)
        decided: list[Transition] = []
        while self._deadlines and self._deadlines[0][0] <= now:
            due, service_id, incarnation = heappop(self._deadlines)
            lease = self._leases.get(service_id)
            if lease is None or lease.facts.incarnation != incarnation or lease.scheduled != due:
                continue
            lease.scheduled = NEVER
            kind, really_due = self._next(lease)
            if really_due <= now:
                decided.append(self._decide(lease, kind, really_due))
            self._schedule(lease)
        return decided

    def refused(self, transition: Transition) -> None:
        """The registry knew better: go back to the state before. Newer facts are on their way."""
        lease = self._leases.get(transition.service_id)
        if lease is None or lease.facts.incarnation != transition.incarnation:
            return
        before = transition.facts
        lease.given_up = False
        lease.state, lease.cause, lease.judged_at, lease.missed = (
            before.judged,
            before.cause,
            before.judged_at,
            before.missed,
        )
        self._schedule(lease)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _schedule(self, lease: _Lease) -> None:
        _, due = self._next(lease)
        if due < lease.scheduled:
            lease.scheduled = due
            heappush(self._deadlines, (due, lease.facts.service_id, lease.facts.incarnation))

    def _next(self, lease: _Lease) -> tuple[Kind, float]:
        """The next transition of the table above, and when it becomes true; NEVER where nothing can happen."""
        if lease.given_up:
            return Kind.DEREGISTER, NEVER
        if lease.facts.service_id in self._exempt:
            return Kind.RECOVER, NEVER if lease.state is State.ALIVE else 0.0
        policy = self._policies.of(lease.facts.service_id)
        held_until = self._held_until(lease, policy)
        interval = lease.facts.interval
        if lease.state is not State.ALIVE and self._is_back(lease, policy):
            return (Kind.RESTORE if lease.state is State.DOWN else Kind.RECOVER), 0.0
        if lease.state is State.DOWN:
            silent_enough = lease.heard_at + policy.silence(interval, policy.misses_before_deregister)
            return Kind.DEREGISTER, max(silent_enough, lease.judged_at + interval, held_until)
        if lease.disconnected:
            broken_at = lease.facts.detached_at
            if lease.state is State.ALIVE:
                return Kind.SUSPECT, max(broken_at or 0.0, held_until)
            grace = lease.facts.reconnect_grace
            grace = policy.reconnect_grace if grace is None else grace
            return Kind.DOWN, max((lease.judged_at if broken_at is None else broken_at) + grace, held_until)
        misses = policy.misses_before_warning if lease.state is State.ALIVE else policy.misses_before_down
        due = max(lease.heard_at + policy.silence(interval, misses), held_until)
        return (Kind.MISS if lease.state is State.ALIVE else Kind.DOWN), due

    def _held_until(self, lease: _Lease, policy: Policy) -> float:
        """Until when nothing is concluded, because the last evidence is from before the registry could hear again."""
        evidence = lease.heard_at if not lease.disconnected else (lease.facts.attached_at or 0.0)
        if evidence > self._hearing_since:
            return 0.0
        return self._hearing_since + policy.reattach_window

    def _is_back(self, lease: _Lease, policy: Policy) -> bool:
        if lease.disconnected:
            return False
        # Only what was heard after the judgement speaks against it; a stream that stands is not a beat.
        since = lease.heard_at if lease.cause is Cause.SILENT else max(lease.heard_at, lease.facts.attached_at or 0.0)
        within = self.now < lease.heard_at + policy.silence(lease.facts.interval, policy.misses_before_warning)
        return since > lease.judged_at and within

    def _decide(self, lease: _Lease, kind: Kind, due: float) -> Transition:
        before = lease.facts
        state_before = replace(
            before,
            judged=lease.state,
            cause=lease.cause,
            judged_at=lease.judged_at,
            missed=lease.missed,
            last_heartbeat_at=lease.last_heartbeat_at,
        )
        policy = self._policies.of(before.service_id)
        cause = Cause.DISCONNECTED if lease.disconnected else Cause.SILENT
        missed = 0
        match kind:
            case Kind.MISS:
                lease.state, missed = State.SUSPECT, policy.misses_before_warning
            case Kind.SUSPECT:
                lease.state = State.SUSPECT
            case Kind.DOWN:
                lease.state = State.DOWN
                missed = policy.misses_before_down if cause is Cause.SILENT else self._missed(lease)
            case Kind.DEREGISTER:
                missed, cause = max(policy.misses_before_deregister, self._missed(lease)), lease.cause
                lease.given_up = True
            case Kind.RECOVER | Kind.RESTORE:
                lease.state, cause = State.ALIVE, Cause.NONE
        lease.cause, lease.missed, lease.judged_at = cause, missed, self.now
        return Transition(
            kind=kind,
            service_id=before.service_id,
            incarnation=before.incarnation,
            observation=lease.observation,
            cause=cause,
            missed=missed,
            due=max(due, 0.0) if kind not in (Kind.RECOVER, Kind.RESTORE) else self.now,
            facts=state_before,
            heard_at=lease.heard_at,
        )

    def _missed(self, lease: _Lease) -> int:
        return max(0, int((self.now - lease.heard_at) / lease.facts.interval))
