"""The detectors of the curve. Each is played on a trace, and returns its measures by threshold.

All look at the time on the same ticks, after the input was read, and trust an agent again at the tick after its next
heartbeat. So they differ only in how long they wait.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from math import sqrt
from random import Random
from statistics import NormalDist
from typing import Protocol

from grid_model.liveness import Liveness, LivenessCause
from grid_model.observation import Facts

from benchmarks.false_alarms.measures import Measures, tick_at
from benchmarks.false_alarms.traces import Trace
from tron.detector import Detector
from tron.facts import Kind
from tron.policy import Policies, Policy

WARM_UP = 1000
"""Heartbeats at the beginning of each trace whose silences are not counted, for any detector: phi accrual learns."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An agent that fails silently: its last heartbeat is number `last` of the trace."""

    last: int
    at: float


class FailureDetector(Protocol):
    """A detector with several thresholds."""

    def play(self, trace: Trace, failures: Sequence[Failure]) -> dict[str, Measures]:
        """Return the measures of each threshold on a trace, by the threshold's name."""


def failures_of(trace: Trace, number: int, random: Random) -> list[Failure]:
    """Return failures, each at a random moment between two heartbeats; the trace goes on after each, as if it had not
    failed. What was sent before still arrives."""
    step = max(1, (len(trace) - 1 - WARM_UP) // number)
    chosen = range(WARM_UP, len(trace) - 1, step)
    return [Failure(n, random.uniform(trace.sent[n], max(trace.sent[n], trace.sent[n + 1]))) for n in chosen]


def observed(trace: Trace, warm_up: int = WARM_UP) -> float:
    """Return the seconds of a trace that count."""
    return trace.read[-1] - trace.read[warm_up]


def silences(trace: Trace, longer_than: float, warm_up: int = WARM_UP) -> Iterator[tuple[float, float]]:
    """Yield each silence that counts and is longer than this many seconds: its beginning and its end."""
    read = trace.read
    before = read[warm_up]
    for number in range(warm_up + 1, len(read)):
        now = read[number]
        if now - before > longer_than:
            yield before, now
        before = now


class FixedTimeouts:
    """Suspects an agent once nothing was heard for a fixed time."""

    def __init__(self, timeouts: Sequence[float], warm_up: int = WARM_UP) -> None:
        self._timeouts = timeouts
        self._warm_up = warm_up

    def play(self, trace: Trace, failures: Sequence[Failure]) -> dict[str, Measures]:
        """Return the measures by timeout in seconds."""
        found = {timeout: Measures(observed(trace, self._warm_up)) for timeout in self._timeouts}
        for heard, next_heard in silences(trace, min(self._timeouts), self._warm_up):
            for timeout, measures in found.items():
                if (suspected := tick_at(heard + timeout)) < next_heard:
                    measures.add_mistake(suspected, tick_at(next_heard))
        for timeout, measures in found.items():
            for each in failures:
                measures.add_detection(each.at, tick_at(trace.read[each.last] + timeout))
        return {f"{timeout:g}": measures for timeout, measures in found.items()}


@cache
def deviations(phi: float) -> float:
    """Return by how many standard deviations a heartbeat is late when phi is reached.

    phi(t) = -log10(P_later(t)), and P_later is the upper tail of a normal distribution.
    """
    return -NormalDist().inv_cdf(10.0**-phi)


class PhiAccrual:
    """Phi accrual: N. Hayashibara, X. Defago, R. Yared, T. Katayama: The Phi Accrual Failure Detector, SRDS 2004.

    The times between heartbeats are taken as normally distributed, with the mean and the deviation of the newest
    `window` of them. `least_deviation`: no deviation below this many seconds is assumed; Akka has this addition to the
    paper (`min-std-deviation`), because the deviation of a quiet link would make it nervous.
    """

    def __init__(self, thresholds: Sequence[float], least_deviation: float = 0.0, window: int = 1000) -> None:
        self._deviations = {f"{phi:g}": deviations(phi) for phi in thresholds}
        self._least = least_deviation
        self._window = window

    def play(self, trace: Trace, failures: Sequence[Failure]) -> dict[str, Measures]:
        """Return the measures by phi."""
        found = {name: Measures(observed(trace)) for name in self._deviations}
        pairs = [(each, found[name]) for name, each in self._deviations.items()]
        soonest = min(self._deviations.values())
        failing = {each.last: each for each in failures}
        window, least, read = self._window, self._least, trace.read
        # Deviations from the interval, so that the squares do not cancel each other out.
        lateness = array("d", bytes(8 * window))
        total = squares = 0.0
        count = 0
        before, interval = read[0], trace.interval
        mean = deviation = 0.0
        for number in range(1, len(read)):
            now = read[number]
            gap = now - before
            if number > WARM_UP and gap > mean + soonest * deviation:
                for factor, measures in pairs:
                    if (suspected := tick_at(before + mean + factor * deviation)) < now:
                        measures.add_mistake(suspected, tick_at(now))
            late = gap - interval
            place = number % window
            old = lateness[place]
            lateness[place] = late
            total += late - old
            squares += late * late - old * old
            if count < window:
                count += 1
            average = total / count
            mean = interval + average
            variance = squares / count - average * average
            deviation = sqrt(variance) if variance > least * least else least
            before = now
            if number in failing:
                for factor, measures in pairs:
                    measures.add_detection(failing[number].at, tick_at(now + mean + factor * deviation))
        return found


class Tron:
    """TRON's own detector (`tron.detector`), which is shown each silence in which something may be due: as the registry
    reports a service once its report deadline is reached, and no heartbeat before.

    The number of missed heartbeats after which a service is down is the threshold; `kind`: the verdict that counts.
    """

    def __init__(self, misses: Sequence[int], kind: Kind = Kind.DOWN) -> None:
        self._misses = misses
        self._kind = kind

    def play(self, trace: Trace, failures: Sequence[Failure]) -> dict[str, Measures]:
        """Return the measures by missed heartbeats."""
        policies = {misses: policy_of(misses) for misses in self._misses}
        soonest = min(each.silence(trace.interval, each.misses_before_warning) for each in policies.values())
        worth_a_look = list(silences(trace, soonest))
        return {str(misses): self._play(trace, failures, worth_a_look, policy) for misses, policy in policies.items()}

    def _play(
        self, trace: Trace, failures: Sequence[Failure], shown: Sequence[tuple[float, float]], policy: Policy
    ) -> Measures:
        measures = Measures(observed(trace))
        watch = Watch(policy, trace.interval, trace.read[WARM_UP])
        for heard, next_heard in shown:
            suspected = watch.silence(heard, next_heard).get(self._kind)
            trusted = watch.hear(next_heard)
            if suspected is not None:
                measures.add_mistake(suspected, trusted)
        watch = Watch(policy, trace.interval, trace.read[WARM_UP])
        for each in failures:
            watch.hear(trace.read[each.last])
            measures.add_detection(each.at, tick_at(watch.forecast(self._kind)))
        return measures


def policy_of(misses: int) -> Policy:
    """Return the default policy, but for the number of missed heartbeats after which a service is down."""
    return Policy(misses_before_down=misses, misses_before_deregister=max(3, misses), deregister=False)


class Watch:
    """TRON's detector, with one service."""

    def __init__(self, policy: Policy, interval: float, now: float) -> None:
        self._detector = Detector(Policies(policy, {}))
        self._detector.observe(facts_of(interval, now))
        self._observation = 1

    def hear(self, now: float) -> float:
        """Record a heartbeat. Return the tick at which it is evaluated: then the service is alive."""
        self._observation += 1
        self._detector.record_beat(_INCARNATION, self._observation, now)
        self._detector.advance(tick_at(now), 0.0)
        return tick_at(now)

    def silence(self, begin: float, end: float) -> dict[Kind, float]:
        """Return each transition of a silence between two heartbeats, and the tick at which it was decided."""
        self.hear(begin)
        found: dict[Kind, float] = {}
        for _, due in self._detector.deadlines(_SERVICE):
            tick = tick_at(due)
            if tick >= end:
                break
            found |= {each.kind: tick for each in self._detector.advance(tick, 0.0)}
        return found

    def every_tick(self, begin: float, end: float) -> dict[Kind, float]:
        """Return the same, found as the product does, with a look at each tick."""
        self.hear(begin)
        found: dict[Kind, float] = {}
        tick = tick_at(begin)
        while tick < end:
            found |= {each.kind: tick for each in self._detector.advance(tick, 0.0)}
            tick = tick_at(tick + 0.05)
        return found

    def forecast(self, kind: Kind) -> float:
        """Return when a transition is due if nothing more is heard."""
        return dict(self._detector.deadlines(_SERVICE))[kind]


_SERVICE = "agent"
_INCARNATION = 1


def facts_of(interval: float, now: float, longest_gap: float = 0.0) -> Facts:
    """Return the facts about a service that was attached to its stream, and heard, at `now`."""
    return Facts(
        service_id=_SERVICE,
        name=_SERVICE,
        incarnation=_INCARNATION,
        observation=1,
        parent="",
        interval=interval,
        reconnect_grace=None,
        connected=True,
        streamed=True,
        attached_at=now,
        detached_at=None,
        heard_at=now,
        last_heartbeat_at=now,
        judged=Liveness.ALIVE,
        cause=LivenessCause.NONE,
        judged_at=now,
        missed_beats=0,
        worst_gap=longest_gap,
    )
