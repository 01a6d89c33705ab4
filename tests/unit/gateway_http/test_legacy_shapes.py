"""The legacy shapes, made from values: rows, alerts, what an old dashboard hears."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from gateway_http.legacy.alerts import BROADCAST, distinct, legacy_alert
from gateway_http.legacy.broadcasts import Translator, flat
from gateway_http.legacy.rows import Listing, iso, row, sql_time
from gateway_http.replica.entry import Reported
from gateway_http.replica.frames import FrameLog, Update
from gateway_http.replica.mirror import Mirror
from gateway_http.replica.tail import EventTail
from gateway_http.v1.prometheus import target_groups
from tests.unit.gateway_http.builders import START, a_service, an_event, at


def test_the_two_formats_of_time() -> None:
    assert (iso(START), sql_time(START)) == ("2026-01-01T00:00:00", "2026-01-01 00:00:00")
    assert iso(at(0.25)) == "2026-01-01T00:00:00.250000"
    assert iso(None) is None


def test_what_tron_judged_down_is_down_whatever_it_said() -> None:
    assert row(a_service(status="running"))["status"] == "running"
    assert row(a_service(status="running", liveness="SUSPECT"))["status"] == "running"
    assert row(a_service(status="running", liveness="DOWN"))["status"] == "down"


def test_whole_seconds_are_whole_numbers() -> None:
    columns = row(a_service(heartbeat_interval=30.0, ttl=0.5))
    assert (repr(columns["heartbeat_interval_s"]), columns["ttl_s"]) == ("30", 0.5)


def _shown(listing: Listing) -> list[tuple[str, str]]:
    return [(each["service_id"], each["status"]) for each in json.loads(listing.body())["items"]]


def test_the_listing_follows_the_copy() -> None:
    mirror = Mirror()
    mirror.begin_snapshot()
    mirror.upsert(1, a_service("b", 1))
    mirror.complete(1)
    listing = Listing(mirror)
    assert _shown(listing) == [("b", "ok")]
    mirror.upsert(2, a_service("a", 2))
    mirror.beaten(mirror.entries["b"].current(), Reported(status="paused"), at(1), 2)
    assert _shown(listing) == [("a", "ok"), ("b", "paused")]
    mirror.upsert(3, a_service("b", 1, name="0"))
    assert _shown(listing) == [("b", "ok"), ("a", "ok")]
    mirror.remove(4, "b")
    assert _shown(listing) == [("a", "ok")]
    assert listing.body() is listing.body()


def test_listings_side_by_side_take_nothing_from_each_other() -> None:
    mirror = Mirror()
    mirror.begin_snapshot()
    for number, service_id in enumerate("abc", 1):
        mirror.upsert(number, a_service(service_id, number))
    mirror.complete(3)
    eager, lazy = Listing(mirror), Listing(mirror)
    assert _shown(eager) == _shown(lazy)
    for number, service_id in enumerate("ab", 1):
        mirror.beaten(mirror.entries[service_id].current(), Reported(status="paused"), at(number), 3)
        assert dict(_shown(eager))[service_id] == "paused"
    assert _shown(lazy) == [("a", "paused"), ("b", "paused"), ("c", "ok")]


def test_an_alert_names_the_parent_as_it_was_declared() -> None:
    event = an_event(1, "service_down", service_id="a", recipient="agent-architect", last_seen_at=at(0))
    assert legacy_alert(event, a_service(labels={"parent": "Architect"}))["parent"] == "Architect"
    assert legacy_alert(event, a_service(parent="boss"))["parent"] == "boss"
    assert legacy_alert(event, a_service())["parent"] == ""
    assert legacy_alert(event, None)["parent"] == "agent-architect"
    assert legacy_alert(replace(event, recipient="operators"), None)["parent"] == ""


def test_copies_of_an_alert_and_broadcasts_are_no_alerts() -> None:
    first = an_event(1, "service_down", alert_id="x", recipient="parent")
    copy = an_event(2, "service_down", alert_id="x", recipient="grandparent")
    said = an_event(3, "service_down", alert_id="y", action=BROADCAST)
    assert distinct([first, copy, said]) == [first]


def heard(*events: Any) -> list[tuple[str, dict[str, Any]]]:
    """What an old dashboard hears of these events."""
    translator = Translator(lambda _: a_service("child", parent="mother"))
    return [(each["event_type"], each["data"]) for event in events for each in translator.envelopes(event)]


def test_a_broadcast_comes_back_as_it_came_in() -> None:
    data = {"timestamp": "t", "agent_id": "x", "deep": {"list": [1]}}
    assert heard(an_event(1, "hhmrs_restart", action=BROADCAST, details=data)) == [("hhmrs_restart", data)]


def test_a_restart_is_told_only_where_another_incarnation_came_back() -> None:
    down = an_event(1, "service_down", service_id="child", details={"incarnation": 1})
    same = an_event(2, "heartbeat_restored", service_id="child", details={"incarnation": 1})
    again = an_event(3, "service_down", service_id="child", details={"incarnation": 1})
    other = an_event(4, "heartbeat_restored", service_id="child", details={"incarnation": 2})
    third = an_event(5, "service_down", service_id="child", details={"incarnation": 2})
    told = heard(down, same, again, other, third)
    assert [kind for kind, _ in told if kind.startswith("hhmrs")] == [
        "hhmrs_timeout",
        "hhmrs_timeout",
        "hhmrs_restart",
        "hhmrs_timeout",
    ]
    assert [data["restart_count"] for kind, data in told if kind == "hhmrs_timeout"] == [1, 1, 2]


def test_an_alert_that_climbs_is_an_escalation_and_not_told_twice() -> None:
    first = an_event(1, "service_down", alert_id="x", service_id="child", recipient="mother")
    details = {"escalated_from": ["mother"], "escalated_because": "not acknowledged"}
    copy = an_event(2, "service_down", alert_id="x", service_id="child", recipient="grandmother", details=details)
    ((kind, data),) = heard(first, copy)[3:]
    assert kind == "hhmrs_escalation"
    del data["timestamp"]
    assert data == {
        "agent_id": "child",
        "parent_id": "mother",
        "grandparent_id": "grandmother",
        "restart_count": 0,
        "reason": "not acknowledged",
        "message": "",
    }


def test_a_recent_event_is_flat() -> None:
    envelope = {"event_type": "x", "data": {"agent_id": "a", "timestamp": "t"}, "server_timestamp": "s"}
    assert flat(envelope)["service_id"] == "a"
    assert flat(envelope)["task_id"] is None


def test_a_tail_says_what_it_no_longer_holds() -> None:
    tail = EventTail(3)
    tail.restart([an_event(1), an_event(2)], 2)
    for sequence in (2, 3, 4):
        tail.append(an_event(sequence))
    assert [each.sequence for each in tail.newest(10)] == [2, 3, 4]
    assert tail.after(0) is None
    assert [each.sequence for each in tail.after(2) or ()] == [3, 4]
    assert tail.after(4) == []
    assert tail.newest(0) == []


def test_a_reader_that_is_too_far_behind_is_told_so() -> None:
    frames = FrameLog(frames=2, services=3)
    for revision in (1, 2, 3):
        frames.append(Update(revision, upserted=(a_service(),)))
    assert [each.revision for each in frames.after(1) or ()] == [2, 3]
    assert frames.after(0) is None
    assert frames.after(3) == []
    frames.append(Update(4, upserted=(a_service(),) * 9))
    assert [each.revision for each in frames.after(3) or ()] == [4]
    assert frames.after(2) is None


def test_targets_are_what_has_a_host_and_a_port_and_is_not_down() -> None:
    services = [
        a_service("b", url="http://host:6110/path", labels={"tier-x": 2, "on": True, "deep": {}}),
        a_service("a", url="https://host"),
        a_service("v6", url="grpc://[::1]:5"),
        a_service("down", url="http://host:1", liveness="DOWN"),
        *(
            a_service(f"odd {n}", url=url)
            for n, url in enumerate(("", "internal://x", "http://h:notaport", "http://[", ":"))
        ),
    ]
    groups = target_groups(services)
    assert [each["targets"] for each in groups] == [["host:443"], ["host:6110"], ["[::1]:5"]]
    labels = groups[1]["labels"]
    assert (labels["__meta_tron_label_tier_x"], labels["__meta_tron_label_on"]) == ("2", "true")
    assert "__meta_tron_label_deep" not in labels
    assert "__scheme__" not in groups[2]["labels"]
