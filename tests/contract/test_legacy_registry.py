"""The legacy Registry REST, port 6121: section 2 of the facts, assertion by assertion; and which defects are gone."""

from __future__ import annotations

import gzip
import json
import re
import uuid
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from tron_client import RegistryClient

from tests.support.face import ISO, SQL_TIME, Face

LISTED = ["service_id", "name", "type", "role", "url", "caps", "labels", "status", "last_heartbeat_ts"]
DISCOVERED = {*LISTED, "ctx_limit", "cost_hint_usd_per_1k", "registered_at", "p95_ms", "queue_depth", "load"}
WHOLE = {*DISCOVERED, "heartbeat_interval_s", "ttl_s"}
STATUSES = ["ok", "degraded", "down", "queued", "running", "blocked", "waiting_approval", "paused", "error", "done"]

VALID: dict[str, Any] = {
    "name": "N",
    "type": "agent",
    "role": "production",
    "url": "",
    "caps": ["a"],
}


def wrong(answer: httpx.Response) -> list[dict[str, Any]]:
    """The list of a 422, in the shape that FastAPI gives it."""
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/json"
    details: list[dict[str, Any]] = answer.json()["detail"]
    assert details
    for each in details:
        assert {"type", "loc", "msg", "input"} <= set(each), each
        assert each["loc"][0] in ("body", "query")
    return details


def locations(answer: httpx.Response) -> list[list[str | int]]:
    """Where a 422 says that something is wrong."""
    return [each["loc"] for each in wrong(answer)]


# --- general ----------------------------------------------------------------------------------------------------------


def test_an_unknown_path_is_not_found(face: Face) -> None:
    answer = face.rest.get("/nothing/here")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/heartbeat", "PUT"),
        ("GET", "/register", "POST"),
        ("DELETE", "/services/a", "GET"),
        ("HEAD", "/register", "POST"),
        ("HEAD", "/heartbeat", "PUT"),
        ("OPTIONS", "/services", "GET"),
        ("OPTIONS", "/heartbeat", "PUT"),
    ],
)
def test_a_wrong_method_is_answered_with_the_right_one(face: Face, method: str, path: str, allowed: str) -> None:
    origin = "http://elsewhere" if method in ("GET", "HEAD", "OPTIONS") else str(face.rest.base_url)
    answer = face.rest.request(method, path, headers={"Origin": origin})
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    assert not [name for name in answer.headers if name.startswith("access-control")]
    if method != "HEAD":
        assert answer.json() == {"detail": "Method Not Allowed"}


@pytest.mark.parametrize("path", ["/services/", "/health/", "/services/a/"])
def test_a_trailing_slash_is_redirected(face: Face, path: str) -> None:
    answer = face.rest.get(path)
    assert answer.status_code == 307
    assert answer.headers["location"] == "../" + path.rstrip("/").rpartition("/")[2]


def test_a_compressed_body_registers_and_beats(face: Face) -> None:
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    body = gzip.compress(json.dumps({**VALID, "service_id": "packed"}).encode())
    assert face.rest.post("/register", content=body, headers=headers).status_code == 200
    beat = gzip.compress(b'{"service_id": "packed", "status": "running"}')
    assert face.rest.put("/heartbeat", content=beat, headers=headers).status_code == 200
    assert face.get("packed")["status"] == "running"
    for coding, content, status in (("br", beat, 415), ("gzip", beat[:9], 400), ("gzip", b"{}", 400)):
        refused = face.rest.put("/heartbeat", content=content, headers={**headers, "content-encoding": coding})
        assert (refused.status_code, list(refused.json())) == (status, ["detail"]), refused.text
        assert coding in refused.json()["detail"]


def test_a_page_of_another_site_registers_nobody_and_beats_for_nobody(face: Face) -> None:
    face.register("wanted elsewhere")
    for method, path in (("POST", "/register"), ("PUT", "/heartbeat"), ("POST", "/deregister"), ("POST", "/promote")):
        for headers in ({"sec-fetch-site": "same-site"}, {"origin": "http://evil.test"}):
            answer = face.rest.request(method, path, json={"service_id": "wanted elsewhere"}, headers=headers)
            assert answer.status_code == 403, (method, path)
    assert face.get("wanted elsewhere")


def test_the_documents_are_served(face: Face) -> None:
    assert face.rest.get("/docs").status_code == 200
    assert face.rest.get("/redoc").status_code == 200
    paths = face.rest.get("/openapi.json").json()["paths"]
    assert {"/", "/health", "/register", "/heartbeat", "/services", "/services/{service_id}", "/discover"} <= set(paths)
    assert {"/deregister", "/promote"} <= set(paths)


