"""The legacy HMI, port 6101, as far as it concerns service status: section 5.1 of the facts, assertion by assertion."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest

from tests.support.face import ISO, Face
from tests.support.waiting import wait_until


@pytest.fixture
def hmi(face: Face) -> Iterator[httpx.Client]:
    """A client of the HMI."""
    with httpx.Client(base_url=face.gateway.url("hmi_http"), timeout=15) as client:
        yield client


def test_health_names_the_service(hmi: httpx.Client) -> None:
    body = hmi.get("/health").json()
    assert (body["status"], body["service"]) == ("ok", "hmi_app")
    assert body["port"] == hmi.base_url.port
    assert ISO.fullmatch(body["timestamp"])
    assert body["uptime_seconds"] >= 0
    assert 0 < body["server_start_time"] <= time.time(), "seconds since the epoch"


def test_services_are_the_items_of_the_registry_verbatim(face: Face, hmi: httpx.Client) -> None:
    assert face.register("hmi-listed", labels={"tier": "core", "port": 6104}).status_code == 200

    def same() -> bool:
        items = face.rest.get("/services").json()["items"]
        answer = hmi.get("/api/services")
        assert (answer.status_code, list(answer.json())) == (200, ["services"])
        told: list[dict[str, object]] = answer.json()["services"]
        return told == items and any(each["service_id"] == "hmi-listed" for each in told)

    wait_until(same, 5, "both say the same")


def test_the_tree_has_the_shape_that_the_page_of_old_draws(face: Face, hmi: httpx.Client) -> None:
    labels = {"agent_role": "director", "tier": 3, "port": 6111, "parent": "hmi-boss"}
    assert face.register("hmi-boss", name="HMI Boss").status_code == 200
    assert face.register("hmi-child", name="HMI Child", labels=labels).status_code == 200
    tree = hmi.get("/api/tree").json()
    assert (tree["name"], tree["status"]) == ("PAS Agent Swarm", "running")
    [boss] = [each for each in tree["children"] if each["service_id"] == "hmi-boss"]
    assert (boss["agent_role"], boss["tier"]) == ("unknown", "?")
    [child] = boss["children"]
    assert list(child) == [
        "name",
        "service_id",
        "status",
        "port",
        "last_heartbeat",
        "agent_role",
        "tier",
        "children",
    ]
    assert (child["name"], child["port"], child["agent_role"], child["tier"]) == ("HMI Child", 6111, "director", 3)
    assert ISO.fullmatch(child["last_heartbeat"])


def test_metrics_are_always_of_these_five(hmi: httpx.Client) -> None:
    body = hmi.get("/api/metrics").json()
    names = ["registry", "heartbeat_monitor", "resource_manager", "token_governor", "event_stream"]
    assert list(body["services"]) == names
    assert body["services"]["registry"]["status"] == "ok"
    assert "registered" in body["services"]["registry"]
    assert body["services"]["heartbeat_monitor"]["max_misses_before_down"] == 2
    summary = body["summary"]
    healthy = sum(each["status"] == "ok" for each in body["services"].values())
    assert (summary["total_services"], summary["healthy_services"]) == (5, healthy)
    assert summary["health_percentage"] == healthy / 5 * 100


def test_alerts_are_no_longer_always_empty(face: Face, hmi: httpx.Client) -> None:
    assert hmi.get("/api/alerts").json().keys() == {"alerts"}
    assert face.register("hmi-mortal", heartbeat_interval_s=1).status_code == 200

    def alerted() -> list[dict[str, object]]:
        alerts: list[dict[str, object]] = hmi.get("/api/alerts").json()["alerts"]
        return [each for each in alerts if each["service_id"] == "hmi-mortal" and each["alert_type"] == "service_down"]

    [alert, *_] = wait_until(alerted, 10, "it is down")
    assert (alert["type"], alert["severity"]) == ("service_down", "error")
    assert alert["action"] == "marked_down"


def test_agents_stand_after_the_direct_chat(face: Face, hmi: httpx.Client) -> None:
    assert face.register("hmi-manager", labels={"tier": "manager", "port": 6141}).status_code == 200
    body = hmi.get("/api/agents").json()
    assert (body["status"], body["count"]) == ("ok", len(body["agents"]))
    assert body["agents"][0]["agent_id"] == "direct"
    [manager] = [each for each in body["agents"] if each["agent_id"] == "hmi-manager"]
    assert (manager["tier"], manager["port"], manager["status"]) == ("manager", 6141, "ok")
    assert {"agent_name", "role_icon", "filesystem_access"} <= set(manager)


def test_system_status_probes_the_legacy_ports(hmi: httpx.Client) -> None:
    body = hmi.get("/api/system/status").json()
    assert (body["status"], body["required_ports_total"], body["ports_total"]) == ("ok", 32, 37)
    assert "6109" in body["ports"]
    assert body["ports"]["6130"]["optional"]
    assert {each["status"] for each in body["ports"].values()} <= {"up", "degraded", "down", "hibernated"}
    assert set(body["health_checks"]) == {
        "git_status",
        "disk_space",
        "database_connectivity",
        "llm_availability",
        "python_environment",
        "config_validity",
    }
    assert 0 <= body["overall_health_percent"] <= 100


def test_the_settings_of_hhmrs_are_kept(hmi: httpx.Client) -> None:
    path = "/api/settings/hhmrs"
    before = hmi.get(path).json()["hhmrs"]
    assert before == {
        "heartbeat_interval_s": 30,
        "timeout_threshold_s": 60,
        "max_restarts": 3,
        "max_llm_retries": 3,
        "enable_auto_restart": True,
        "enable_llm_switching": True,
    }
    wanted = {**before, "max_restarts": 10, "enable_auto_restart": False}
    answer = hmi.post(path, json={"hhmrs": wanted})
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")
    assert hmi.get(path).json()["hhmrs"] == wanted
    without = {key: value for key, value in wanted.items() if key != "max_llm_retries"}
    for section, says in (
        (without, "Missing required key: max_llm_retries"),
        ({**wanted, "max_restarts": 11}, "max_restarts must be between 1 and 10"),
        ({**wanted, "heartbeat_interval_s": 4}, "heartbeat_interval_s must be between 5 and 120"),
        ({**wanted, "timeout_threshold_s": "60"}, "timeout_threshold_s must be between 10 and 300"),
    ):
        answer = hmi.post(path, json={"hhmrs": section})
        assert (answer.status_code, answer.json()) == (400, {"status": "error", "error": says})
    assert hmi.get(path).json()["hhmrs"] == wanted


def test_the_page_is_served_with_a_strict_policy(hmi: httpx.Client) -> None:
    answer = hmi.get("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert hmi.get("/", headers={"if-none-match": answer.headers["etag"]}).status_code == 304
    assert hmi.head("/").status_code == 200


@pytest.mark.parametrize("path", ["../files.py", "..%2ffiles.py", "%2e%2e/files.py", "package.json", "", "main.js%00"])
def test_nothing_but_the_files_of_the_page_is_served(hmi: httpx.Client, path: str) -> None:
    assert hmi.get(f"/dashboard/{path}").status_code == 404
