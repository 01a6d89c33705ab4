"""The short way for heartbeats: an ordinary one is read, anything else is left to the model."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway_http.legacy.plain_beats import MOST_MESSAGE, plain_beat
from gateway_http.replica.entry import Reported


def a_body(**fields: Any) -> bytes:
    """A heartbeat of `a` with these fields on top."""
    return json.dumps({"service_id": "a", **fields}).encode()


@pytest.mark.parametrize(
    ("fields", "reported"),
    [
        ({}, Reported("ok")),
        ({"status": "running", "p95_ms": 3, "load": 0.5}, Reported("running", 3.0, None, 0.5)),
        ({"queue_depth": 7, "message": "schläft"}, Reported("ok", None, 7, None, "schläft")),
        ({"p95_ms": None, "unknown": [1, 2]}, Reported("ok")),
    ],
)
def test_an_ordinary_heartbeat_is_read(fields: dict[str, Any], reported: Reported) -> None:
    assert plain_beat(a_body(**fields)) == ("a", reported)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"service_id": "\\ud800"}',
        b'{"service_id": "a", "load": NaN}',
        a_body(service_id=1),
        a_body(status="well"),
        a_body(load="0.5"),
        a_body(load=True),
        a_body(p95_ms=1e308 * 10),
        a_body(queue_depth=1.0),
        a_body(queue_depth=2**63),
        a_body(message=1),
        a_body(message="x" * (MOST_MESSAGE + 1)),
    ],
)
def test_anything_else_is_left_to_the_model(body: bytes) -> None:
    assert plain_beat(body) is None
