"""The heartbeats of one agent: when each was sent, and when the registry read it."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from math import exp, log
from random import Random

from tron_client.schedule import BeatSchedule, CutOff

from benchmarks.false_alarms.environments import REDIAL, RETRANSMIT, Environment, Periods


@dataclass(slots=True)
class Trace:
    """Heartbeats in the order in which the registry read them. `sent` and `read` are parallel, in seconds."""

    interval: float
    sent: array[float] = field(default_factory=lambda: array("d"))
    read: array[float] = field(default_factory=lambda: array("d"))

    def __len__(self) -> int:
        return len(self.read)

    @property
    def seconds(self) -> float:
        """How long the agent was observed."""
        return self.read[-1] - self.read[0] if self.read else 0.0


def steady(interval: float, heartbeats: int, delay: float = 0.0) -> Trace:
    """Return a trace without any disturbance, which begins at one interval."""
    sent = array("d", (interval * n for n in range(1, heartbeats + 1)))
    return Trace(interval, sent, array("d", (each + delay for each in sent)))


def travel(environment: Environment, interval: float, seconds: float, random: Random) -> Trace:
    """Return the heartbeats of one agent that lives for `seconds`."""
    trace = Trace(interval)
    way = _Way(environment, interval, random, trace)
    schedule = BeatSchedule(interval)
    schedule.start(interval * random.random())
    pauses = _Moments(environment.pauses, random)
    while schedule.due is not None and schedule.due < seconds:
        now = schedule.due
        if pauses.end_after(now) > now:  # the beat leaves when the sender runs again; those missed are skipped
            now = pauses.end
        way.send(now)
        schedule.beaten(now)
    return trace


class _Moments:
    """Periods, one after the other, for questions about moments that only grow."""

    def __init__(self, periods: Periods, random: Random) -> None:
        self._periods = periods
        self._random = random
        self.begin = periods.next_start(0.0, random)
        self.end = self.begin + periods.length(random)

    def end_after(self, now: float) -> float:
        """Return when the period ends in which `now` lies; a moment that is not later than `now` if it lies in none."""
        while self.end < now:
            self.begin = self._periods.next_start(self.end, self._random)
            self.end = self.begin + self._periods.length(self._random)
        return self.end if self.begin <= now else now


class _Way:
    """A TCP connection on a link that loses packets: what was lost arrives with a retransmission, and what follows it
    waits until then."""

    def __init__(self, environment: Environment, interval: float, random: Random, trace: Trace) -> None:
        self._loss = environment.loss
        self._median = log(environment.delay)
        self._spread = environment.spread
        self._round_trip = 2 * environment.delay
        self._outages = _Moments(environment.outages, random)
        self._random = random
        self._patience = CutOff(interval).patience
        self._trace = trace
        self._waiting: list[float] = []
        self._first_lost = 0.0
        self._retry_at = 0.0
        self._timeout = 0.0
        self._newest = 0.0

    def send(self, now: float) -> None:
        """Send a heartbeat, after the retransmissions that are due before it."""
        while self._waiting and self._retry_at <= now:
            self._retransmit(self._retry_at)
        if self._waiting and now >= self._replaced_at:
            return  # there is no connection, and the registration on the next one counts as heard
        passes = self._passes(now)
        if not self._waiting:
            self._first_lost = now
            self._timeout = RETRANSMIT + self._round_trip
            self._retry_at = now + self._timeout
        self._waiting.append(now)
        if passes:
            # What was lost before is missed by the receiver, and is sent again one round trip later (RFC 8985).
            self._deliver(now if len(self._waiting) == 1 else now + self._round_trip)

    @property
    def _replaced_at(self) -> float:
        """When the SDK replaces a connection on which nothing is acknowledged."""
        return self._first_lost + self._patience

    def _retransmit(self, at: float) -> None:
        if at >= self._replaced_at:
            self._waiting = [at]  # what waited on the old connection is lost
        if self._passes(at):
            self._deliver(at)
            return
        self._timeout *= 2
        self._retry_at = at + self._timeout
        if self._retry_at > self._replaced_at:
            self._retry_at = max(self._replaced_at, at + REDIAL)

    def _passes(self, now: float) -> bool:
        outages = self._outages
        return (now < outages.begin or outages.end_after(now) <= now) and self._random.random() >= self._loss

    def _deliver(self, at: float) -> None:
        """All that waits is read at the same time, and not before what was read last."""
        self._newest = max(self._newest, at + self._delay())
        for sent in self._waiting:
            self._trace.sent.append(sent)
            self._trace.read.append(self._newest)
        self._waiting.clear()

    def _delay(self) -> float:
        return exp(self._median + self._spread * self._random.gauss(0.0, 1.0))
