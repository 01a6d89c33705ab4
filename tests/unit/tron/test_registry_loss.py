"""Operators are notified of a registry that stays away, and of no planned restart."""

from __future__ import annotations

import pytest

from tron.registry_loss import RegistryLoss

STEP = 0.25


def reported_at(loss: RegistryLoss, seconds: float) -> list[float]:
    """The seconds of silence at which operators were notified."""
    found = [loss.passed(STEP) for _ in range(round(seconds / STEP))]
    return [each for each in found if each is not None]


@pytest.mark.parametrize(("drained", "after"), [(False, 5.0), (True, 20.0)])
def test_a_registry_that_does_not_return_is_reported_once(drained: bool, after: float) -> None:
    loss = RegistryLoss()
    loss.answered()
    if drained:
        loss.draining()
    assert reported_at(loss, 100.0) == [after]


@pytest.mark.parametrize(("drained", "away"), [(False, 4.75), (True, 19.75)])
def test_a_restart_within_the_time_is_no_incident(drained: bool, away: float) -> None:
    loss = RegistryLoss()
    loss.answered()
    if drained:
        loss.draining()
    assert reported_at(loss, away) == []
    assert loss.answered() is None


def test_from_the_start_the_longer_time_holds() -> None:
    assert reported_at(RegistryLoss(), 60.0) == [20.0]


def test_a_drain_is_over_once_the_registry_is_heard_again() -> None:
    loss = RegistryLoss()
    loss.draining()
    loss.answered()
    assert reported_at(loss, 60.0) == [5.0]


def test_the_return_of_a_registry_that_was_reported_says_how_long_it_was_away() -> None:
    loss = RegistryLoss(after=1.0, after_drain=1.0)
    loss.passed(3.0)
    loss.passed(4.0)
    assert loss.answered() == 7.0
    assert loss.answered() is None
    assert reported_at(loss, 10.0) == [1.0], "each loss is reported"


def test_a_time_after_a_drain_below_the_other_is_that_one() -> None:
    assert reported_at(RegistryLoss(after=10.0, after_drain=1.0), 60.0) == [10.0]