@pytest.mark.parametrize("content_type", ["application/json", None])
def test_a_body_without_a_content_type_counts_as_json(face: Face, content_type: str | None) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    answer = face.rest.post("/register", content=json.dumps({**VALID, "service_id": "typeless"}), headers=headers)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(("method", "path"), [("POST", "/register"), ("PUT", "/heartbeat"), ("POST", "/deregister")])
def test_a_body_that_is_not_json_is_said_to_be_so(face: Face, method: str, path: str) -> None:
    (broken,) = wrong(face.rest.request(method, path, content="{", headers={"content-type": "application/json"}))
    assert (broken["type"], broken["loc"][0]) == ("json_invalid", "body")
    assert broken["ctx"] == {"error": "Expecting property name enclosed in double quotes"}
    (text,) = wrong(face.rest.request(method, path, content="{}", headers={"content-type": "text/plain"}))
    assert (text["type"], text["loc"]) == ("model_attributes_type", ["body"])


# --- 2.1 POST /register -----------------------------------------------------------------------------------------------


def test_a_registration_answers_id_and_time_and_nothing_else(face: Face) -> None:
    answer = face.register("plain")
    assert answer.status_code == 200
    assert list(answer.json()) == ["service_id", "registered_at"]
    assert answer.json()["service_id"] == "plain"
    assert SQL_TIME.fullmatch(answer.json()["registered_at"])


@pytest.mark.parametrize("given", [{}, {"service_id": None}, {"service_id": ""}])
def test_without_an_id_a_uuid_is_assigned(face: Face, given: dict[str, Any]) -> None:
    service_id = face.rest.post("/register", json={**VALID, **given}).json()["service_id"]
    assert str(uuid.UUID(service_id, version=4)) == service_id
    assert face.get(service_id)["name"] == "N"


@pytest.mark.parametrize(
    "service_id", ["PAS Root", "a:b", "ünï-✓", "50%", "a+b&c=d", "#?", "x" * 512, "%2F", "'\"<script>", "a/b/c"]
)
def test_any_printable_id_is_accepted_and_found_again(face: Face, service_id: str) -> None:
    assert face.register(service_id, name="odd").json()["service_id"] == service_id
    assert face.rest.get(f"/services/{quote(service_id, safe='')}").json()["service_id"] == service_id
    assert face.beat(service_id, status="running").status_code == 200
    assert (face.listed(service_id) or {})["status"] == "running"
    assert face.rest.post("/deregister", json={"service_id": service_id}).status_code == 200


def test_a_number_is_no_id(face: Face) -> None:
    assert locations(face.rest.post("/register", json={**VALID, "service_id": 7})) == [["body", "service_id"]]


@pytest.mark.parametrize("missing", ["name", "type", "role", "url", "caps"])
def test_what_is_required_is_named(face: Face, missing: str) -> None:
    body = {key: value for key, value in VALID.items() if key != missing}
    (problem,) = wrong(face.rest.post("/register", json=body))
    assert (problem["type"], problem["loc"]) == ("missing", ["body", missing])


@pytest.mark.parametrize(
    ("field", "value", "kind"),
    [
        ("name", "", "string_too_short"),
        ("name", "x" * 101, "string_too_long"),
        ("type", "robot", "string_pattern_mismatch"),
        ("role", "prod", "string_pattern_mismatch"),
        ("url", 5, "string_type"),
        ("caps", [], "too_short"),
        ("caps", "a", "list_type"),
        ("labels", [], "dict_type"),
        ("heartbeat_interval_s", None, "int_type"),
        ("ttl_s", None, "int_type"),
        ("ttl_s", 1.5, "int_from_float"),
        ("cost_hint", {"usd_per_1k": "much"}, "float_parsing"),
    ],
)
def test_a_wrong_field_is_named(face: Face, field: str, value: Any, kind: str) -> None:
    problems = wrong(face.register("wrong", **{field: value}))
    assert (kind, ["body", field]) in [(each["type"], each["loc"][:2]) for each in problems]
    assert face.listed("wrong") is None


def test_labels_of_any_kind_come_back(face: Face) -> None:
    labels = {"port": 6110, "tier": "2", "ratio": 0.5, "on": True, "none": None, "deep": {"list": [1, "a", {}]}}
    face.register("labelled", labels=labels)
    assert face.get("labelled")["labels"] == labels


