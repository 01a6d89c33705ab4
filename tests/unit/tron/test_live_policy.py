"""Changing thresholds while TRON runs: checked as a whole, kept before they are in force, refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from grid_model.errors import InternalError, InvalidRequest

from tron.live_policy import LivePolicy
from tron.monitor import Monitor
from tron.policy import Policies
from tron.policy_layers import PolicyLayers
from tron.policy_store import PolicyStore


class TheMonitor:
    """The thresholds that a monitor judges by."""

    policies: Policies | None = None

    def set_policies(self, policies: Policies) -> None:
        self.policies = policies


def live(folder: Path, **settings: Any) -> tuple[LivePolicy, TheMonitor]:
    monitor = TheMonitor()
    return LivePolicy(cast("Monitor", monitor), PolicyStore(folder), PolicyLayers({"": settings})), monitor


def test_one_service_may_be_more_patient_than_the_window_of_the_guard(tmp_path: Path) -> None:
    policy, monitor = live(tmp_path)
    policy.change("slow", {"reconnect_grace": 60.0}, ())
    assert monitor.policies is not None
    assert monitor.policies.of("slow").reconnect_grace == 60.0
    assert PolicyStore(tmp_path).load({}) == PolicyLayers({}, {"slow": {"reconnect_grace": 60.0}})
    with pytest.raises(
        InvalidRequest, match="guard_window: 10 s is too short; the value must be above reconnect_grace"
    ):
        policy.change("", {"reconnect_grace": 60.0}, ())


def test_what_the_settings_have_as_it_is_stands_in_no_ones_way(tmp_path: Path) -> None:
    policy, monitor = live(tmp_path, misses_before_down=1)
    policy.change("", {"escalate_after": 40.0}, ())
    assert monitor.policies is not None
    assert monitor.policies.default.escalate_after == 40.0
    with pytest.raises(InvalidRequest, match="escalate_after: 0 s is too short"):
        policy.change("", {"escalate_after": 0.0}, ())


@pytest.mark.parametrize(
    ("changes", "unset", "fields"),
    [
        ({}, (), ["policy"]),
        ({"reconnect_grace": -1.0, "flap_count": 1}, (), ["policy.reconnect_grace", "policy.flap_count"]),
        ({}, ("nonsense",), ["unset"]),
        ({"flap_count": 7}, ("flap_count",), ["unset"]),
        ({"misses_before_warning": 9}, (), ["policy.misses_before_down"]),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_changed(
    tmp_path: Path, changes: dict[str, Any], unset: tuple[str, ...], fields: list[str]
) -> None:
    policy, monitor = live(tmp_path)
    with pytest.raises(InvalidRequest) as refused:
        policy.change("", changes, unset)
    assert [each.field for each in refused.value.fields] == fields
    assert (monitor.policies, list(tmp_path.iterdir())) == (None, [])


def test_what_cannot_be_kept_is_not_in_force(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    policy, monitor = live(tmp_path / "file")
    with pytest.raises(InternalError, match="nothing was changed"):
        policy.change("", {"flap_count": 7}, ())
    assert (monitor.policies, policy.layers.runtime) == (None, {})
