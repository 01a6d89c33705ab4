"""Each value names its source, and what is unset falls back to the layer below."""

from __future__ import annotations

import pytest
from grid_model.policy import OrphanPolicy, PolicySource

from tron.policy import Policy
from tron.policy_layers import PolicyLayers

LAYERS = PolicyLayers({"": {"escalate_after": 20.0}, "own": {"flap_count": 9}})


def test_the_later_layer_counts_and_a_service_counts_before_everyone() -> None:
    layers = LAYERS.changed("", {"escalate_after": 25.0, "flap_count": 6}).changed("own", {"busy_cap": 60.0})
    policies = layers.policies()
    assert policies.default == Policy(escalate_after=25.0, flap_count=6)
    assert policies.of("own") == Policy(escalate_after=25.0, flap_count=9, busy_cap=60.0)
    assert policies.of("other") == policies.default


def test_each_value_says_where_it_comes_from() -> None:
    layers = LAYERS.changed("", {"flap_window": 30.0}).changed("own", {"busy_cap": 60.0})
    sources = layers.sources("own")
    assert {
        name: sources[name] for name in ("escalate_after", "flap_count", "flap_window", "busy_cap", "guard_min")
    } == {
        "escalate_after": PolicySource.SETTINGS,
        "flap_count": PolicySource.SERVICE_SETTINGS,
        "flap_window": PolicySource.RUNTIME,
        "busy_cap": PolicySource.SERVICE_RUNTIME,
        "guard_min": PolicySource.BUILT_IN,
    }
    assert layers.sources()["busy_cap"] is PolicySource.BUILT_IN


def test_what_is_unset_falls_back_to_the_layer_below() -> None:
    layers = LAYERS.changed("", {"escalate_after": 25.0}).changed("own", {"flap_count": 7, "escalate_after": 40.0})
    layers = layers.changed("own", {}, unset=["flap_count", "escalate_after", "busy_cap"])
    assert layers.policies().of("own") == Policy(escalate_after=25.0, flap_count=9)
    layers = layers.changed("", {}, unset=["escalate_after"])
    assert layers == LAYERS
    assert layers.sources()["escalate_after"] is PolicySource.SETTINGS


def test_overrides_are_listed_with_what_they_set_and_nothing_else() -> None:
    layers = LAYERS.changed("b", {"orphan_policy": OrphanPolicy.STOP}).changed("a", {"flap_count": 7})
    assert layers.overridden() == ["a", "b", "own"]
    assert [layers.own(each) for each in layers.overridden()] == [
        {"flap_count": 7}, {"orphan_policy": OrphanPolicy.STOP}, {"flap_count": 9}]  # fmt: skip
    assert layers.changed("a", {}, unset=["flap_count"]).overridden() == ["b", "own"]


def test_a_change_for_everyone_that_contradicts_an_override_names_the_service() -> None:
    layers = LAYERS.changed("a", {"misses_before_deregister": 4})
    with pytest.raises(ValueError, match=r"^misses_before_down: .* \(for 'a', which has an override\)$"):
        layers.changed("", {"misses_before_down": 5, "misses_before_deregister": 6})


def test_the_guard_is_about_all_services_and_cannot_be_set_for_one() -> None:
    with pytest.raises(ValueError, match="guard_window: the threshold applies to all services together"):
        LAYERS.changed("a", {"guard_window": 20.0})


def test_no_more_services_than_the_bound_have_overrides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tron.policy_layers.MAX_OVERRIDES", 2)
    layers = LAYERS.changed("a", {"flap_count": 7}).changed("b", {"flap_count": 7})
    with pytest.raises(ValueError, match="service_id: 2 services have overrides"):
        layers.changed("c", {"flap_count": 7})
    layers.changed("b", {"flap_count": 8})
