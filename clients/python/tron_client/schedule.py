"""Decides when to send a heartbeat, when to try again, and when an agent is cut off. This module reads no clock and
draws no random numbers.

All times are seconds on one monotonic clock, passed in as `now`; a random number is passed in as a `fraction` from 0 to
1.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_SLOWEST_ACK = 1.5
"""The registry acknowledges about once a second if it is not asked to; half a second is for the way."""

_LOST_BEATS = 3
"""Unanswered heartbeats after which a stream is replaced; fewer are sent only if this process was stopped."""


@dataclass(slots=True)
class BeatSchedule:
    """The times at which heartbeats are due: one interval after the start, then once every interval, without drift.

    After a stall, missed heartbeats are skipped and not sent in a burst, because one heartbeat is enough.
    """

    interval: float
    _due: float | None = field(default=None, init=False)

    def start(self, now: float) -> None:
        """Start the schedule: the first heartbeat is due one interval after `now`."""
        self._due = now + self.interval

    def stop(self) -> None:
        """Stop the schedule: no heartbeat is due until the next start."""
        self._due = None

    @property
    def running(self) -> bool:
        """Whether the schedule is running."""
        return self._due is not None

    @property
    def due(self) -> float | None:
        """The time of the next heartbeat; None while the schedule is stopped."""
        return self._due

    def due_in(self, now: float) -> float | None:
        """Return the seconds until the next heartbeat, 0 if it is due; None while the schedule is stopped."""
        return None if self._due is None else max(0.0, self._due - now)

    def beaten(self, now: float) -> None:
        """Record that a heartbeat was sent: the next one is due at the first time of the schedule after `now`."""
        if self._due is not None and self._due <= now:
            self._due += self.interval * (int((now - self._due) / self.interval) + 1)
            if self._due <= now:  # rounding of floats must not make a beat due twice
                self._due += self.interval


@dataclass(slots=True)
class Backoff:
    """The waits between attempts to connect: the n-th wait is a random time from 0 to min(cap, base x 2^n) seconds.

    With a smaller random part, a fleet that lost its registry would reconnect all at once; a fully random wait spreads
    the reconnects.
    """

    base: float = 0.1
    cap: float = 2.0
    settled_after: float = 5.0
    _failures: int = field(default=0, init=False)

    def next_delay(self, fraction: float) -> float:
        """Return the seconds to wait before the next attempt; `fraction` is a new random number, 0 to 1."""
        ceiling = min(self.cap, self.base * 2.0 ** min(self._failures, 32))
        self._failures += 1
        return fraction * ceiling

    def ended(self, lived: float) -> None:
        """Record that a registered stream ended after `lived` seconds. If that is more than `settled_after`, the waits
        begin again at the shortest."""
        if lived > self.settled_after:
            self.reset()

    def reset(self) -> None:
        """Forget the failures so far, so that the waits begin again at the shortest."""
        self._failures = 0


@dataclass(slots=True)
class CutOff:
    """Decides whether the agent is cut off from the registry, and whether its stream must be replaced.

    The agent is cut off if the registry has acknowledged nothing for two intervals. The stream is replaced if, after a
    longer time, several heartbeats are unanswered. If only few are unanswered after that time, this process itself was
    stopped. An answer may then have arrived that has not been read yet, so the stream is kept.
    """

    interval: float
    _heard: float | None = field(default=None, init=False)
    _unanswered: float | None = field(default=None, init=False)
    _beats: int = field(default=0, init=False)
    """The number of unanswered heartbeats."""

    @property
    def asks(self) -> bool:
        """Whether each heartbeat must request an acknowledgement. An agent that sends more than one heartbeat per
        second need not request any: the registry acknowledges its heartbeats about once a second anyway."""
        return self.interval >= 1.0

    @property
    def limit(self) -> float:
        """The seconds without an acknowledgement after which the agent is cut off."""
        return 2 * self.interval if self.asks else max(2 * self.interval, 2 * _SLOWEST_ACK)

    @property
    def patience(self) -> float:
        """The seconds for which a heartbeat may stay unanswered before the stream is replaced."""
        return max(4 * self.interval, 30.0)

    def heard(self, now: float) -> None:
        """Record that the registry confirmed the registration or acknowledged a heartbeat."""
        self._heard = now
        self._unanswered, self._beats = None, 0

    def beaten(self, now: float) -> None:
        """Record that a heartbeat was sent."""
        self._beats += 1
        if self._unanswered is None:
            self._unanswered = now

    def is_cut(self, now: float) -> bool:
        """Return whether the agent is cut off."""
        return self._heard is None or now - self._heard > self.limit

    def is_lost(self, now: float) -> bool:
        """Return whether this stream should be replaced by a stream on a new connection."""
        late = self._unanswered is not None and now - self._unanswered > self.patience
        return late and self._beats >= _LOST_BEATS
