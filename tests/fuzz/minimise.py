"""Finds the shortest case that still shows a finding: first fewer steps, then fewer bytes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from tests.fuzz.cases import Case, Step

T = TypeVar("T")


def minimise(case: Case, shows: Callable[[Case], bool], seconds: float) -> Case:
    """Return a part of the case that still `shows` the finding, after at most about this many seconds."""
    deadline = time.monotonic() + seconds

    def timely(shorter: Case) -> bool:
        return time.monotonic() < deadline and shows(shorter)

    steps = _reduced(case, lambda part: timely(tuple(part)))
    for number in range(len(steps)):
        steps = _with_fewer_bytes(steps, number, timely)
    return tuple(steps)


def _with_fewer_bytes(steps: list[Step], number: int, shows: Callable[[Case], bool]) -> list[Step]:
    name, data = steps[number]

    def replaced(part: Sequence[int]) -> list[Step]:
        return [*steps[:number], Step(name, bytes(part)), *steps[number + 1 :]]

    return replaced(_reduced(list(data), lambda part: shows(tuple(replaced(part)))))


def _reduced(items: Sequence[T], shows: Callable[[Sequence[T]], bool]) -> list[T]:
    """Remove parts, half of the items first, then smaller ones (delta debugging)."""
    rest = list(items)
    size = len(rest) // 2
    while size:
        at = 0
        while at < len(rest):
            shorter = rest[:at] + rest[at + size :]
            if shows(shorter):
                rest = shorter
            else:
                at += size
        size //= 2
    return rest
