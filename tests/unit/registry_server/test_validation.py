"""What is refused is named field by field, as the client typed it; what is exactly on a bound is accepted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from grid_model.declaration import Declaration
from grid_model.errors import InvalidRequest
from grid_model.event import Event

from gateway_http.http import json_bounds
from registry_server.core import validation
from registry_server.core.service import Report
from tests.unit.registry_server.builders import make_event, make_spec
from tron.alert_book import MAX_ESCALATED_FROM, MAX_LISTED
from tron.audience import within

NAN, INF = float("nan"), float("inf")


def refused_fields(check: Callable[[], Any]) -> list[str]:
    """The paths of all fields that a check refuses; empty if it accepts."""
    try:
        check()
    except InvalidRequest as error:
        return [field.field for field in error.fields]
    return []


def nested(levels: int) -> dict[str, Any]:
    """Objects within objects, this many levels of them."""
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"k": value}
    return value


ADMITTED: list[dict[str, Any]] = [
    {"service_id": "x"},
    {"service_id": "x" * 512},
    {"service_id": "PAS Root"},
    {"service_id": "größe/日本-№1"},
    {"name": "n" * 100},
    {"url": ""},
    {"url": "u" * 2048},
    {"parent": "p" * 512},
    {"caps": ("c" * 128,) * 64},
    {"labels": nested(16)},
    {"labels": {"a": [1, 2.5, True, None, "x", {"deep": [[]]}]}},
    {"cost_hint": {f"unit{n}": 0.0 for n in range(32)}},
    {"ctx_limit": 0},
    {"heartbeat_interval": 0.1, "ttl": 0.1},
    {"heartbeat_interval": 24 * 3600.0, "ttl": 30 * 24 * 3600.0},
    {"reconnect_grace": 0.0, "stall_after": 0.1},
    {"refused_children": ("*", "a*", "a b")},
    {"reconnect_grace": 3600.0, "stall_after": 24 * 3600.0},
]

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"service_id": ""}, "service.service_id"),
    ({"service_id": "x" * 513}, "service.service_id"),
    ({"service_id": " x"}, "service.service_id"),
    ({"service_id": "x\n"}, "service.service_id"),
    ({"service_id": "x\0y"}, "service.service_id"),
    ({"service_id": "operators"}, "service.service_id"),
    ({"name": "operators"}, "service.name"),
    ({"name": ""}, "service.name"),
    ({"name": "n" * 101}, "service.name"),
    ({"name": "n\t"}, "service.name"),
    ({"url": "u" * 2049}, "service.url"),
    ({"parent": "p" * 513}, "service.parent"),
    ({"parent": "a"}, "service.parent"),
    ({"caps": ("c",) * 65}, "service.caps"),
    ({"caps": ("ok", "c" * 129)}, "service.caps[1]"),
    ({"caps": ("",)}, "service.caps[0]"),
    ({"labels": nested(17)}, "service.labels"),
    ({"labels": {"k": "v" * (16 * 1024)}}, "service.labels"),
    ({"labels": {"k": NAN}}, "service.labels"),
    ({"labels": {"k": [INF]}}, "service.labels"),
    ({"cost_hint": {f"unit{n}": 0.0 for n in range(33)}}, "service.cost_hint"),
    ({"cost_hint": {"": 1.0}}, "service.cost_hint"),
    ({"cost_hint": {"usd": -0.1}}, "service.cost_hint['usd']"),
    ({"cost_hint": {"usd": INF}}, "service.cost_hint['usd']"),
    ({"ctx_limit": -1}, "service.ctx_limit"),
    ({"heartbeat_interval": 0.09}, "service.heartbeat_interval"),
    ({"heartbeat_interval": 86_401.0, "ttl": 90_000.0}, "service.heartbeat_interval"),
    ({"heartbeat_interval": NAN}, "service.heartbeat_interval"),
    ({"heartbeat_interval": -1.0}, "service.heartbeat_interval"),
    ({"ttl": 30 * 24 * 3600.0 + 1}, "service.ttl"),
    ({"heartbeat_interval": 5.0, "ttl": 4.9}, "service.ttl"),
    ({"reconnect_grace": -0.1}, "service.reconnect_grace"),
    ({"reconnect_grace": 3600.1}, "service.reconnect_grace"),
    ({"stall_after": 0.0}, "service.stall_after"),
    ({"refused_children": ("a*", "*b")}, "service.refused_children[1]"),
    ({"refused_children": ("",)}, "service.refused_children[0]"),
    ({"refused_children": ("a",) * 65}, "service.refused_children"),
    ({"stall_after": 86_401.0}, "service.stall_after"),
]


@pytest.mark.parametrize("fields", ADMITTED, ids=lambda fields: "+".join(fields))
def test_a_spec_on_its_bounds_is_admitted_as_it_is(fields: dict[str, Any]) -> None:
    spec = make_spec(**{"service_id": "a", "name": "a", **fields})
    assert validation.check_spec(spec) == spec


@pytest.mark.parametrize(("fields", "path"), REFUSED, ids=lambda each: each if isinstance(each, str) else "")
def test_a_spec_beyond_a_bound_is_refused_by_the_name_of_the_field(fields: dict[str, Any], path: str) -> None:
    spec = make_spec(**{"service_id": "a", "name": "a", **fields})
    assert refused_fields(lambda: validation.check_spec(spec)) == [path]


def test_all_that_is_wrong_is_named_at_once() -> None:
    spec = Declaration("", "", caps=("",), ctx_limit=-1, ttl=0.0)
    assert refused_fields(lambda: validation.check_spec(spec)) == [
        "service.service_id",
        "service.name",
        "service.caps[0]",
        "service.ttl",
        "service.ctx_limit",
    ]


def test_labels_count_in_bytes_keys_and_values_alike() -> None:
    for labels in ({"k": "é" * 9000}, {"é" * 9000: "v"}):
        assert [error.field for error in validation.check_object("service.labels", labels)] == ["service.labels"]


@pytest.mark.parametrize("value", [0, None, "", [], {}, 1.5])
def test_a_json_object_has_at_most_a_thousand_values_however_short_each_is(value: object) -> None:
    full: dict[str, object] = {"a": [value] * (validation.MAX_OBJECT_VALUES - 1)}
    assert validation.check_object("service.labels", full) == []
    for more in ({**full, "b": 1}, {"a": [[value] * 999, [value]]}, dict.fromkeys(map(str, range(1001)), value)):
        (error,) = validation.check_object("service.labels", more)
        assert (error.field, error.description) == (
            "service.labels",
            "has more than 1000 values, counted at all levels",
        )


def test_long_texts_are_not_counted_as_many_values() -> None:
    labels = {f"label-{number}": "x" * 60 for number in range(200)}
    assert validation.check_object("service.labels", labels) == []


def test_an_alert_of_tron_that_lists_all_the_ids_for_which_it_has_room_is_accepted() -> None:
    ids = [f"{number:02x}" for number in range(0x1000)]
    details = {"affected": within(ids, MAX_LISTED), "escalated_from": within(ids, MAX_ESCALATED_FROM)}
    event = make_event(details=details)
    assert sum(map(len, details.values())) > validation.MAX_OBJECT_VALUES
    validation.check_event(event, most_values=validation.MAX_ALERT_VALUES)


def test_the_gateway_refuses_what_the_registry_would_refuse() -> None:
    full = {"a": ["x"] * (validation.MAX_OBJECT_VALUES - 1)}
    assert json_bounds.check_object(full) == full
    with pytest.raises(ValueError, match="more than 1000 values"):
        json_bounds.check_object({**full, "b": 1})


def test_the_legacy_label_fills_an_empty_parent_only() -> None:
    assert validation.check_spec(make_spec(labels={"parent": "boss"})).parent == "boss"
    assert validation.check_spec(make_spec(labels={"parent": "boss"}, parent="chief")).parent == "chief"
    assert validation.check_spec(make_spec(labels={"parent": 7})).parent == ""


def test_the_legacy_label_is_checked_like_the_parent_that_it_becomes() -> None:
    assert refused_fields(lambda: validation.check_spec(make_spec(labels={"parent": "a"}))) == ["service.parent"]
    assert refused_fields(lambda: validation.check_spec(make_spec(labels={"parent": "x" * 513}))) == ["service.parent"]


def test_a_report_on_its_bounds_is_admitted() -> None:
    for progress in (0.0, 1.0, None):
        report = Report(p95_ms=0.0, queue_depth=0, load=0.0, loop_lag=0.0, message="m" * 1000, progress=progress)
        assert validation.check_report(report) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("p95_ms", -1.0),
        ("p95_ms", NAN),
        ("p95_ms", INF),
        ("load", -0.1),
        ("load", NAN),
        ("queue_depth", -1),
        ("progress", -0.01),
        ("progress", 1.01),
        ("progress", NAN),
        ("loop_lag", -0.1),
        ("message", "m" * 1001),
    ],
)
def test_a_figure_beyond_its_bound_is_named(name: str, value: Any) -> None:
    report = replace(Report(), **{name: value})
    assert [error.field for error in validation.check_report(report)] == [f"beat.{name}"]


def test_an_event_on_its_bounds_is_admitted() -> None:
    event = Event(
        "t" * 100,
        alert_id="i" * 100,
        service_id="s" * 512,
        service_name="n" * 100,
        recipient="r" * 512,
        action="a" * 100,
        message="m" * 1000,
        details=nested(16),
    )
    assert refused_fields(lambda: validation.check_event(event)) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("type", ""),
        ("type", "t" * 101),
        ("type", "a\nb"),
        ("alert_id", "i" * 101),
        ("service_id", "s" * 513),
        ("service_name", "n" * 101),
        ("recipient", "r" * 513),
        ("action", "a" * 101),
        ("message", "m" * 1001),
        ("details", {"k": "v" * (16 * 1024)}),
        ("details", nested(17)),
    ],
)
def test_an_event_beyond_a_bound_is_refused_by_the_name_of_the_field(name: str, value: Any) -> None:
    event = replace(make_event(), **{name: value})
    assert refused_fields(lambda: validation.check_event(event)) == [f"event.{name}"]


def test_an_id_is_refused_under_the_path_where_it_stood() -> None:
    assert refused_fields(lambda: validation.check_id("goodbye.service_id", "")) == ["goodbye.service_id"]
    assert refused_fields(lambda: validation.check_id("service_id", "fine")) == []


def test_what_an_older_contract_takes_is_kept_as_it_was_sent() -> None:
    spec = make_spec(caps=("", " odd\n", "x" * 500), ctx_limit=-1, ttl=-90.0, heartbeat_interval=3600.0)
    assert validation.check_spec(spec, as_sent=True) == spec
    assert refused_fields(lambda: validation.check_spec(spec))
    for caps in (("c",) * 1001, ("c" * 20_000,)):
        check = partial(validation.check_spec, replace(spec, caps=caps), as_sent=True)
        assert refused_fields(check) == ["service.caps"]
    assert not validation.check_report(Report(load=-1.0), as_sent=True)
    assert validation.check_report(Report(load=INF), as_sent=True)


NOW = 1_700_000_000.0
DAY = validation.MAX_AHEAD


@pytest.mark.parametrize("at", [0.0, 1.0, NOW, NOW + DAY])
def test_an_event_may_be_published_that_happened_since_1970_or_is_a_day_ahead(at: float) -> None:
    event = make_event(occurred_at=at, last_seen_at=at, recipient="boss")
    assert refused_fields(lambda: validation.check_published(event, NOW)) == []


@pytest.mark.parametrize("at", [-62_135_596_800.0, -0.001, NOW + DAY + 1.0, 253_402_300_800.0])
def test_a_published_event_of_another_time_is_refused_by_the_name_of_the_field(at: float) -> None:
    for name in ("occurred_at", "last_seen_at"):
        event = replace(make_event(occurred_at=NOW), **{name: at})  # type: ignore[arg-type]
        assert refused_fields(partial(validation.check_published, event, NOW)) == [f"event.{name}"]


def test_an_alert_with_details_of_another_shape_than_tron_s_is_refused_by_their_keys() -> None:
    details = {"escalated_from": 1, "affected": [2], "mine": {"any": [None]}}
    alert = make_event(recipient="boss", details=details)
    names = ["event.details.affected", "event.details.escalated_from"]
    assert refused_fields(lambda: validation.check_published(alert, NOW)) == names


def test_an_event_for_nobody_may_have_any_details() -> None:
    broadcast = make_event(details={"escalated_from": 1, "affected": 2})
    assert refused_fields(lambda: validation.check_published(broadcast, NOW)) == []


def test_an_alert_of_an_observer_may_be_larger_by_what_escalation_adds() -> None:
    alert = make_event(details={"k": "v" * validation.MAX_OBJECT_BYTES})
    assert refused_fields(lambda: validation.check_event(alert)) == ["event.details"]
    assert refused_fields(lambda: validation.check_event(alert, 2 * validation.MAX_OBJECT_BYTES)) == []
