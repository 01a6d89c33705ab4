"""The garbage collector visits only what is new, however much is alive, and still finds what is lost."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from grid_hosting.collector import FREEZE_AT, THRESHOLDS, Collector
from grid_hosting.pauses import Pauses

MOST_VISITED = THRESHOLDS[0] * (THRESHOLDS[1] + 2) * (THRESHOLDS[2] + 2) + FREEZE_AT
"""Containers between two full collections, with one more of each kind for what is made meanwhile."""


class Knot:
    """Something that only the collector can free."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def pauses() -> Pauses:
    """Pauses of this test only."""
    return Pauses()


@pytest.fixture
def collector(pauses: Pauses) -> Iterator[Collector]:
    """A collector at work; Python's own comes back after the test."""
    collector = Collector(pauses)
    collector.install()
    yield collector
    collector.uninstall()


@contextmanager
def visits() -> Iterator[list[int]]:
    """How many objects each full collection visits while the block runs."""
    visited: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start" and info["generation"] == 2:
            visited.append(sum(len(gc.get_objects(generation)) for generation in range(3)))

    gc.callbacks.append(note)
    try:
        yield visited
    finally:
        gc.callbacks.remove(note)


@pytest.mark.usefixtures("collector")
def test_no_collection_visits_what_a_fleet_left_before_it() -> None:
    with visits() as visited:
        fleet = [[n] for n in range(900_000)]
    assert len(fleet) == 900_000
    assert len(visited) >= 4
    assert max(visited) < MOST_VISITED < 900_000 / 2


def test_the_first_full_collection_does_not_wait_for_a_quarter_of_what_was_there_before(pauses: Pauses) -> None:
    there_before = [[n] for n in range(2_000_000)]
    collector = Collector(pauses)
    collector.install()
    try:
        with visits() as visited:
            fleet = [[n] for n in range(300_000)]
    finally:
        collector.uninstall()
    assert len(there_before) + len(fleet) == 2_300_000
    assert len(visited) >= 1
    assert max(visited) < MOST_VISITED


@pytest.mark.usefixtures("collector")
def test_cycles_are_freed_while_nothing_grows() -> None:
    lost = weakref.ref(Knot())
    for _ in range(10):
        kept = [[n] for n in range(MOST_VISITED // 2)]
        kept.clear()
    assert lost() is None


def test_what_is_replaced_all_the_time_does_not_gather_in_the_young_generation(collector: Collector) -> None:
    fleet = [[n] for n in range(100_000)]
    collector.step()
    for n in range(100_000):
        fleet[n] = [n]  # one is made, one is freed: Python alone would never collect
        if n % 5_000 == 0:
            collector.step()
            assert len(gc.get_objects(0)) < 10_000


@pytest.mark.usefixtures("collector")
def test_its_pauses_are_noted(pauses: Pauses) -> None:
    fleet = [[n] for n in range(200_000)]
    assert fleet
    assert pauses.longest["collector"] > 0.0
