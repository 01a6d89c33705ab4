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
        {"reattach_window": 86_400.0},
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
