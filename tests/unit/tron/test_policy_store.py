"""What operators changed is in force again after a restart, and a file that is damaged stops nobody."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from grid_model.policy import OrphanPolicy

from tron.policy import Policies, Policy
from tron.policy_layers import PolicyLayers
from tron.policy_store import FILE, PolicyStore

GIVEN: dict[str, dict[str, Any]] = {"": {"escalate_after": 20.0}, "own": {"flap_count": 9}}
SETTINGS = PolicyLayers(GIVEN).policies()


def reloaded(folder: Path) -> Policies:
    """What the next TRON judges by."""
    return PolicyStore(folder).load(GIVEN).policies()


def save(folder: Path, service_id: str, changes: dict[str, Any], unset: tuple[str, ...] = ()) -> None:
    """An operator changes something while TRON runs."""
    store = PolicyStore(folder)
    store.save(store.load(GIVEN).changed(service_id, changes, unset))


def test_without_a_file_the_settings_are_in_force(tmp_path: Path) -> None:
    assert reloaded(tmp_path) == SETTINGS


def test_changes_for_everyone_and_for_one_come_on_top_of_the_settings(tmp_path: Path) -> None:
    save(tmp_path / "not there yet", "", {"reconnect_grace": 3.0})
    save(tmp_path / "not there yet", "a", {"flap_count": 7, "orphan_policy": OrphanPolicy.ADOPT})
    found = reloaded(tmp_path / "not there yet")
    assert found.default == Policy(escalate_after=20.0, reconnect_grace=3.0)
    assert found.of("a") == Policy(
        escalate_after=20.0, reconnect_grace=3.0, flap_count=7, orphan_policy=OrphanPolicy.ADOPT
    )
    assert found.of("own") == Policy(escalate_after=20.0, reconnect_grace=3.0, flap_count=9)


def test_a_later_change_of_a_threshold_replaces_that_one_alone(tmp_path: Path) -> None:
    save(tmp_path, "a", {"flap_count": 7, "flap_window": 30.0})
    save(tmp_path, "a", {"flap_count": 8})
    found = reloaded(tmp_path).of("a")
    assert (found.flap_count, found.flap_window) == (8, 30.0)


def test_what_was_unset_is_unset_in_the_next_life(tmp_path: Path) -> None:
    save(tmp_path, "a", {"flap_count": 7, "flap_window": 30.0})
    save(tmp_path, "a", {}, unset=("flap_count",))
    assert json.loads((tmp_path / FILE).read_text()) == {"a": {"flap_window": 30.0}}
    assert reloaded(tmp_path).of("a") == Policy(escalate_after=20.0, flap_window=30.0)


def test_nothing_but_the_file_is_left_behind(tmp_path: Path) -> None:
    save(tmp_path, "", {"flap_count": 7})
    save(tmp_path, "", {"flap_count": 8})
    assert [each.name for each in tmp_path.iterdir()] == [FILE]


def test_what_does_not_fit_any_more_is_left_out_and_the_rest_is_in_force(tmp_path: Path) -> None:
    stored = {
        "": {"misses_before_down": 0, "reconnect_grace": 3.0},
        "a": {"flap_count": 7, "a threshold of the past": 1},
        "b": {"orphan_policy": 99},
        "c": {"flap_window": "long"},
        "d": {"flap_count": 6},
    }
    (tmp_path / FILE).write_text(json.dumps(stored))
    found = reloaded(tmp_path)
    assert found.default == SETTINGS.default
    assert (found.of("a").flap_count, found.of("d").flap_count) == (7, 6)
    assert found.of("b") == found.of("c") == SETTINGS.default


@pytest.mark.parametrize("text", ["", "{", "[1]", '"x"', '{"a": 1}', "null", "\udcff"])
def test_a_file_that_is_damaged_is_said_and_stops_nobody(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_bytes(text.encode("utf-8", "surrogateescape"))
    assert reloaded(tmp_path) == SETTINGS


def test_a_change_that_can_not_be_written_is_not_kept_in_memory_either(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = PolicyStore(tmp_path / "file")
    with pytest.raises(OSError, match="file"):
        store.save(PolicyLayers(GIVEN, {"": {"flap_count": 7}}))
    (tmp_path / "file").unlink()
    assert store.load(GIVEN).policies() == SETTINGS
