"""The registry receives the changes of the suspicions in force, and no more."""

from __future__ import annotations

from grid_model.verdict import StandingSuspicion

from tests.unit.tron.builders import make_facts
from tron.alert_book import preauthorized_alert
from tron.preauthorized import Preauthorized

FACTS = make_facts()
SUSPICION = StandingSuspicion("a", 1, preauthorized_alert(FACTS, "boss"))
QUIET = StandingSuspicion("a", 1, None)


def test_a_suspicion_is_told_once_and_again_only_where_it_changed() -> None:
    preauthorized = Preauthorized()
    assert preauthorized.change("a", SUSPICION) == (SUSPICION, None)
    assert preauthorized.change("a", SUSPICION) == (None, None)
    assert preauthorized.change("a", QUIET) == (QUIET, None)


def test_one_that_holds_no_more_is_withdrawn_once() -> None:
    preauthorized = Preauthorized()
    preauthorized.change("a", SUSPICION)
    assert preauthorized.change("a", None) == (None, 1)
    assert preauthorized.change("a", None) == (None, None)


def test_one_that_was_used_up_needs_no_withdrawal_and_is_told_anew() -> None:
    preauthorized = Preauthorized()
    preauthorized.change("a", SUSPICION)
    preauthorized.used_up("a")
    assert preauthorized.change("a", None) == (None, None)
    assert preauthorized.change("a", SUSPICION) == (SUSPICION, None)


def test_after_the_registry_forgot_everything_all_is_told_anew() -> None:
    preauthorized = Preauthorized()
    preauthorized.change("a", SUSPICION)
    preauthorized.touched(1.0)
    preauthorized.forget_all(["a", "b"])
    assert preauthorized.touched(2.0) == ["a", "b"]
    assert preauthorized.change("a", SUSPICION) == (SUSPICION, None)


def test_who_is_touched_is_looked_at_once_now_or_at_a_later_time() -> None:
    preauthorized = Preauthorized()
    preauthorized.touch("a")
    preauthorized.touch("a")
    preauthorized.touch_at("b", 5.0)
    assert preauthorized.touched(4.9) == ["a"]
    assert preauthorized.touched(5.0) == ["b"]
    assert preauthorized.touched(6.0) == []


def test_each_stream_has_an_alert_of_its_own_and_the_same_stream_the_same() -> None:
    same = preauthorized_alert(make_facts(observation=99, heard_at=7.0), "boss")
    assert same.alert_id == preauthorized_alert(FACTS, "boss").alert_id
    others = [make_facts(attached_at=1.5), make_facts(incarnation=2), make_facts("b")]
    assert len({preauthorized_alert(each, "boss").alert_id for each in [FACTS, *others]}) == 4
