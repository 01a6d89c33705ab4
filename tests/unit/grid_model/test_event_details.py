"""Whatever a client has put into the details of an event, reading them raises nothing and returns the promised type."""

from __future__ import annotations

from typing import Any

import pytest
from grid_model.event_details import count_in, misshapen, moment_in, text_in, texts_in

from tests.support.hostile_details import KEYS, VALUES, everywhere


@pytest.mark.parametrize("value", VALUES, ids=lambda each: repr(each)[:30])
def test_any_value_is_read_as_the_type_that_is_promised(value: Any) -> None:
    details = {"k": value}
    texts, text, count, moment = (read(details, "k") for read in (texts_in, text_in, count_in, moment_in))
    assert isinstance(texts, tuple)
    assert all(isinstance(each, str) for each in texts)
    assert isinstance(text, str)
    assert type(count) is int
    assert count >= 0
    assert moment is None or isinstance(moment, float)


def test_what_has_its_shape_is_read_as_it_is() -> None:
    details = {"ids": ["a", "b"], "stored": ("a",), "text": "why", "count": 3, "at": "1970-01-01T00:00:01.500Z"}
    assert texts_in(details, "ids") == ("a", "b")
    assert texts_in(details, "stored") == ("a",)
    assert text_in(details, "text") == "why"
    assert count_in(details, "count") == 3
    assert moment_in(details, "at") == 1.5


def test_what_is_missing_or_has_another_shape_is_empty() -> None:
    for details in ({}, {"k": {"a": 1}}, {"k": ["a", 1]}, {"k": True}, {"k": -1}, {"k": 2.0}, {"k": 2**63}):
        assert (texts_in(details, "k"), text_in(details, "k"), count_in(details, "k")) == ((), "", 0)
        assert moment_in(details, "k") is None


def test_a_time_without_a_zone_is_read_in_utc() -> None:
    assert moment_in({"at": "0001-01-01T00:00:00"}, "at") == -62_135_596_800.0


@pytest.mark.parametrize("key", KEYS)
def test_each_key_with_a_value_of_another_shape_is_named(key: str) -> None:
    assert list(misshapen({key: {"a": 1}, "other": {"a": 1}})) == [key]
    assert list(misshapen({key: True})) == [key]
    assert list(misshapen({key: None})) == [key]


def test_tron_s_own_shapes_are_admitted() -> None:
    lists = {"affected": ["a"], "escalated_from": []}
    texts = {
        "escalated_because": "",
        "held_for": "x",
        "was_held_for": "",
        "down_at": "2",
        "restored_at": "",
        "first_down_at": "",
    }
    counts = {"affected_count": 1, "orphan_count": 0, "missed_deaths": 2, "incarnation": 2**53 - 1}
    assert {*lists, *texts, *counts} == set(KEYS)
    assert misshapen({**lists, **texts, **counts}) == {}
    assert set(misshapen(everywhere({}))) == set(KEYS)
