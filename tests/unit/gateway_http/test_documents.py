"""A long answer is the same JSON as if it were encoded at once, but is encoded element by element."""

from __future__ import annotations

import json

import pytest

from gateway_http.v1.documents import encoded
from gateway_http.v1.stream import to_json
from tests.support.turn_count import count_rests
from tests.unit.gateway_http.builders import a_service, an_event


async def test_a_document_is_encoded_in_turns_and_is_the_same_json(monkeypatch: pytest.MonkeyPatch) -> None:
    rests = count_rests(monkeypatch)
    services = [a_service(f"ä{number}", labels={"a": [0] * 999}) for number in range(30)]
    events = [an_event(number, message='"quoted"') for number in range(30)]
    rest_of_it = {"revision": 7, "live": True, "now": "2026", "gaps": [["a", None]], "open": [], "lost": [{"a": 1}]}
    found = await encoded({"services": services, "events": tuple(events), **rest_of_it})
    plain = {
        "services": [each.to_dict() for each in services],
        "events": [each.to_dict() for each in events],
        **rest_of_it,
    }
    assert found == to_json(plain)
    assert json.loads(found) == json.loads(to_json(plain))
    assert len(rests) >= 60
