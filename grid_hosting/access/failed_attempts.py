"""How long the refusal of a wrong credential is delayed. Pure.

Only refusals are delayed: a credential is checked before, so a valid one never waits for its neighbors.
"""

from __future__ import annotations

from collections import OrderedDict

FREE = 10
"""Failed attempts of an address that are answered at once."""

FIRST_DELAY = 0.1
LONGEST_DELAY = 2.0
"""Seconds. The delay doubles with each further attempt."""

FORGET_AFTER = 60.0
"""Seconds without a failed attempt after which an address begins anew."""

MOST_ADDRESSES = 10_000
"""Overflow rule: the address whose last failed attempt is the oldest is forgotten."""


class FailedAttempts:
    """The failed attempts of each address."""

    def __init__(self) -> None:
        self.total = 0
        """All failed attempts so far."""
        self._found: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._found)

    def failed(self, address: str, now: float) -> float:
        """Record a failed attempt; return the seconds after which it should be answered. `now`: monotonic seconds."""
        self.total += 1
        count, last = self._found.get(address, (0, now))
        count = 1 if now - last > FORGET_AFTER else count + 1
        self._found[address] = count, now
        self._found.move_to_end(address)
        if len(self._found) > MOST_ADDRESSES:
            self._found.popitem(last=False)
        over = count - FREE
        return 0.0 if over <= 0 else min(FIRST_DELAY * 2.0 ** min(over - 1, 16), LONGEST_DELAY)
