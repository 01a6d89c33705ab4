"""The formulas that turn thresholds into deadlines."""

from __future__ import annotations

from typing import Any

import pytest

from tron.policy import Policies, Policy


@pytest.mark.parametrize(
    ("interval", "misses", "silence"),
    [
        (30.0, 1, 33.0),
        (30.0, 2, 63.0),
        (30.0, 3, 93.0),
        (2.5, 1, 2.75),
        (1.0, 1, 1.25),
        (0.1, 2, 0.45),
    ],
)
def test_a_miss_is_counted_at_n_intervals_plus_tolerance(interval: float, misses: int, silence: float) -> None:
    assert Policy().silence(interval, misses) == pytest.approx(silence)


def test_a_tolerance_of_nothing_is_allowed() -> None:
    assert Policy(tolerance_ratio=0.0, tolerance_min=0.0).silence(1.0, 2) == 2.0


@pytest.mark.parametrize(
    "thresholds",
    [
        {"misses_before_warning": 0},
        {"misses_before_warning": 3},
        {"misses_before_down": 4},
        {"misses_before_deregister": 1},
        {"tolerance_ratio": -0.1},
        {"tolerance_min": float("nan")},
        {"reconnect_grace": -1.0},
        {"reattach_window": 86_400.1},
        {"escalate_after": float("inf")},
    ],
    ids=str,
)
def test_thresholds_that_contradict_each_other_are_refused(thresholds: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        Policy(**thresholds)


def test_a_service_has_its_own_policy_or_the_one_for_all() -> None:
    own = Policy(reconnect_grace=9.0)
    policies = Policies(Policy(), {"a": own})
    assert policies.of("a") is own
    assert policies.of("b") is policies.default


SANE = Policy()


def test_the_defaults_accuse_nobody() -> None:
    assert SANE.reckless() == []


@pytest.mark.parametrize(
    ("thresholds", "field"),
    [
        ({"misses_before_deregister": 2}, "misses_before_deregister"),
        ({"misses_before_down": 1}, "misses_before_down"),
        ({"tolerance_min": 0.0, "tolerance_ratio": 0.0}, "tolerance_min"),
        ({"reattach_window": 7.0}, "reattach_window"),
        ({"reconnect_grace": 0.2}, "reconnect_grace"),
        ({"guard_window": 2.0}, "guard_window"),
        ({"escalate_after": 0.9}, "escalate_after"),
    ],
    ids=str,
)
def test_thresholds_that_would_accuse_the_healthy_are_named_and_can_be_set_in_the_settings(
    thresholds: dict[str, Any], field: str
) -> None:
    assert [each.field for each in Policy(**thresholds).reckless()] == [field]
