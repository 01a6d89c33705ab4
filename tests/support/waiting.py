"""Waits for a condition with a deadline, never for a time: the one place in the tests that sleeps."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_LATER = 0.05
"""Seconds between two looks, and then the part of the wait so far: to ask a system costs both of us a processor."""

_LONGEST_PAUSE = 0.25


def wait_until(predicate: Callable[[], T], timeout: float = 10.0, what: str = "") -> T:
    """Call `predicate` until it is true; return its value. Raises AssertionError, naming `what`, at the deadline.

    The predicate is asked once more after the deadline, so that a test process that was itself stopped does not fail.
    """
    began = time.monotonic()
    pause = 0.002
    while True:
        waited = time.monotonic() - began
        late = waited >= timeout
        if value := predicate():
            return value
        if late:
            raise AssertionError(f"not within {timeout:g} s: {what or predicate}")
        time.sleep(min(pause, _LONGEST_PAUSE, max(_LATER, _LATER * waited)))
        pause *= 2


async def eventually(predicate: Callable[[], T], timeout: float = 10.0, what: str = "") -> T:
    """`wait_until` while the event loop goes on; the predicate is called in another thread."""
    return await asyncio.to_thread(wait_until, predicate, timeout, what)


def let_pass(length: float) -> None:
    """Let time go by in which nothing may happen, so that there is no condition to wait for."""
    until = time.monotonic() + length
    wait_until(lambda: time.monotonic() >= until, length + 60)
