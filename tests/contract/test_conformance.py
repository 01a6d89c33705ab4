"""The transcripts that any SDK must pass: the Python session passes them, and they cover the protocol."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.json_format import ParseDict
from grid.registry.v1 import error_reason_pb2, heartbeat_pb2
from tron_client.protocol.handover import Handover
from tron_client.protocol.members import Members
from tron_client.protocol.session import AgentSession
from tron_client.protocol.shared_stream import SharedStream

from clients.conformance import runner
from clients.conformance.driver import Driver

TRANSCRIPTS = runner.transcripts()

OF_OTHER_CALLS = {
    "SERVICE_NOT_FOUND",
    "ALERT_NOT_FOUND",
    "REVISION_COMPACTED",
    "PAGE_TOKEN_EXPIRED",
    "PRINCIPAL_NOT_FOUND",
    "TOKEN_NOT_FOUND",
}
"""Reasons that no heartbeat stream ends with."""


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_the_python_session_passes(path: Path) -> None:
    runner.play(path, Driver().command)


def test_a_driver_on_stdin_and_stdout_passes_all_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.main([sys.executable, "-m", "clients.conformance.driver"]) == 0
    assert capsys.readouterr().out.count("passed") == len(TRANSCRIPTS)


def test_every_message_of_the_protocol_and_every_end_of_a_stream_occurs_in_one() -> None:
    kinds: set[str] = set()
    reasons: set[str] = set()
    refusals: set[str] = set()
    for step in (step for path in TRANSCRIPTS for step in runner.read(path)):
        word, value = _argument(step.command)
        if word == "receive":
            kinds.add(f"down: {ParseDict(value, heartbeat_pb2.HeartbeatResponse()).WhichOneof('kind')}")
            refusals.add(value.get("rejected", {}).get("reason", "").removeprefix("ERROR_REASON_"))
        elif word == "end":
            reasons.add((value or {}).get("reason", "ERROR_REASON_UNSPECIFIED").removeprefix("ERROR_REASON_"))
        for sent in (value for word, value in map(_argument, step.answers) if word == "send"):
            kinds.add(f"up: {ParseDict(sent, heartbeat_pb2.HeartbeatRequest()).WhichOneof('kind')}")
    up, down = heartbeat_pb2.HeartbeatRequest.DESCRIPTOR, heartbeat_pb2.HeartbeatResponse.DESCRIPTOR
    assert kinds == _kinds("up", up) | _kinds("down", down)
    names = {name.removeprefix("ERROR_REASON_") for name, _ in error_reason_pb2.ErrorReason.items()}
    assert reasons == names - OF_OTHER_CALLS
    assert reasons | refusals == names | {""}, "an agent alone is refused for each of the others"


def test_the_line_protocol_is_written_down() -> None:
    rows = [line for line in (runner.HERE / "README.md").read_text().splitlines() if line.startswith("| `")]
    written = {re.split(r"[ `#]", row.removeprefix("| `"))[0] for row in rows}
    commands = {name.removeprefix("_do_") for name in vars(Driver) if name.startswith("_do_")}
    steps = [step for path in TRANSCRIPTS for step in runner.read(path)]
    assert commands <= written
    assert {_argument(step.command)[0] for step in steps} == commands, "each command occurs in a transcript"
    answers = {_argument(answer)[0].partition("#")[0] for step in steps for answer in step.answers}
    assert answers == written - commands | {"state"}


@pytest.mark.parametrize(
    ("of", "attribute", "instead", "caught_by"),
    [
        (AgentSession, "_step_down", lambda *_: None, "superseded"),
        (AgentSession, "_forget_incarnation", lambda *_: None, "unknown_service"),
        (AgentSession, "alert_offered", lambda *_: False, "alerts"),
        (AgentSession, "_reject", lambda *_: None, "refused"),
        (AgentSession, "_defer", lambda *_: None, "shared_deferred"),
        (AgentSession, "_left", lambda *_: None, "shared_goodbye"),
        (AgentSession, "share", lambda *_: None, "shared_stream"),
        (Members, "receivers", lambda self, _: tuple(self), "shared_stream"),
        (Members, "_superseded", lambda self, message: self._newest(message.service_id), "shared_goodbye"),
        (SharedStream, "abandon", lambda self, session: self.leave(session), "shared_abandoned"),
        (AgentSession, "_unremembered", lambda *_: None, "shared_columns"),
        (SharedStream, "_learn", lambda *_: None, "shared_not_offered"),
        (Handover, "give_back", lambda self: self.finish(), "renewal"),
        (Handover, "begin", lambda self: self._move(list(self._former.sessions)), "shared_renewal"),
    ],
)
def test_an_sdk_with_a_mistake_fails(
    monkeypatch: pytest.MonkeyPatch, of: type, attribute: str, instead: object, caught_by: str
) -> None:
    monkeypatch.setattr(of, attribute, instead)
    with pytest.raises(runner.Mismatch, match=rf"{caught_by}\.txt:\d+: "):
        runner.play(runner.HERE / f"{caught_by}.txt", Driver().command)


def _kinds(way: str, message: Descriptor) -> set[str]:
    return {f"{way}: {field.name}" for field in message.oneofs_by_name["kind"].fields}


def _argument(line: str) -> tuple[str, Any]:
    return runner.parsed(line)
