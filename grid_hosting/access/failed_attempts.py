"""How long the refusal of a wrong credential is delayed. Pure.

Only refusals are delayed. The credential is checked before the delay, so a caller with a valid one never waits because
others at its address failed.
"""

from __future__ import annotations

from collections import OrderedDict

FREE = 10
"""Number of failed attempts from one address that are answered without a delay."""

FIRST_DELAY = 0.1
LONGEST_DELAY = 2.0
"""The longest delay, in seconds. The delay begins with FIRST_DELAY and doubles with each further attempt."""

FORGET_AFTER = 60.0
"""Seconds without a failed attempt after which the attempts of an address are counted from the beginning."""

MOST_ADDRESSES = 10_000
"""Maximum number of addresses that are counted. Overflow rule: the address whose last failed attempt is the oldest is
forgotten."""


class FailedAttempts:
    """Counts the failed attempts of each address."""

    def __init__(self) -> None:
        self.total = 0
        """The number of all failed attempts so far."""
        self._found: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._found)

    def failed(self, address: str, now: float) -> float:
        """Record a failed attempt; return the seconds after which it should be answered. `now` is in monotonic
        seconds."""
        self.total += 1
        count, last = self._found.get(address, (0, now))
        count = 1 if now - last > FORGET_AFTER else count + 1
        self._found[address] = count, now
        self._found.move_to_end(address)
        if len(self._found) > MOST_ADDRESSES:
            self._found.popitem(last=False)
        over = count - FREE
        return 0.0 if over <= 0 else min(FIRST_DELAY * 2.0 ** min(over - 1, 16), LONGEST_DELAY)
