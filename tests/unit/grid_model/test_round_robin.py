"""Parties take turns, whatever the number of items that each has."""

from __future__ import annotations

import pytest
from grid_model.round_robin import RoundRobin


def filled() -> RoundRobin[int]:
    """Four items of one party, then one of each of two others."""
    waiting: RoundRobin[int] = RoundRobin()
    for item in range(4):
        waiting.put("crowd", item)
    waiting.put("a", 10)
    waiting.put("b", 20)
    return waiting


def test_a_party_with_one_item_does_not_wait_for_all_of_another() -> None:
    waiting = filled()
    assert [waiting.take() for _ in range(6)] == [0, 10, 20, 1, 2, 3]


def test_nothing_is_taken_if_nothing_waits() -> None:
    waiting: RoundRobin[int] = RoundRobin()
    assert not waiting
    with pytest.raises(StopIteration):
        waiting.take()


def test_a_removed_item_is_not_taken_and_costs_its_party_no_turn() -> None:
    waiting = filled()
    waiting.remove("crowd", 0)
    waiting.remove("a", 10)
    assert [waiting.take() for _ in range(4)] == [1, 20, 2, 3]
    with pytest.raises(KeyError):
        waiting.remove("a", 10)


def test_a_party_that_comes_again_waits_for_those_that_came_before() -> None:
    waiting = filled()
    assert [waiting.take(), waiting.take()] == [0, 10]
    waiting.put("a", 11)
    assert [waiting.take() for _ in range(5)] == [20, 1, 11, 2, 3]
