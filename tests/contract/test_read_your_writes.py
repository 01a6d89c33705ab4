"""What a 200 acknowledged, the next GET shows; and what happened at one instant has one figure wherever it is shown."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from tron_client import RegistryClient

from tests.support.face import Face
from tests.support.waiting import wait_until

BODY = {"type": "agent", "role": "production", "url": "u", "caps": ["work"], "heartbeat_interval_s": 3600}
MORTALS = [f"mortal {number}" for number in range(8)]


def _statuses(face: Face, service_id: str) -> set[str]:
    """The status of a service, on every legacy read that shows it."""
    found = face.rest.get("/discover", params={"name": service_id}).json()["items"]
    with httpx.Client(base_url=face.gateway.url("hmi_http"), timeout=10) as hmi:
        shown = [each for each in hmi.get("/api/services").json()["services"] if each["service_id"] == service_id]
        tree = [each for each in hmi.get("/api/tree").json()["children"] if each["service_id"] == service_id]
    rows = [face.get(service_id), face.listed(service_id) or {}, *found, *shown, *tree]
    assert len(rows) == 5
    return {each["status"] for each in rows}


def _wait_until_all(face: Face, status: str | None) -> None:
    def reached() -> bool:
        rows = {each["service_id"]: each["status"] for each in face.rest.get("/services").json()["items"]}
        return all(rows.get(each) == status for each in MORTALS)

    wait_until(reached, 60, f"all are {status or 'removed'}")


@pytest.mark.parametrize(("how", "after"), [("register", "down"), ("register", None), ("beat", "down")])
def test_whoever_registers_again_or_beats_is_not_down(face: Face, how: str, after: str | None) -> None:
    for service_id in MORTALS:
        # Down for long enough that a beat comes before the removal.
        assert face.register(service_id, heartbeat_interval_s=1 if after is None else 3).status_code == 200
    _wait_until_all(face, after)

    def come_back(service_id: str) -> tuple[int, dict[str, Any]]:
        with httpx.Client(base_url=face.gateway.url("registry_http"), timeout=10) as client:
            if how == "beat":
                code = client.put("/heartbeat", json={"service_id": service_id}).status_code
            else:
                body = {**BODY, "service_id": service_id, "name": service_id}
                code = client.post("/register", json=body).status_code
            return code, client.get(f"/services/{service_id}").json()

    with ThreadPoolExecutor(len(MORTALS)) as pool:
        for code, shown in pool.map(come_back, MORTALS):
            assert (code, shown["status"]) == (200, "ok")
    if how == "register":
        assert [_statuses(face, each) for each in MORTALS] == [{"ok"}] * len(MORTALS)
    for service_id in MORTALS:
        assert face.rest.post("/deregister", json={"service_id": service_id}).status_code == 200
        assert face.rest.get(f"/services/{service_id}").status_code == 404


def test_a_write_past_the_gateway_is_not_lost_on_it(face: Face) -> None:
    """A service registered over gRPC can beat over REST at once, and late news do not show a removed one."""
    with RegistryClient(face.registry.address) as client:
        for number in range(20):
            service_id = f"by the way {number}"
            client.register(service_id, name=service_id)
            assert face.beat(service_id, status="running").status_code == 200
            assert face.get(service_id)["status"] == "running"
            assert face.rest.post("/deregister", json={"service_id": service_id}).status_code == 200
            assert face.listed(service_id) is None


def test_one_instant_has_one_figure_everywhere(face: Face) -> None:
    service_id = "once"
    assert face.register(service_id, heartbeat_interval_s=1).status_code == 200
    for _ in range(20):
        assert face.beat(service_id).status_code == 200
    heard = face.get(service_id)["last_heartbeat_ts"]
    with httpx.Client(base_url=face.gateway.url("hmi_http"), timeout=10) as hmi:

        def alerts() -> dict[str, Any]:
            found = face.tron.get("/alerts", params={"limit": 1000}).json()["alerts"]
            return {each["alert_type"]: each for each in found if each["service_id"] == service_id}

        wait_until(lambda: (face.listed(service_id) or {}).get("status") == "down", 10, "it is down")
        down = wait_until(lambda: alerts().get("service_down"), 10, "its alert")
        modern = face.rest.get(f"/v1/services/{service_id}").json()
        with RegistryClient(face.registry.address) as client:
            record = client.get_service(service_id)
            events = client.list_events(newest=True, limit=1000, service_id=service_id).events
        on_page = hmi.get("/api/alerts").json()["alerts"]
        shown = [
            heard,
            face.get(service_id)["last_heartbeat_ts"],
            (face.listed(service_id) or {})["last_heartbeat_ts"],
            _naive(modern["last_heartbeat_at"]),
            record.last_heartbeat_at,
            *(each["last_seen"] for each in alerts().values()),
            *(each["last_seen"] for each in on_page if each["service_id"] == service_id),
            *(each.last_seen_at for each in events),
        ]
        assert {_figure(each) for each in shown} == {heard}, shown
        assert down is not None
        since = {_figure(each) for each in (down["ts"], _naive(modern["liveness_since"]), record.liveness_since)}
        assert len(since) == 1, since
        assert _figure(record.registered_at)[:19].replace("T", " ") == face.get(service_id)["registered_at"]


def _naive(moment: str) -> datetime:
    return datetime.fromisoformat(moment)


def _figure(moment: Any) -> str:
    """A moment as the legacy ports write it."""
    if isinstance(moment, datetime):
        return moment.astimezone(UTC).replace(tzinfo=None).isoformat()
    return str(moment)
