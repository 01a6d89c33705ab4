"""What the baseline f244ec2 spoke is still understood and still answered: its recorded messages and calls, replayed."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict

from tests.contract.recordings import calls
from tests.contract.recordings.samples import new_message
from tests.support.face import Face, check_no_traceback, start_face

RECORDINGS = Path(calls.__file__).parent
MESSAGES: list[dict[str, Any]] = json.loads((RECORDINGS / "messages.json").read_text())
CALLS: dict[str, list[dict[str, Any]]] = json.loads((RECORDINGS / "calls.json").read_text())

CORRECTED: dict[tuple[str, str], Any] = {
    ("hmi_http", "GET /health"): {"server_start_time": "float"},  # seconds, as the page of old wants it
    ("hmi_http", "GET /api/alerts"): {"alerts": ["type"]},  # the page of old names an alert by it
}
"""Where an answer differs from the baseline on purpose: the fields that changed, and the new fields of items."""


@pytest.fixture(scope="module")
def face(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Face]:
    """A fresh system, as the one that was recorded."""
    with start_face(tmp_path_factory.mktemp("recordings")) as running:
        yield running
        check_no_traceback(running)


@pytest.mark.parametrize("recorded", MESSAGES, ids=lambda recorded: recorded["name"])
def test_a_recorded_message_reads_and_writes_as_before(recorded: dict[str, Any]) -> None:
    kind = recorded["name"].partition("/")[0]
    raw = base64.b64decode(recorded["bytes"])
    message = new_message(kind)
    message.ParseFromString(raw)
    assert MessageToDict(message, preserving_proto_field_name=True) == recorded["json"]
    assert message.SerializeToString(deterministic=True) == raw
    assert ParseDict(recorded["json"], new_message(kind)) == message


def test_the_legacy_ports_answer_as_recorded(face: Face) -> None:
    pairs = zip(calls.rest(face), CALLS["rest"], strict=True)
    differ = {(new["port"], new["request"]): _differences(new, old) for new, old in pairs if new != old}
    assert differ == CORRECTED


@pytest.mark.parametrize("kind", ["unary", "heartbeat"])
def test_grpc_calls_are_answered_as_recorded(face: Face, kind: str) -> None:
    replayed = list({"unary": calls.unary, "heartbeat": calls.heartbeat}[kind](face))
    assert [_asked(each) for each in replayed] == [_asked(each) for each in CALLS[kind]], "the same bytes are sent"
    missing = [each for old, each in zip(CALLS[kind], replayed, strict=True) if not _contains(old, each)]
    assert missing == []


def _differences(new: dict[str, Any], old: dict[str, Any]) -> Any:
    """The part of an answer that is not as recorded: the fields of its document, or else all of it."""
    if {**new, "response": 0} != {**old, "response": 0} or new["response"].keys() != old["response"].keys():
        return new
    differ = {name: now for name, now in new["response"].items() if now != old["response"][name]}
    return {name: _added(now, old["response"][name]) for name, now in differ.items()}


def _added(new: Any, old: Any) -> Any:
    """The keys that the only item of a list has more than before; the shape as it is now for all other differences."""
    if (
        isinstance(new, list)
        and isinstance(old, list)
        and len(new) == len(old) == 1
        and new[0].items() >= old[0].items()
    ):
        return sorted(new[0].keys() - old[0].keys())
    return new


def _asked(entry: dict[str, Any]) -> list[Any]:
    return [entry.get("call"), entry["request"], entry["bytes"]]


def _contains(old: Any, new: Any) -> bool:
    """Whether a shape has all that an old one has. More fields are welcome: old clients ignore them."""
    if isinstance(old, dict):
        return isinstance(new, dict) and all(key in new and _contains(value, new[key]) for key, value in old.items())
    if isinstance(old, list):
        return isinstance(new, list) and all(any(_contains(each, other) for other in new) for each in old)
    return bool(old == new)
