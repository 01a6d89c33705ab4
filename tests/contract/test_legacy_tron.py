"""The legacy TRON REST, port 6109: section 3 of the facts, assertion by assertion; and which defects are gone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.face import ISO, Face, check_no_traceback, start_face
from tests.support.waiting import wait_until

ALERT = ["alert_type", "service_id", "service_name", "missed_beats", "last_seen", "action", "ts", "parent"]
ACTIONS = {
    "heartbeat_miss": "warning",
    "service_down": "marked_down",
    "service_deregistered": "deregistered",
    "heartbeat_restored": "restored",
}
ORIGIN = {"Origin": "http://localhost:6101"}


def alerts_about(face: Face, service_id: str) -> list[dict[str, Any]]:
    """GET /alerts, of one service."""
    found: list[dict[str, Any]] = face.tron.get("/alerts", params={"limit": 1000}).json()["alerts"]
    return [each for each in found if each["service_id"] == service_id]


@pytest.fixture(scope="module")
def face(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Face]:
    """A system of this module's own.

    The services that other modules register never beat and miss their heartbeats together. That is a mass failure, and
    during one TRON deregisters nobody.
    """
    with start_face(tmp_path_factory.mktemp("face")) as running:
        yield running
        check_no_traceback(running)


@pytest.fixture(scope="module", autouse=True)
def dead(face: Face) -> list[dict[str, Any]]:
    """The alerts about a service that is deregistered because it never beats, once a second as it declares.

    It is registered before the services of the other tests of this module, which miss their heartbeats together too.
    """
    face.register("dead", name="Dead", heartbeat_interval_s=1, labels={"parent": "somebody"})
    # After a stall of the registry, on a busy machine, judgement waits 15 s, and up to a minute in a row.
    wait_until(lambda: face.rest.get("/services/dead").status_code == 404, 90, "it is deregistered")
    wait_until(lambda: len(alerts_about(face, "dead")) >= 3, 10, "three alerts")
    return alerts_about(face, "dead")


def test_health_has_the_fields_that_clients_know(face: Face) -> None:
    body = face.tron.get("/health").json()
    assert list(body) == [
        "status",
        "check_interval_s",
        "max_misses_before_down",
        "max_misses_before_deregister",
        "total_events",
    ]
    assert body["total_events"] >= 0
    del body["total_events"]
    assert body == {
        "status": "ok",
        "check_interval_s": 30,
        "max_misses_before_down": 2,
        "max_misses_before_deregister": 3,
    }


def test_the_root_tells_what_is_watched_and_how(face: Face) -> None:
    body = face.tron.get("/").json()
    total = len(face.rest.get("/services").json()["items"])
    monitoring = body.pop("monitoring")
    assert set(monitoring) == {"total_services", "healthy", "down"}
    assert monitoring["total_services"] == total
    assert body == {
        "service": "PAS Heartbeat Monitor",
        "version": "1.0.0",
        "port": int(face.gateway.ready["tron_http"].rpartition(":")[2]),
        "status": "running",
        "check_interval_s": 30,
        "thresholds": {"misses_before_down": 2, "misses_before_deregister": 3},
        "endpoints": {"health": "/health", "stats": "/stats", "alerts": "/alerts"},
        "docs": "/docs",
    }


def test_stats_count_rows_by_their_status(face: Face) -> None:
    face.register("counted")
    before = face.tron.get("/stats").json()
    assert list(before) == ["total_services", "healthy_services", "degraded_services", "down_services", "last_check"]
    face.beat("counted", status="degraded")
    after = face.tron.get("/stats").json()
    assert after["degraded_services"] == before["degraded_services"] + 1
    assert after["healthy_services"] == before["healthy_services"] - 1
    face.beat("counted", status="down")
    assert face.tron.get("/stats").json()["down_services"] == before["down_services"] + 1
    face.beat("counted", status="ok")


def test_an_alert_has_eight_keys_in_their_order(dead: list[dict[str, Any]]) -> None:
    assert [each["alert_type"] for each in dead] == ["heartbeat_miss", "service_down", "service_deregistered"]
    for each in dead:
        assert list(each) == ALERT
        assert ISO.fullmatch(each["ts"])
        assert ISO.fullmatch(each["last_seen"])
        assert each["action"] == ACTIONS[each["alert_type"]]
        assert (each["service_name"], each["parent"]) == ("Dead", "somebody")


def test_an_alert_comes_at_its_miss(dead: list[dict[str, Any]]) -> None:
    """One missed beat is a warning, two are down, three are the end. The interval is 1 s, the tolerance 0.25 s."""
    assert [each["missed_beats"] for each in dead] == [1, 2, 3]
    for each, seconds in zip(dead, (1, 2, 3), strict=True):
        late = datetime.fromisoformat(each["ts"]) - datetime.fromisoformat(each["last_seen"])
        assert timedelta(seconds=seconds) <= late < timedelta(seconds=seconds + 1.5), each


def test_alerts_are_answered_oldest_first_and_cut_at_the_front(face: Face, dead: list[dict[str, Any]]) -> None:
    everything = face.tron.get("/alerts", params={"limit": 1000}).json()["alerts"]
    # What a mass failure held back is appended later, with its own time.
    moments = [each["ts"] for each in everything if each["service_id"] == "dead"]
    assert moments == sorted(moments)
    assert face.tron.get("/alerts", params={"limit": 2}).json()["alerts"] == everything[-2:]
    assert face.tron.get("/alerts").json()["alerts"] == everything[-50:]


def test_only_the_four_legacy_types_are_shown(face: Face, dead: list[dict[str, Any]]) -> None:
    types = {each["alert_type"] for each in face.tron.get("/alerts", params={"limit": 1000}).json()["alerts"]}
    assert types <= set(ACTIONS)


@pytest.mark.parametrize("limit", ["many", "1.5", "", "-1"])
def test_a_limit_that_is_no_count_is_refused(face: Face, limit: str) -> None:
    answer = face.tron.get("/alerts", params={"limit": limit})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", "limit"]


@pytest.mark.parametrize("path", ["/", "/health", "/stats", "/alerts"])
def test_a_page_of_any_origin_may_read(face: Face, path: str) -> None:
    answer = face.tron.get(path, headers=ORIGIN)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert "access-control-allow-origin" not in face.tron.get(path).headers
    asked = {**ORIGIN, "Access-Control-Request-Method": "GET"}
    assert face.tron.options(path, headers=asked).status_code == 200


def test_the_documents_are_served(face: Face) -> None:
    assert face.tron.get("/docs").status_code == 200
    assert {"/", "/health", "/stats", "/alerts"} <= set(face.tron.get("/openapi.json").json()["paths"])
    assert face.tron.get("/nothing").json() == {"detail": "Not Found"}
    assert face.tron.post("/health").status_code == 405


# --- 10B: defects that are gone --------------------------------------------------------------------------------------


def test_the_death_of_a_service_without_a_parent_is_told_and_stops_nobody(face: Face) -> None:
    """Q2: six at once, as in the defect."""
    ids = [f"orphan {number}" for number in range(6)]
    for service_id in ids:
        face.register(service_id, heartbeat_interval_s=1)

    def all_down() -> bool:
        return all(any(each["action"] == "marked_down" for each in alerts_about(face, one)) for one in ids)

    wait_until(all_down, 15, "each of them is said to be down")
    assert {each["parent"] for one in ids for each in alerts_about(face, one)} == {""}


def test_a_real_recovery_is_told_and_a_service_that_says_down_is_left_alone(face: Face) -> None:
    """Q5."""
    face.register("returning", heartbeat_interval_s=1)
    face.register("says down", heartbeat_interval_s=1)
    wait_until(lambda: face.get("returning")["status"] == "down", 10, "it is down")
    face.beat("says down", status="down")

    def restored() -> bool:
        face.beat("returning")
        face.beat("says down", status="down")
        return any(each["alert_type"] == "heartbeat_restored" for each in alerts_about(face, "returning"))

    wait_until(restored, 10, "it is restored")
    (told,) = (each for each in alerts_about(face, "returning") if each["alert_type"] == "heartbeat_restored")
    assert (told["missed_beats"], told["action"]) == (0, "restored")
    assert face.get("returning")["status"] == "ok"
    assert face.get("says down")["status"] == "down"
    for service_id in ("returning", "says down"):
        face.rest.post("/deregister", json={"service_id": service_id})


def test_the_last_check_is_that_of_the_checker(face: Face) -> None:
    """Q14."""
    told = face.tron.get("/stats").json()["last_check"]
    assert ISO.fullmatch(told)
    age = datetime.now(UTC).replace(tzinfo=None) - datetime.fromisoformat(told)
    assert timedelta(0) <= age < timedelta(seconds=5)


def test_a_limit_of_zero_is_none(face: Face, dead: list[dict[str, Any]]) -> None:
    """Q14."""
    assert face.tron.get("/alerts", params={"limit": 0}).json() == {"alerts": []}
