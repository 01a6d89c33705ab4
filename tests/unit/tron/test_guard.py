"""When many failures are one, whose alerts are held, and that it ends automatically."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from tron.guard import ESTABLISHED, SETTLE, Cascade, Guard
from tron.living import Living
from tron.policy import Policy

POLICY = Policy(guard_ratio=0.30, guard_min=5, guard_burst=1.0, guard_window=10.0)


class Fleet:
    """A guard, and a fleet of which somebody is alive or not. Ticks are a tenth of a second."""

    def __init__(self, size: int = 20, parents: dict[str, str] | None = None, policy: Policy = POLICY) -> None:
        self.guard = Guard(policy)
        self.now = 100.0
        self.living_ids = {f"s{n}" for n in range(size)}
        self.parents = parents or {}
        self.processes: dict[str, str] = {}
        self.told: list[Cascade] = []

    def fail(self, *numbers: int, spread: float = 0.0, alive_since: float = 0.0) -> None:
        """These fall silent now."""
        for n in numbers:
            self.living_ids.discard(f"s{n}")
            self.guard.failed(f"s{n}", self.now, alive_since, spread)

    def back(self, *numbers: int) -> None:
        """These are heard again."""
        for n in numbers:
            self.living_ids.add(f"s{n}")
            self.guard.ended(f"s{n}")

    def run(self, seconds: float) -> None:
        """Let time pass."""
        for _ in range(round(seconds * 10)):
            self.look()
            self.now = round(self.now + 0.1, 6)

    def look(self) -> None:
        """One tick."""
        cascade = self.guard.update(self.now, self)
        if cascade is not None:
            self.told.append(cascade)

    def share(self, process: str, numbers: Iterable[int]) -> None:
        """These run in one process."""
        self.processes |= dict.fromkeys(names(numbers), process)

    @property
    def living(self) -> Living:
        """Those who live."""
        living = Living()
        for each in self.living_ids:
            living.add(self.unit_of(each))
        return living

    def unit_of(self, service_id: str) -> str:
        """The process of a service, or the service."""
        return self.processes.get(service_id, service_id)

    def parent_of(self, service_id: str) -> str | None:
        """Its parent."""
        return self.parents.get(service_id)

    def covered(self) -> set[int]:
        """About whom notices are held."""
        return {n for n in range(1000) if self.guard.covers(f"s{n}")}


def names(numbers: Iterable[int]) -> tuple[str, ...]:
    """As services."""
    return tuple(f"s{n}" for n in numbers)


def test_many_at_once_are_one_mass_failure_that_is_told_once() -> None:
    fleet = Fleet()
    fleet.fail(*range(8))
    fleet.run(SETTLE + 5.0)
    assert fleet.told == [Cascade(names(range(8)), 20, 100.0)]
    assert fleet.guard.active


def test_notices_are_held_from_the_first_moment_on_and_told_of_only_when_it_is_certain() -> None:
    fleet = Fleet()
    fleet.fail(*range(8))
    fleet.look()
    assert (fleet.guard.holds, fleet.guard.active, fleet.told) == (True, False, [])
    assert fleet.covered() == set(range(8))


@pytest.mark.parametrize(
    ("size", "failing"),
    [
        (20, 6),  # 30 % is not more than 30 %
        (10, 4),  # more than 30 %, but fewer than 5
        (4, 4),
        (100, 30),
    ],
)
def test_fewer_are_no_mass_failure(size: int, failing: int) -> None:
    fleet = Fleet(size)
    fleet.fail(*range(failing))
    fleet.run(2.0)
    assert fleet.told == []
    assert not fleet.guard.holds


@pytest.mark.parametrize(("size", "failing"), [(20, 7), (16, 5), (5, 5), (100, 31)])
def test_one_more_is(size: int, failing: int) -> None:
    fleet = Fleet(size)
    fleet.fail(*range(failing))
    fleet.run(2.0)
    assert len(fleet.told) == 1


def test_the_same_number_one_after_the_other_is_no_mass_failure() -> None:
    fleet = Fleet()
    for n in range(15):
        fleet.fail(n)
        fleet.run(0.5)
    assert fleet.told == []


def test_missed_beats_belong_together_for_as_long_as_it_is_not_known_when_they_fell_silent() -> None:
    fleet = Fleet()
    for n in range(8):
        fleet.fail(n, spread=5.0)
        fleet.run(0.5)
    assert len(fleet.told) == 1


def test_who_was_alive_only_for_a_moment_does_not_count() -> None:
    fleet = Fleet()
    fleet.fail(*range(10), alive_since=fleet.now - ESTABLISHED / 2)
    fleet.run(2.0)
    assert fleet.told == []
    assert not fleet.guard.holds


def test_one_subtree_is_no_mass_failure_though_its_root_fails_last() -> None:
    fleet = Fleet(parents=dict.fromkeys(names(range(1, 12)), "s0"))
    fleet.fail(*range(1, 12))
    fleet.look()
    assert fleet.guard.many_fail
    fleet.fail(0)
    fleet.run(5.0)
    assert fleet.told == []
    assert not fleet.guard.holds
    assert fleet.covered() == set()


def test_two_subtrees_are() -> None:
    parents = dict.fromkeys(names(range(1, 6)), "s0") | dict.fromkeys(names(range(7, 12)), "s6")
    fleet = Fleet(parents=parents)
    fleet.fail(*range(12))
    fleet.run(1.0)
    assert len(fleet.told) == 1


def test_who_fails_while_it_lasts_is_held_too_only_if_many_still_fail() -> None:
    fleet = Fleet()
    fleet.fail(*range(8))
    fleet.run(0.5)
    fleet.fail(8)
    fleet.look()
    assert 8 in fleet.covered()
    fleet.run(3.0)
    fleet.fail(9)
    fleet.look()
    assert 9 not in fleet.covered()
    assert fleet.guard.active


def test_it_ends_one_window_after_the_last_of_them() -> None:
    fleet = Fleet()
    fleet.fail(*range(8))
    fleet.run(9.9)
    assert fleet.guard.active
    fleet.run(0.3)
    assert not fleet.guard.holds
    assert fleet.covered() == set()


def test_it_counts_those_who_live_now_so_that_a_fleet_can_be_replaced_many_times() -> None:
    fleet = Fleet(20)
    for generation in range(1, 10):
        fleet.fail(*range(20 * (generation - 1), 20 * generation))
        fleet.run(2.0)
        fleet.living_ids |= {f"s{n}" for n in range(20 * generation, 20 * (generation + 1))}
        for n in range(20 * (generation - 1), 20 * generation):
            fleet.guard.ended(f"s{n}")
        fleet.run(POLICY.guard_window + 1)
        assert not fleet.guard.holds, generation
    assert len(fleet.told) == 9


def test_who_has_been_dead_for_longer_counts_on_neither_side() -> None:
    fleet = Fleet(100)
    fleet.living_ids = set(names(range(20)))  # eighty died one by one, long ago
    fleet.fail(*range(7))
    fleet.run(1.0)
    assert len(fleet.told) == 1
    assert fleet.told[0].live == 20


def test_who_is_back_or_leaves_on_purpose_does_not_fail_any_more() -> None:
    fleet = Fleet()
    fleet.fail(*range(8))
    fleet.look()
    fleet.back(*range(4))
    fleet.run(1.0)
    assert fleet.told == []
    assert not fleet.guard.holds
    fleet.fail(*range(8))
    fleet.run(1.0)
    fleet.back(3)
    assert 3 not in fleet.covered()
    assert "s3" not in fleet.guard.listed
    assert "s4" in fleet.guard.listed


def test_who_fails_again_counts_from_then_on() -> None:
    fleet = Fleet()
    fleet.fail(*range(8), spread=2.0)
    fleet.run(1.9)
    fleet.fail(*range(8))
    fleet.run(0.5)
    assert fleet.guard.many_fail  # the end of the first time does not end the second
    fleet.run(1.0)
    assert not fleet.guard.many_fail


def test_a_policy_that_changes_meanwhile_leaves_nobody_failing_for_ever() -> None:
    fleet = Fleet()
    fleet.fail(*range(8))
    fleet.run(0.5)
    fleet.guard.policy = replace(POLICY, guard_burst=5.0)
    fleet.run(POLICY.guard_window + 10)
    assert not fleet.guard.holds


def test_an_observer_that_comes_within_one_goes_on_with_it_and_does_not_tell_it_again() -> None:
    fleet = Fleet()
    fleet.living_ids -= set(names(range(8)))
    fleet.guard.resume(fleet.now, names(range(8)))
    fleet.look()
    assert fleet.guard.active
    assert fleet.covered() == set(range(8))
    fleet.fail(*range(8, 14))
    fleet.run(5.0)
    assert fleet.told == []
    fleet.run(POLICY.guard_window)
    assert not fleet.guard.holds


# --- processes with many agents ---------------------------------------------------------------------------------------


def test_one_process_alone_is_no_mass_failure_however_many_agents_it_has() -> None:
    """250 services, 100 of them in one process that is killed: each parent has its alerts at once."""
    fleet = Fleet(250)
    fleet.share("killed", range(100))
    fleet.fail(*range(100))
    fleet.run(SETTLE + 1.0)
    assert (fleet.told, fleet.guard.holds, fleet.covered()) == ([], False, set())


def test_twenty_processes_with_fifty_agents_each_that_are_cut_at_once_are_one() -> None:
    fleet = Fleet(1000)
    for number in range(20):
        fleet.share(f"process {number}", range(number * 50, number * 50 + 50))
    fleet.fail(*range(1000))
    fleet.run(SETTLE + 1.0)
    assert [len(each.service_ids) for each in fleet.told] == [1000]


def test_two_processes_that_hold_more_than_the_share_of_all_services_are_one() -> None:
    fleet = Fleet(100)
    fleet.share("one", range(20))
    fleet.share("other", range(20, 40))
    fleet.fail(*range(40))
    fleet.run(SETTLE + 1.0)
    assert [each.live for each in fleet.told] == [100]


def test_many_small_processes_count_as_units_on_both_sides_of_the_share() -> None:
    """Six of ten processes fail; the services of the others are many more."""
    fleet = Fleet(1006)
    for number in range(4):
        fleet.share(f"large {number}", range(6 + number * 250, 256 + number * 250))
    fleet.fail(*range(6))
    fleet.run(SETTLE + 1.0)
    assert [len(each.service_ids) for each in fleet.told] == [6]


def test_a_process_of_which_a_part_fails_counts_as_failing_only() -> None:
    fleet = Fleet(30)
    fleet.share("one", range(15))
    fleet.share("other", range(15, 30))
    fleet.fail(*range(10))
    fleet.run(SETTLE + 1.0)
    assert fleet.told == []