@pytest.mark.parametrize("labels", [{}, None])
def test_empty_labels_come_back_as_null(face: Face, labels: dict[str, Any] | None) -> None:
    face.register("unlabelled", labels=labels)
    assert face.get("unlabelled")["labels"] is None
    assert (face.listed("unlabelled") or {"labels": "missing"})["labels"] is None


def test_of_the_cost_hint_only_the_price_of_tokens_is_kept(face: Face) -> None:
    face.register("costly", cost_hint={"usd_per_1k": 0.002, "usd_per_hour": 3})
    assert face.get("costly")["cost_hint_usd_per_1k"] == 0.002
    face.register("costless", cost_hint={"usd_per_hour": 3})
    assert face.get("costless")["cost_hint_usd_per_1k"] is None


def test_intervals_have_the_legacy_defaults(face: Face) -> None:
    face.register("defaults")
    record = face.get("defaults")
    assert (record["heartbeat_interval_s"], record["ttl_s"]) == (60, 90)


@pytest.mark.parametrize("interval", [1, 30, 3600])
@pytest.mark.parametrize("ttl", [90, 1, 0, -1, 10**9])
def test_the_ttl_is_stored_as_it_is_sent(face: Face, interval: int, ttl: int) -> None:
    """Nobody judges by it."""
    assert face.register("ttl", heartbeat_interval_s=interval, ttl_s=ttl).status_code == 200
    record = face.get("ttl")
    assert (record["heartbeat_interval_s"], record["ttl_s"]) == (interval, ttl)


@pytest.mark.parametrize(
    "caps", [["a", ""], [""], ["a", "a"], [" a "], ["a\nb"], ["c" * 200], [f"{n}" for n in range(100)]]
)
def test_capabilities_are_stored_as_they_are_sent(face: Face, caps: list[str]) -> None:
    assert face.register("caps", caps=caps).status_code == 200
    assert face.get("caps")["caps"] == caps
    assert (face.listed("caps") or {})["caps"] == caps


def test_numbers_are_stored_as_they_are_sent(face: Face) -> None:
    assert face.register("numbers", ctx_limit=-1).status_code == 200
    assert face.get("numbers")["ctx_limit"] == -1
    figures = {"p95_ms": -0.5, "queue_depth": -3, "load": 17.25}
    assert face.beat("numbers", **figures).status_code == 200
    assert {key: face.get("numbers")[key] for key in figures} == figures
    assert face.beat("numbers", **{key: str(value) for key, value in figures.items()}).status_code == 200
    assert {key: face.get("numbers")[key] for key in figures} == figures


def test_numbers_as_text_and_whole_floats_are_taken(face: Face) -> None:
    assert face.register("coerced", heartbeat_interval_s="30", ttl_s=90.0).status_code == 200
    record = face.get("coerced")
    assert (record["heartbeat_interval_s"], record["ttl_s"]) == (30, 90)
    assert isinstance(record["ttl_s"], int)


def test_nulls_are_taken_where_the_utility_sends_them(face: Face) -> None:
    assert face.register("nulls", ctx_limit=None, cost_hint=None, labels={}).status_code == 200


def test_unknown_fields_are_ignored(face: Face) -> None:
    answer = face.register("more", run_id="r", token_usage={"ctx_used": 1}, ts="now")
    assert answer.status_code == 200
    assert face.beat("more", run_id="r", progress=0.5, ts="now", agent="x").status_code == 200


def test_a_registration_is_a_heartbeat_with_status_ok(face: Face) -> None:
    before = datetime.now(UTC).replace(tzinfo=None)
    face.register("fresh")
    record = face.get("fresh")
    assert record["status"] == "ok"
    assert ISO.fullmatch(record["last_heartbeat_ts"])
    age = (datetime.fromisoformat(record["last_heartbeat_ts"]) - before).total_seconds()
    assert -0.1 < age < 5
    assert abs((datetime.fromisoformat(record["registered_at"]) - before).total_seconds()) < 5


# --- 2.2 PUT /heartbeat -----------------------------------------------------------------------------------------------


def test_a_heartbeat_answers_success_and_the_time_after_the_stored_one(face: Face) -> None:
    face.register("beating")
    answer = face.beat("beating")
    assert answer.status_code == 200
    assert list(answer.json()) == ["success", "ts"]
    assert answer.json()["success"] is True
    assert ISO.fullmatch(answer.json()["ts"])
    stored = datetime.fromisoformat(face.get("beating")["last_heartbeat_ts"])
    later = (datetime.fromisoformat(answer.json()["ts"]) - stored).total_seconds()
    assert 0 <= later < 1


