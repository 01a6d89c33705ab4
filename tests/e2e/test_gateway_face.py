"""The HTTP face end to end: a legacy agent's whole life, a registry that is away, restarts, and Test 13."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from itertools import groupby
from pathlib import Path
from typing import Any

import httpx
import pytest
from tron_client import RegistryClient

from tests.support.commands import run_tron
from tests.support.face import Face, clients, start_face
from tests.support.processes import System, start_gateway, start_monitor, start_registry, start_system
from tests.support.waiting import wait_until

OWN = {"service-registry", "tron-heartbeat-monitor", "service-gateway", "service-event-stream", "service-hmi"}


@pytest.fixture(scope="module")
def face(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Face]:
    """A running system; the tests that use it break nothing."""
    with start_face(tmp_path_factory.mktemp("face")) as running:
        yield running


def alerts_about(tron: httpx.Client, service_id: str) -> list[str]:
    """The types of the legacy alerts about a service, oldest first."""
    found = tron.get("/alerts", params={"limit": 1000}).json()["alerts"]
    return [each["alert_type"] for each in found if each["service_id"] == service_id]


def test_a_legacy_agent_goes_down_after_two_misses_and_away_after_three_and_comes_back(face: Face) -> None:
    face.register("legacy", heartbeat_interval_s=1)
    for _ in range(3):
        assert face.beat("legacy", status="ok").status_code == 200
    wait_until(lambda: face.get("legacy")["status"] == "down", 10, "down after two misses")
    wait_until(lambda: face.rest.get("/services/legacy").status_code == 404, 10, "away after three")
    assert face.beat("legacy").status_code == 404
    assert face.register("legacy", heartbeat_interval_s=60).status_code == 200
    assert face.get("legacy")["status"] in ("ok", "down")  # TRON says that it is back in a moment
    wait_until(lambda: "heartbeat_restored" in alerts_about(face.tron, "legacy"), 10, "restored")
    wait_until(lambda: face.get("legacy")["status"] == "ok", 10, "ok again")
    expected = ["heartbeat_miss", "service_down", "service_deregistered", "heartbeat_restored"]
    assert alerts_about(face.tron, "legacy") == expected


def test_an_interval_reads_in_every_face_as_it_was_declared(face: Face) -> None:
    seconds: dict[str, Any] = {"heartbeat_interval": 2.3, "ttl": 4.6, "stall_after": 33.333333333}
    with RegistryClient(face.registry.address) as client:
        told = client.register("exact", name="Exact", **seconds).to_dict()
    # It was registered beside the gateway, whose copy of the services follows.
    wait_until(lambda: face.rest.get("/v1/services/exact").status_code == 200, 10, "the gateway shows it")
    shown = face.rest.get("/v1/services/exact").json()
    listed = json.loads(run_tron("services", "--json", "--registry", face.registry.address).stdout)
    printed = next(each for each in listed["services"] if each["service_id"] == "exact")
    for one in (told, shown, printed):
        assert {name: one[name] for name in seconds} == seconds
    assert (face.get("exact")["heartbeat_interval_s"], face.get("exact")["ttl_s"]) == (2.3, 4.6)


def test_the_legacy_alert_file_has_what_alerts_has_also_over_a_restart_of_the_gateway(tmp_path: Path) -> None:
    def written() -> list[dict[str, Any]]:
        files = sorted((tmp_path / "gateway" / "events").glob("heartbeat_alerts_*.jsonl"))
        lines = [json.loads(line) for path in files for line in path.read_text().splitlines()]
        # A gateway that is killed between a line and the note of its position writes that line once more.
        return [line for line, _ in groupby(lines)]

    with start_face(tmp_path) as face:
        face.register("filed", heartbeat_interval_s=1)
        wait_until(lambda: "service_down" in [each["alert_type"] for each in written()], 10, "the file has it")
        face.gateway.kill()
        with start_gateway(tmp_path / "gateway", face.registry.address, face.monitor.address) as again:
            # On a busy machine the gateway itself is down for a while, and that is reported too.
            wait_until(lambda: "service_deregistered" in [each["alert_type"] for each in written()], 20, "it goes on")
            with clients(again) as (_, tron, _):

                def told() -> list[dict[str, Any]]:
                    alerts: list[dict[str, Any]] = tron.get("/alerts", params={"limit": 1000}).json()["alerts"]
                    return alerts

                with suppress(AssertionError):  # what differs is said below
                    wait_until(lambda: told() == written(), 20, "both say the same")
                assert told() == written()


def test_13_through_the_http_face_alone(face: Face) -> None:
    """Phase 1: TRON answers a browser. 2: an agent stops. 3: it is shown down. 4: the alert is on the Event Stream."""
    answer = face.tron.get("/health", headers={"Origin": "http://localhost:6101"})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "*")
    face.register("thirteen", heartbeat_interval_s=1, labels={"parent": "architect"})
    assert face.beat("thirteen").status_code == 200
    wait_until(lambda: face.get("thirteen")["status"] == "down", 10, "shown down")

    def told() -> bool:
        recent: list[dict[str, Any]] = face.events.get("/events/recent", params={"limit": 200}).json()["events"]
        return any(each["event_type"] == "hhmrs_timeout" and each["service_id"] == "thirteen" for each in recent)

    wait_until(told, 10, "the alert is on the Event Stream")


def test_while_the_registry_is_away_reads_say_so_and_writes_are_refused(tmp_path: Path) -> None:
    with start_face(tmp_path) as face:
        face.register("kept")
        before = face.rest.get("/services")
        assert before.headers["x-registry-live"] == "true"
        face.registry.kill()
        wait_until(lambda: face.rest.get("/services").headers["x-registry-live"] == "false", 10, "the page says so")
        stale = face.rest.get("/services")
        ids = [each["service_id"] for each in stale.json()["items"]]
        assert ids == [each["service_id"] for each in before.json()["items"]]
        assert int(stale.headers["age"]) >= 0
        wait_until(lambda: face.rest.get("/services").headers["x-tron-watching"] == "false", 10, "nobody watches")
        for answer in (
            face.register("new"),
            face.beat("kept"),
            face.rest.post("/deregister", json={"service_id": "kept"}),
            face.rest.post("/promote", json={"name": "kept", "from_role": "production", "to_role": "canary"}),
            face.events.post("/broadcast", json={"event_type": "x"}),
        ):
            assert answer.status_code == 503, answer.text
            assert answer.headers["retry-after"] == "1"
            assert set(answer.json()) <= {"detail", "error"}
        assert face.events.get("/health").json()["status"] == "degraded"
        assert "new" not in [each["service_id"] for each in face.rest.get("/services").json()["items"]]


def test_a_restart_of_the_registry_never_shows_an_empty_list(tmp_path: Path) -> None:
    with ExitStack() as stack:
        registry = stack.enter_context(start_registry(tmp_path / "registry"))
        address = registry.address
        monitor = stack.enter_context(start_monitor(tmp_path / "monitor", address))
        gateway = stack.enter_context(start_gateway(tmp_path / "gateway", address, monitor.address))
        rest, tron, events = stack.enter_context(clients(gateway))
        face = Face(registry, monitor, gateway, rest, tron, events)
        for number in range(20):
            assert face.register(f"stays {number}").status_code == 200
        sizes: list[int] = []

        def look() -> bool:
            answer = rest.get("/services")
            sizes.append(len(answer.json()["items"]))
            return answer.headers["x-registry-live"] == "true"

        wait_until(look, 10, "live")
        registry.kill()
        wait_until(lambda: not look(), 10, "not live")
        stack.enter_context(start_registry(tmp_path / "registry", listen=address))
        wait_until(look, 20, "live again")
        assert min(sizes) >= 20
        wait_until(lambda: face.beat("stays 3", status="running").status_code == 200, 10, "beats are heard again")
        assert face.get("stays 3")["status"] == "running"


def test_a_restart_of_the_gateway_is_invisible_to_judgement(tmp_path: Path) -> None:
    with ExitStack() as stack:
        registry = stack.enter_context(start_registry(tmp_path / "registry"))
        monitor = stack.enter_context(start_monitor(tmp_path / "monitor", registry.address))
        first = stack.enter_context(start_gateway(tmp_path / "gateway", registry.address, monitor.address))
        listen = {key: first.ready[key] for key in ("registry_http", "tron_http", "events_http", "hmi_http")}
        with clients(first) as (rest, tron, events):
            face = Face(registry, monitor, first, rest, tron, events)
            face.register("patient", heartbeat_interval_s=30)
            assert face.beat("patient").status_code == 200
            face.wait_watched()
        first.kill()
        second = stack.enter_context(
            start_gateway(tmp_path / "gateway", registry.address, monitor.address, listen=listen)
        )
        with clients(second) as (rest, tron, events):
            face = Face(registry, monitor, second, rest, tron, events)
            assert face.get("patient")["status"] == "ok"
            assert face.beat("patient").status_code == 200
            service = face.rest.get("/v1/services/patient").json()
            assert (service["liveness"], service["connected"]) == ("ALIVE", False)
            assert alerts_about(tron, "patient") == []


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """`tron up`."""
    with start_system(tmp_path_factory.mktemp("system")) as running:
        yield running


def test_the_programs_of_the_system_are_seen_as_its_core(system: System) -> None:
    items = httpx.get(system.url("registry_http") + "/services").json()["items"]
    core = {each["service_id"]: each for each in items}
    assert set(core) == OWN
    assert {each["labels"]["tier"] for each in core.values()} == {"core"}
    assert {each["status"] for each in core.values()} == {"ok"}
    assert httpx.get(system.url("hmi_http") + "/").status_code == 200
    listed = httpx.get(system.url("hmi_http") + "/api/services").json()["services"]
    assert {each["service_id"] for each in listed} == OWN


def test_a_heartbeat_that_changes_nothing_is_seen_too(system: System) -> None:
    """The seed's own check: the time of TRON's last heartbeat moves on."""

    def last() -> str:
        found = httpx.get(system.url("registry_http") + "/services/tron-heartbeat-monitor").json()
        return str(found["last_heartbeat_ts"])

    before = last()
    wait_until(lambda: last() > before, 15, "its last heartbeat moves on")


def test_prometheus_finds_every_live_service(system: System) -> None:
    groups = httpx.get(system.url("registry_http") + "/v1/sd/prometheus").json()
    found = {each["labels"]["__meta_tron_service_id"]: each for each in groups}
    assert set(found) == OWN
    assert found["service-gateway"]["targets"] == [system.ready["registry_http"]]
    assert found["service-gateway"]["labels"]["__meta_tron_label_tier"] == "core"
