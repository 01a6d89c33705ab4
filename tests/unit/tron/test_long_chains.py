"""A long chain of parents dies at once: the work for each death is bounded by what its alert lists, and no part of it
keeps others waiting."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from grid_model.observation import Frame

from tests.unit.tron.builders import POLICY, make_facts
from tron.facts import Kind
from tron.grouping import Groups
from tron.judge import LISTED_PER_ORDER, PART, Judge
from tron.orders import Orders
from tron.policy import Policies

LENGTH = 400
PATIENT = replace(POLICY, guard_ratio=1.0)


@pytest.fixture
def judge() -> Judge:
    """A judge of one chain, in which every service is the parent of the next, and all have lost their stream."""
    judge = Judge(Policies(PATIENT, {}), "tron")
    alive = [
        make_facts(f"s{n}", parent=f"s{n - 1}" if n else "", incarnation=n + 1, interval=60.0, heard_at=99.0)
        for n in range(LENGTH)
    ]
    judge.learn(Frame(now=100.0, hearing_since=0.0, observations=tuple(alive), snapshot_complete=True))
    judge.decide(0.0, 0.0)
    gone = [replace(each, connected=False, detached_at=101.0, observation=LENGTH + 1) for each in alive]
    judge.learn(Frame(now=101.1, hearing_since=0.0, observations=tuple(gone)))
    judge.decide(0.0, 0.0)
    return judge


def dying(judge: Judge) -> Iterator[Orders]:
    """What follows once the grace of all is over, frame after frame."""
    for n in range(-(-LENGTH // PART)):
        judge.learn(Frame(now=101.1 + PATIENT.reconnect_grace + n / 10, hearing_since=0.0))
        yield from judge.decide_in_parts(0.0, 0.0)


def test_every_death_lists_all_below_it(judge: Judge) -> None:
    rulings = [each for orders in dying(judge) for each in orders.rulings]
    assert {each.transition.kind for each in rulings} == {Kind.DOWN}
    below = {each.transition.service_id: len(each.subtree) for each in rulings}
    assert below == {f"s{n}": LENGTH - 1 - n for n in range(LENGTH)}


def test_the_list_of_a_death_is_not_read_for_each_death_above_it(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    subtree_of = Groups.subtree_of

    def count(self: Groups, service_id: str, otherwise: tuple[str, ...]) -> tuple[str, ...]:
        subtree = subtree_of(self, service_id, otherwise)
        read.append(len(subtree))
        return subtree

    monkeypatch.setattr(Groups, "subtree_of", count)
    for _ in dying(judge):
        pass
    assert sum(read) == 0, "read were the services in lists, all told"


def test_a_part_has_fewer_orders_if_they_list_many(judge: Judge) -> None:
    for orders in dying(judge):
        weight = sum(1 + len(each.subtree) // LISTED_PER_ORDER for each in orders.rulings[:-1])
        assert weight < PART
