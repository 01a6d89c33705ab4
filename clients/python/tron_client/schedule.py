"""When to beat, when to try again, and when an agent is cut off: decisions only, no clock and no dice.

All times are seconds on one monotonic clock, handed in as `now`; the one random number is handed in as a fraction.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_SLOWEST_ACK = 1.5
"""The registry acknowledges about once a second if it is not asked to; half a second is for the way."""

_LOST_BEATS = 3
"""Unanswered heartbeats after which a stream is replaced; fewer are sent only if this process was stopped."""


@dataclass(slots=True)
class BeatSchedule:
    """Beats on a fixed grid: the first one interval after the start, then every interval, without drift.

    After a stall the beats that were missed are skipped, not sent in a burst: one sign of life says it all.
    """

    interval: float
    _due: float | None = field(default=None, init=False)

    def start(self, now: float) -> None:
        """Lay the grid: the first beat is due at `now` plus one interval."""
        self._due = now + self.interval

    def stop(self) -> None:
        """No beat is due until the next start."""
        self._due = None

    @property
    def running(self) -> bool:
        """Whether a beat will become due."""
        return self._due is not None

    @property
    def due(self) -> float | None:
        """When the next beat is due; None while stopped."""
        return self._due

    def due_in(self, now: float) -> float | None:
        """Seconds until the next beat, 0 if it is due; None while stopped."""
        return None if self._due is None else max(0.0, self._due - now)

    def beaten(self, now: float) -> None:
        """A beat left on schedule: go to the next point of the grid that lies in the future."""
        if self._due is not None and self._due <= now:
            self._due += self.interval * (int((now - self._due) / self.interval) + 1)
            if self._due <= now:  # rounding of floats must not make a beat due twice
                self._due += self.interval


@dataclass(slots=True)
class Backoff:
    """Full jitter: the n-th wait is uniform over 0 to min(cap, base x 2^n).

    A narrow jitter keeps a fleet that lost its registry together in one stampede; the full one spreads it.
    """

    base: float = 0.1
    cap: float = 2.0
    settled_after: float = 5.0
    _failures: int = field(default=0, init=False)

    def next_delay(self, fraction: float) -> float:
        """Seconds to wait before the next attempt; `fraction` is a fresh random number, 0 to 1."""
        ceiling = min(self.cap, self.base * 2.0 ** min(self._failures, 32))
        self._failures += 1
        return fraction * ceiling

    def ended(self, lived: float) -> None:
        """A registered stream ended after `lived` seconds: only one that settled makes the next wait short again."""
        if lived > self.settled_after:
            self.reset()

    def reset(self) -> None:
        """Forget the failures so far."""
        self._failures = 0


@dataclass(slots=True)
class CutOff:
    """Whether the registry hears us: no acknowledgement for two intervals is cut off; a long silence ends the stream.

    Being cut off is counted from the last message of the registry; the end of the stream from the first beat that is
    unanswered, and only after several of them: a process that was itself stopped for a minute must not blame the
    stream, because the answer to the beat before is there then, and was not read yet.
    """

    interval: float
    _heard: float | None = field(default=None, init=False)
    _unanswered: float | None = field(default=None, init=False)
    _beats: int = field(default=0, init=False)
    """Beats that are unanswered."""

    @property
    def asks(self) -> bool:
        """Whether each beat must ask for its acknowledgement; faster beats are acknowledged once a second."""
        return self.interval >= 1.0

    @property
    def limit(self) -> float:
        """Seconds that may pass without an acknowledgement before we consider ourselves cut off from the registry."""
        return 2 * self.interval if self.asks else max(2 * self.interval, 2 * _SLOWEST_ACK)

    @property
    def patience(self) -> float:
        """Seconds that a beat may stay unanswered until the stream is replaced."""
        return max(4 * self.interval, 30.0)

    def heard(self, now: float) -> None:
        """The registry registered us or acknowledged a beat."""
        self._heard = now
        self._unanswered, self._beats = None, 0

    def beaten(self, now: float) -> None:
        """A beat left."""
        self._beats += 1
        if self._unanswered is None:
            self._unanswered = now

    def is_cut(self, now: float) -> bool:
        """Whether we must consider ourselves cut off."""
        return self._heard is None or now - self._heard > self.limit

    def is_lost(self, now: float) -> bool:
        """Whether this stream should be replaced by one on a new connection."""
        late = self._unanswered is not None and now - self._unanswered > self.patience
        return late and self._beats >= _LOST_BEATS
