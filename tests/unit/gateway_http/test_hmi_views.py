"""The fleet as the legacy HMI showed it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from tron_client.models import Event, Service

from gateway_http.legacy.hmi_views import MOST_DEPTH, agents_of, alerts_of, tree_of
from gateway_http.legacy.port_check import OPTIONAL, REQUIRED, overall
from gateway_http.replica.watch_log import Gap, WatchLog

T0 = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def fleet(*services: Service) -> dict[str, Service]:
    return {each.service_id: each for each in services}


def names(node: dict[str, Any]) -> dict[str, Any]:
    """A tree as nested names."""
    return {child["name"]: names(child) for child in node["children"]}


def test_an_empty_fleet_has_the_root_of_old() -> None:
    assert tree_of({}) == {"name": "PAS Root", "status": "idle", "children": []}


def test_a_node_has_the_keys_of_the_contract() -> None:
    labels = {"port": 6111, "agent_role": "director", "tier": 3}
    [node] = tree_of(fleet(Service("d", name="Dir", labels=labels, last_heartbeat_at=T0)))["children"]
    assert node == {
        "name": "Dir",
        "service_id": "d",
        "status": "ok",
        "port": 6111,
        "last_heartbeat": "2026-03-01T12:00:00",
        "agent_role": "director",
        "tier": 3,
        "children": [],
    }


def test_parents_are_found_by_id_by_name_and_by_the_end_of_an_id() -> None:
    tree = tree_of(
        fleet(
            Service("agent-architect", name="Architect"),
            Service("a", name="A", labels={"parent": "architect"}),
            Service("b", name="B", parent="Architect"),
            Service("c", name="C", labels={"parent_id": "agent-architect"}),
            Service("d", name="D", labels={"parent": "nobody"}),
            Service("e", name="E", labels={"parent": "root"}),
        )
    )
    assert (tree["name"], tree["status"]) == ("PAS Agent Swarm", "running")
    assert names(tree) == {"Architect": {"A": {}, "B": {}, "C": {}}, "D": {}, "E": {}}


def test_nobody_is_lost_in_a_circle() -> None:
    tree = tree_of(
        fleet(Service("a", name="a", parent="b"), Service("b", name="b", parent="a"), Service("c", parent="c"))
    )
    assert json.dumps(tree).count('"service_id"') == 3


def test_a_chain_that_is_too_deep_for_parsers_is_cut() -> None:
    services = [Service(f"s{number}", name=f"s{number}", parent=f"s{number - 1}") for number in range(3000)]
    tree = tree_of(fleet(*services))
    depth, todo = 0, [(tree, 0)]
    while todo:
        node, level = todo.pop()
        depth = max(depth, level)
        todo += [(child, level + 1) for child in node["children"]]
    assert depth == MOST_DEPTH
    assert json.loads(json.dumps(tree))


def test_agents_stand_by_tier_and_name_after_the_direct_chat() -> None:
    agents = agents_of(
        [
            Service("x", name="Zed"),
            Service("p", name="Prog", labels={"tier": "programmer", "port": 6151}),
            Service("m", name="Mgr", labels={"tier": "Manager", "port": 6141}),
            Service("model", name="Model", type="model"),
        ]
    )
    assert [each["agent_id"] for each in agents] == ["direct", "m", "p", "x"]
    assert agents[1]["tier"] == "Manager"
    assert agents[1]["port"] == 6141
    assert agents[3]["tier"] == "unknown"


def test_alerts_carry_what_the_dashboard_shows() -> None:
    event = Event(type="service_down", severity="CRITICAL", service_id="a", occurred_at=T0, message="gone")
    [alert] = alerts_of([event], {})
    assert (alert["alert_type"], alert["severity"], alert["message"]) == ("service_down", "error", "gone")
    assert alert["timestamp"] == alert["ts"] == "2026-03-01T12:00:00"


def test_overall_health_weighs_ports_and_checks() -> None:
    ports = {str(port): {"status": "up", "optional": False} for port in REQUIRED}
    ports |= {str(port): {"status": "hibernated", "optional": True} for port in OPTIONAL}
    good = {str(number): {"status": "ok"} for number in range(6)}
    assert (len(REQUIRED), len(OPTIONAL)) == (32, 5)
    assert overall(ports, good)["overall_health_percent"] == 100
    assert overall(ports, good)["issues_count"] == 0
    ports["6121"]["status"] = "down"
    found = overall(ports, {**good, "0": {"status": "warning"}})
    assert found["required_ports_up"] == 31
    assert found["issues_count"] == 2
    assert found["overall_health_percent"] == round(60 * 31 / 32 + 40 * 5.5 / 6, 1)


def test_gaps_are_from_when_nobody_watched_to_when_somebody_did() -> None:
    log = WatchLog()
    for second, watched in enumerate([True, False, False, True, True, False]):
        log.note(watched, T0 + timedelta(seconds=second))
    assert log.gaps == [
        Gap(T0 + timedelta(seconds=1), T0 + timedelta(seconds=3)),
        Gap(T0 + timedelta(seconds=5), None),
    ]


def test_gaps_are_bounded_and_what_is_forgotten_is_said() -> None:
    log = WatchLog(kept=2)
    for second in range(8):
        log.note(second % 2 == 1, T0 + timedelta(seconds=second))
    assert len(log.gaps) == 2
    assert log.forgotten_until == T0 + timedelta(seconds=3)