@pytest.mark.parametrize("status", STATUSES)
def test_what_a_heartbeat_says_is_shown_by_the_next_read(face: Face, status: str) -> None:
    face.register("speaking")
    for number in range(10):
        figures: dict[str, Any] = {"p95_ms": number + 0.5, "queue_depth": number, "load": number / 10}
        assert face.beat("speaking", status=status, **figures).status_code == 200
        record = face.get("speaking")
        assert {key: record[key] for key in (*figures, "status")} == {**figures, "status": status}
        assert (face.listed("speaking") or {})["status"] == status


@pytest.mark.parametrize("next_beat", [{}, {"p95_ms": None, "queue_depth": None, "load": None}, {"load": 2.5}])
def test_every_heartbeat_overwrites_all_figures(face: Face, next_beat: dict[str, Any]) -> None:
    face.register("figures")
    assert face.beat("figures", p95_ms=12.5, queue_depth=3, load=0.5).status_code == 200
    assert face.get("figures")["p95_ms"] == 12.5
    assert face.beat("figures", **next_beat).status_code == 200
    wanted = {"p95_ms": None, "queue_depth": None, "load": None, **next_beat}
    everywhere = (
        face.get("figures"),
        next(e for e in face.rest.get("/discover").json()["items"] if e["service_id"] == "figures"),
        face.rest.get("/v1/services/figures").json(),
    )
    assert all({key: each[key] for key in wanted} == wanted for each in everywhere)
    with RegistryClient(face.registry.address) as client:
        service = client.get_service("figures")
    assert {"p95_ms": service.p95_ms, "queue_depth": service.queue_depth, "load": service.load} == wanted


def test_without_a_status_a_heartbeat_says_ok(face: Face) -> None:
    face.register("again ok")
    face.beat("again ok", status="blocked")
    assert face.get("again ok")["status"] == "blocked"
    face.beat("again ok")
    assert face.get("again ok")["status"] == "ok"


def test_the_figures_of_the_utility_may_be_null(face: Face) -> None:
    face.register("utility")
    beat = {"status": "ok", "p95_ms": None, "queue_depth": None, "load": None, "message": None}
    assert face.beat("utility", **beat).status_code == 200


@pytest.mark.parametrize(
    ("field", "value"),
    [("status", None), ("status", "fine"), ("status", 1), ("queue_depth", 1.5), ("load", "high"), ("message", 5)],
)
def test_a_wrong_heartbeat_is_refused_and_changes_nothing(face: Face, field: str, value: Any) -> None:
    face.register("careful")
    face.beat("careful", status="degraded")
    assert locations(face.beat("careful", **{field: value})) == [["body", field]]
    assert face.get("careful")["status"] == "degraded"


def test_numbers_in_text_are_taken_in_a_heartbeat_too(face: Face) -> None:
    face.register("textual")
    assert face.beat("textual", p95_ms="1.5", queue_depth="3", load=2).status_code == 200
    record = face.get("textual")
    assert (record["p95_ms"], record["queue_depth"], record["load"]) == (1.5, 3, 2.0)


def test_a_heartbeat_for_nobody_is_not_found(face: Face) -> None:
    answer = face.beat("nobody")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Service nobody not found"})


def test_a_heartbeat_needs_an_id(face: Face) -> None:
    assert locations(face.rest.put("/heartbeat", json={"status": "ok"})) == [["body", "service_id"]]


def test_a_heartbeat_lifts_a_service_out_of_down(face: Face) -> None:
    face.register("lifted")
    face.beat("lifted", status="down")
    assert face.get("lifted")["status"] == "down"
    face.beat("lifted", status="ok")
    assert face.get("lifted")["status"] == "ok"


# --- 2.3 to 2.5 reads -------------------------------------------------------------------------------------------------


def test_the_list_has_nine_keys_in_their_order(face: Face) -> None:
    face.register("columns")
    answer = face.rest.get("/services", params={"name": "ignored"})
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == ["items"]
    items = answer.json()["items"]
    assert items
    assert all(list(each) == LISTED for each in items)


def test_the_list_is_ordered_by_name_then_role_as_binary_text(face: Face) -> None:
    wanted = [
        ("Zed", "production"),
        ("a", "canary"),
        ("a", "experimental"),
        ("a", "production"),
        ("a", "staging"),
        ("b", "canary"),
        ("é", "canary"),
    ]
    for number, (name, role) in enumerate(reversed(wanted)):
        face.register(f"ordered {number}", name=f"order {name}", role=role)
    for path in ("/services", "/discover"):
        found = [(each["name"], each["role"]) for each in face.rest.get(path).json()["items"]]
        assert found == sorted(found)
        assert [each for each in found if each[0].startswith("order ")] == [(f"order {n}", r) for n, r in wanted]


