"""How much work something is, as the number of functions that it calls: the same on every machine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType


def count_calls(act: Callable[[], object]) -> int:
    """The functions that `act` calls in this thread, those written in C included: the fewest of five times, because a
    collection of garbage, with the calls of what it ends, may fall into one of them."""
    return min(_count_calls(act) for _ in range(5))


def _count_calls(act: Callable[[], object]) -> int:
    count = 0

    def profile(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        act()
    finally:
        sys.setprofile(None)
    return count
