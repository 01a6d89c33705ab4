"""What /openapi.json says of each port is true: schemathesis asks what nobody would, and checks the answers by it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.face import Face, check_no_traceback, start_face

CHECKS = (not_a_server_error, response_schema_conformance, status_code_conformance, content_type_conformance)
PORTS = ("registry_http", "tron_http", "events_http", "hmi_http")
STREAMS = "/stream"
EXAMPLES = 12
"""Requests for each operation and mode; the whole takes about half a minute."""


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Face]:
    """A system of its own: what is registered here is nonsense."""
    with start_face(tmp_path_factory.mktemp("attacked")) as running:
        yield running
        check_no_traceback(running)
        assert "Exception in ASGI" not in running.gateway.log, running.gateway.log


@pytest.mark.parametrize("port", PORTS)
def test_the_description_is_true(attacked: Face, port: str) -> None:
    url = attacked.gateway.url(port)
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    problems: list[str] = []
    for result in schema.get_all_operations():
        assert isinstance(result, Ok), result
        operation: Any = result.ok()
        if operation.path.endswith(STREAMS):
            continue  # has no end; its own tests read it
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            problems += _attack(operation, mode)
    assert not problems, "\n\n".join(problems)


def _attack(operation: Any, mode: Any) -> list[str]:
    problems: list[str] = []

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        response = case.call(timeout=10)
        try:
            case.validate_response(response, checks=CHECKS)
        except Exception as error:
            problems.append(f"{case.method} {case.path} {mode}: {error}")

    try:
        ask()
    except Exception as error:
        if "Unsatisfiable" not in type(error).__name__:
            raise
    return problems[:2]


HOSTILE = [
    b"{",
    b"\xff\xfe",
    b"null",
    b"[" * 100_000,
    b'{"service_id":' + b"[" * 5000 + b"]" * 5000 + b"}",
    b'{"service_id": "\\ud800", "name": "\\udfff", "event_type": "\\ud800", "from_role": "canary", "caps": [0]}',
    b'{"service_id": "x", "load": NaN, "p95_ms": Infinity, "queue_depth": 1e400}',
    b'{"service_id": "x", "load": 1' + b"0" * 4000 + b"}",
    b'{"service_id": "x", "queue_depth": 1' + b"0" * 5000 + b"}",
    b'{"event_type": "x", "data": ' + b'{"a":' * 400 + b"1" + b"}" * 400 + b"}",
]


@pytest.mark.parametrize(
    ("port", "method", "path"),
    [
        ("registry_http", "POST", "/register"),
        ("registry_http", "PUT", "/heartbeat"),
        ("registry_http", "POST", "/deregister"),
        ("registry_http", "POST", "/promote"),
        ("events_http", "POST", "/broadcast"),
    ],
)
@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_body_ends_nothing_and_is_answered_with_a_reason(
    attacked: Face, port: str, method: str, path: str, body: bytes
) -> None:
    headers = {"content-type": "application/json"}
    answer = httpx.request(method, attacked.gateway.url(port) + path, content=body, headers=headers)
    # What a field that is not known holds is ignored, so some of them are requests like any other.
    assert answer.status_code in (200, 400, 404, 422), answer.text[:500]
    assert answer.status_code == 200 or set(answer.json()) <= {"detail", "error"}


@pytest.mark.parametrize(
    ("port", "method", "path"),
    [
        ("registry_http", "POST", "/register"),
        ("registry_http", "PUT", "/heartbeat"),
        ("events_http", "POST", "/broadcast"),
        ("hmi_http", "POST", "/api/settings/hhmrs"),
    ],
)
def test_a_body_beyond_the_limit_is_refused(attacked: Face, port: str, method: str, path: str) -> None:
    headers = {"content-type": "application/json"}
    body = b'{"service_id": "' + b"x" * (2 << 20) + b'"}'
    answer = httpx.request(method, attacked.gateway.url(port) + path, content=body, headers=headers)
    assert answer.status_code == 413, answer.text[:500]


def _pieces() -> Iterator[bytes]:
    for _ in range(64):
        yield b" " * (64 << 10)


def test_a_body_of_unknown_length_is_cut_at_the_limit(attacked: Face) -> None:
    url = attacked.gateway.url("registry_http")
    answer = httpx.put(f"{url}/heartbeat", content=_pieces(), headers={"content-type": "application/json"})
    assert answer.status_code == 413


@given(text=st.text(min_size=1, max_size=50))
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_any_text_is_shown_as_it_came_or_refused(attacked: Face, text: str) -> None:
    answer = attacked.register(text, name=text[:100], labels={"said": text})
    assert answer.status_code in (200, 422)
    if answer.status_code == 200:
        item = attacked.listed(text)
        assert item is not None
        assert (item["name"], item["labels"]) == (text[:100], {"said": text})
        attacked.rest.post("/deregister", json={"service_id": text})


def test_the_fleet_survived_it(attacked: Face, tmp_path: Path) -> None:
    assert attacked.register("survivor").status_code == 200
    assert attacked.beat("survivor").status_code == 200