def test_one_service_is_a_bare_object_with_seventeen_keys(face: Face) -> None:
    face.register("whole", ctx_limit=8192, cost_hint={"usd_per_1k": 1}, heartbeat_interval_s=30, ttl_s=90)
    record = face.get("whole")
    assert set(record) == WHOLE
    assert len(record) == 17
    assert (record["ctx_limit"], record["cost_hint_usd_per_1k"]) == (8192, 1.0)
    assert SQL_TIME.fullmatch(record["registered_at"])
    assert [record[key] for key in ("p95_ms", "queue_depth", "load")] == [None, None, None]


def test_an_unknown_service_is_not_found(face: Face) -> None:
    answer = face.rest.get("/services/unheard-of")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Service unheard-of not found"})


def test_a_slash_that_is_not_escaped_is_another_path(face: Face) -> None:
    face.register("with/slash")
    assert face.rest.get("/services/with/slash").json() == {"detail": "Not Found"}
    assert face.rest.get("/services/with%2Fslash").json()["service_id"] == "with/slash"


def test_discovery_matches_all_that_is_given(face: Face) -> None:
    face.register("d1", name="disco", type="model", role="canary", caps=["infer", "classify"])
    face.register("d2", name="disco", type="model", role="production", caps=["infer"])
    face.register("d3", name="disco", type="tool", role="canary", caps=["infer"])

    def found(**wanted: str) -> list[str]:
        items = face.rest.get("/discover", params={"name": "disco", **wanted}).json()["items"]
        assert all(set(each) == DISCOVERED and len(each) == 15 for each in items)
        return sorted(each["service_id"] for each in items)

    assert found() == ["d1", "d2", "d3"]
    assert found(type="model") == ["d1", "d2"]
    assert found(role="canary") == ["d1", "d3"]
    assert found(cap="classify") == ["d1"]
    assert found(type="model", role="canary", cap="infer", status="ok") == ["d1"]
    face.beat("d2", status="degraded")
    assert found(status="degraded") == ["d2"]
    assert found(status="no such status") == []
    assert found(name="DISCO") == []


def test_discovery_takes_an_empty_word_for_none_but_not_an_empty_type(face: Face) -> None:
    everyone = face.rest.get("/discover").json()["items"]
    assert len(face.rest.get("/discover?cap=&name=&status=").json()["items"]) == len(everyone)
    for word in ("type", "role"):
        (problem,) = wrong(face.rest.get("/discover", params={word: ""}))
        assert problem["loc"] == ["query", word]
        assert locations(face.rest.get("/discover", params={word: "odd"})) == [["query", word]]


# --- 2.6, 2.7 deregister, promote -------------------------------------------------------------------------------------


def test_a_service_that_was_deregistered_is_gone_at_once(face: Face) -> None:
    face.register("leaving")
    answer = face.rest.post("/deregister", json={"service_id": "leaving"})
    assert (answer.status_code, list(answer.json())) == (200, ["success", "ts"])
    assert ISO.fullmatch(answer.json()["ts"])
    assert face.rest.get("/services/leaving").status_code == 404
    assert face.listed("leaving") is None
    assert face.beat("leaving").status_code == 404
    answer = face.rest.post("/deregister", json={"service_id": "leaving"})
    assert (answer.status_code, answer.json()) == (404, {"detail": "Service leaving not found"})


def test_a_promotion_changes_every_instance(face: Face) -> None:
    for number in range(3):
        face.register(f"promoted {number}", name="prom", role="staging")
    body = {"name": "prom", "from_role": "staging", "to_role": "production"}
    answer = face.rest.post("/promote", json=body)
    assert (answer.status_code, list(answer.json())) == (200, ["updated_instances", "ts"])
    assert answer.json()["updated_instances"] == 3
    assert {face.get(f"promoted {number}")["role"] for number in range(3)} == {"production"}
    answer = face.rest.post("/promote", json=body)
    detail = "No services found with name='prom' and role='staging'"
    assert (answer.status_code, answer.json()) == (404, {"detail": detail})
    assert locations(face.rest.post("/promote", json={**body, "to_role": "boss"})) == [["body", "to_role"]]


