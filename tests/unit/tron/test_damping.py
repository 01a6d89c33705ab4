"""A service that is suspected again and again raises a few alerts, then none until it was stable for a window."""

from __future__ import annotations

import pytest

from tron import damping as damping_module
from tron.damping import Damping
from tron.policy import Policies, Policy

POLICIES = Policies(Policy(flap_count=3, flap_window=10.0), {"calm": Policy(flap_count=2, flap_window=100.0)})


def suspect(damping: Damping, *times: float, service_id: str = "a") -> list[bool]:
    """Suspicions at these seconds; whether each was the one too many."""
    return [damping.suspected(service_id, at, POLICIES) for at in times]


def test_the_suspicion_that_makes_too_many_is_the_last_that_is_told() -> None:
    damping = Damping()
    assert suspect(damping, 1.0, 2.0, 3.0, 4.0, 5.0) == [False, False, True, False, False]
    assert damping.is_damped("a", 5.0)


def test_as_many_in_a_longer_time_are_not_too_many() -> None:
    damping = Damping()
    assert suspect(damping, *range(0, 60, 6)) == [False] * 10
    assert not damping.is_damped("a", 60.0)


def test_it_ends_when_one_window_went_by_without_any() -> None:
    damping = Damping()
    suspect(damping, 1.0, 2.0, 3.0)
    assert damping.is_damped("a", 12.9)
    suspect(damping, 12.9)
    assert damping.is_damped("a", 22.8)
    assert not damping.is_damped("a", 22.9)
    assert suspect(damping, 40.0, 41.0, 42.0) == [False, False, True]


def test_each_service_counts_for_itself_and_by_its_own_policy() -> None:
    damping = Damping()
    suspect(damping, 1.0, 2.0, 3.0)
    assert not damping.is_damped("b", 3.0)
    assert suspect(damping, 1.0, 90.0, service_id="calm") == [False, True]
    assert damping.damped(90.0) == ["calm"]


def test_suspicions_are_counted_as_far_as_that_matters() -> None:
    damping = Damping()
    assert damping.count("a", 1.0, 10.0) == 0
    suspect(damping, 1.0, 8.0)
    assert (damping.count("a", 9.0, 10.0), damping.count("a", 12.0, 10.0)) == (2, 1)


def test_those_who_were_quiet_for_longest_are_forgotten_beyond_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(damping_module, "MAX_SERVICES", 3)
    damping = Damping()
    for service_id in ("a", "b", "c", "a", "d", "e"):
        suspect(damping, 1.0, service_id=service_id)
    assert [damping.count(each, 1.0, 10.0) for each in "abcde"] == [2, 0, 0, 1, 1]