# --- 2.8 / and /health ------------------------------------------------------------------------------------------------


def test_the_root_tells_what_this_is(face: Face) -> None:
    root = face.rest.get("/").json()
    assert list(root) == [
        "service",
        "version",
        "port",
        "status",
        "registered_services",
        "healthy_services",
        "endpoints",
        "docs",
    ]
    assert (root["service"], root["version"], root["status"]) == ("PAS Service Registry", "1.0.0", "running")
    assert root["port"] == int(face.gateway.ready["registry_http"].rpartition(":")[2])
    assert set(root["endpoints"]) == {
        "health",
        "register",
        "heartbeat",
        "discover",
        "promote",
        "deregister",
        "list_all",
        "get_service",
    }
    assert (root["endpoints"]["heartbeat"], root["endpoints"]["health"]) == ("PUT /heartbeat", "/health")
    assert root["registered_services"] == len(face.rest.get("/services").json()["items"])


def test_healthy_are_those_that_say_ok_exactly(face: Face) -> None:
    face.register("not quite ok")
    before = face.rest.get("/health").json()
    assert list(before) == ["status", "registered", "healthy", "total_events"]
    assert before["status"] == "ok"
    face.beat("not quite ok", status="running")
    after = face.rest.get("/health").json()
    assert after["healthy"] == before["healthy"] - 1
    assert after["registered"] == before["registered"]
    assert after["total_events"] == before["total_events"] + 1


# --- 10B: defects that are gone ---------------------------------------------------------------------------------------


def test_registering_an_id_again_succeeds(face: Face) -> None:
    """Q1."""
    assert face.register("twice", name="first").status_code == 200
    face.beat("twice", status="error")
    assert face.register("twice", name="second", url="elsewhere").status_code == 200
    record = face.get("twice")
    assert (record["name"], record["url"], record["status"]) == ("second", "elsewhere", "ok")


@pytest.mark.parametrize("interval", [0, -1, -60, 10**9])
def test_an_interval_that_makes_no_sense_is_refused(face: Face, interval: int) -> None:
    """Q3."""
    assert locations(face.register("zero", heartbeat_interval_s=interval)) == [["body", "heartbeat_interval_s"]]


def test_the_message_of_a_heartbeat_is_kept_and_not_in_the_legacy_shapes(face: Face) -> None:
    """Q15."""
    face.register("talking")
    assert face.beat("talking", message="half way").status_code == 200
    assert set(face.get("talking")) == WHOLE
    assert face.rest.get("/v1/services/talking").json()["message"] == "half way"
    assert face.beat("talking", message="x" * 5000).status_code == 200
    assert len(face.rest.get("/v1/services/talking").json()["message"]) == 1000


@pytest.mark.parametrize("cap", ["%", "_", "WORK", "wor", '"'])
def test_a_capability_is_matched_exactly(face: Face, cap: str) -> None:
    """Q16."""
    face.register("exact", caps=["work"])
    assert face.rest.get("/discover", params={"cap": cap}).json() == {"items": []}


def test_what_the_registry_refuses_is_said_in_the_legacy_shape(face: Face) -> None:
    """Q16: names are checked."""
    for fields, location in (
        ({"caps": ["x" * 20_000]}, ["body", "caps"]),
        ({"name": "blank at the end "}, ["body", "name"]),
        ({"service_id": "line\nbreak"}, ["body", "service_id"]),
        ({"service_id": "x" * 513}, ["body", "service_id"]),
        ({"url": "x" * 2049}, ["body", "url"]),
        ({"labels": {"parent": "refused"}}, ["body", "labels", "parent"]),
        ({"cost_hint": {"usd_per_1k": -1}}, ["body", "cost_hint"]),
    ):
        answer = face.rest.post("/register", json={**VALID, "service_id": "refused", **fields})
        assert location in locations(answer), (fields, answer.text)
    assert face.listed("refused") is None


def test_times_have_no_zone_and_no_other_format(face: Face) -> None:
    """Q13: the formats stay, for clients compare and parse them; /v1 has the same times with their zone."""
    face.register("timed")
    modern = face.rest.get("/v1/services/timed").json()
    legacy = face.get("timed")
    assert modern["last_heartbeat_at"].endswith("Z")
    assert datetime.fromisoformat(modern["last_heartbeat_at"]).replace(tzinfo=None) == datetime.fromisoformat(
        legacy["last_heartbeat_ts"]
    )
    assert re.sub(r"\.\d+Z$|Z$", "", modern["registered_at"]).replace("T", " ") == legacy["registered_at"]
