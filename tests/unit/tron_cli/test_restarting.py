"""`tron run --restart`, as a process, against a registry that answers from a script."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf import json_format
from grid.events.v1 import event_pb2
from grid.registry.v1 import service_pb2

from tests.support.canned_registry import Canned, canned_registry
from tests.support.waiting import wait_until
from tests.unit.tron_cli.test_commands import events_sent, heartbeats, tron


@pytest.fixture
def registry() -> Iterator[Canned]:
    """A registry that answers from a script."""
    with canned_registry() as canned:
        yield canned


def failing(tmp_path: Path, times: int, code: int = 3) -> list[str]:
    """A program that fails this many times and then ends well; it notes each start."""
    starts = tmp_path / "starts"
    script = f"echo x >> {starts}; [ $(wc -l < {starts}) -gt {times} ] && exit 0; exit {code}"
    return ["sh", "-c", script]


def starts(tmp_path: Path) -> int:
    """How often it was started."""
    path = tmp_path / "starts"
    return len(path.read_text().splitlines()) if path.exists() else 0


RUN = ["run", "--id", "a", "--name", "n", "--parent", "boss", "--interval", "0.2"]


def test_a_program_that_fails_is_started_again_and_its_parent_told_each_time(registry: Canned, tmp_path: Path) -> None:
    done = tron(*RUN, "--restart", "3", "--", *failing(tmp_path, 2), at=registry)
    assert done.returncode == 0, done.stderr
    assert starts(tmp_path) == 3
    first, second, last = events_sent(registry)
    assert [each.type for each in (first, second, last)] == ["process_restarted"] * 2 + ["process_exited"]
    assert {each.recipient for each in (first, second, last)} == {"boss"}
    assert (first.severity, last.severity) == (event_pb2.SEVERITY_WARNING, event_pb2.SEVERITY_INFO)
    assert second.message == "sh exited with code 3; restart 2 of 3"
    details = json_format.MessageToDict(second.details)
    assert (details["restart_count"], details["max_restarts"], details["exit_code"]) == (2, 3, 3)
    assert len(heartbeats(registry, "register")) == 1, "it is one life of the service"
    assert len(heartbeats(registry, "goodbye")) == 1


def test_beyond_the_limit_it_is_escalated_and_the_exit_code_is_the_program_s(registry: Canned, tmp_path: Path) -> None:
    done = tron(*RUN, "--restart", "1", "--", *failing(tmp_path, 99, 7), at=registry)
    assert done.returncode == 7
    assert starts(tmp_path) == 2
    _, last = events_sent(registry)
    assert (last.type, last.severity, last.action) == ("process_exited", event_pb2.SEVERITY_CRITICAL, "escalated")
    assert last.message == "sh exited with code 7 and is not restarted after 1 restarts"
    details = json_format.MessageToDict(last.details)
    assert (details["why"], details["restart_count"]) == ("max_restarts_exceeded", 1)


def test_without_a_parent_it_is_escalated_to_operators(registry: Canned, tmp_path: Path) -> None:
    tron("run", "--id", "a", "--restart", "1", "--", *failing(tmp_path, 99), at=registry)
    assert [event.recipient for event in events_sent(registry)] == ["", "operators"]


def test_while_it_waits_for_the_next_start_the_service_says_that_it_is_in_error(
    registry: Canned, tmp_path: Path
) -> None:
    tron(*RUN, "--restart", "2", "--", *failing(tmp_path, 2), at=registry)
    beats = [beat for each in heartbeats(registry, "beats") for beat in each.beats.beats]
    waiting = [beat for beat in beats if beat.status == service_pb2.SERVICE_STATUS_ERROR]
    assert any(beat.message == "exited with code 3; restart 2 of 2" for beat in waiting)


def waiting_to_restart(registry: Canned, tmp_path: Path) -> subprocess.Popen[bytes]:
    """Start one that failed twice, and waits a second for its next start."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tron_cli", *RUN, "--restart", "9", "--", *failing(tmp_path, 99)],
        env=os.environ | {"TRON_REGISTRY": registry.address},
        start_new_session=True,
        stdin=subprocess.DEVNULL,
    )

    def in_error() -> bool:
        beats = [beat for each in heartbeats(registry, "beats") for beat in each.beats.beats]
        return any(beat.message.endswith("restart 3 of 9") for beat in beats)

    wait_until(in_error, 20, "it waits")
    return process


def test_a_signal_ends_the_waiting(registry: Canned, tmp_path: Path) -> None:
    process = waiting_to_restart(registry, tmp_path)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 3
    assert starts(tmp_path) == 3
    assert events_sent(registry)[-1].type == "process_exited"


def test_a_program_that_was_told_to_end_is_not_started_again(registry: Canned, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tron_cli", *RUN, "--restart", "9", "--", "sleep", "60"]
    process = subprocess.Popen(command, env=os.environ | {"TRON_REGISTRY": registry.address}, start_new_session=True)
    wait_until(lambda: heartbeats(registry, "beats"), 20, "it beats")
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 128 + signal.SIGTERM
    assert [event.type for event in events_sent(registry)] == ["process_exited"]


def test_it_is_started_again_without_a_registry(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = tron(*RUN, "--restart", "1", "--", *failing(tmp_path, 1), at=address)
    assert (done.returncode, starts(tmp_path)) == (0, 2)


@pytest.mark.parametrize("words", [["--restart", "-1"], ["--restart", "x"], ["--restart-window", "0"]])
def test_a_limit_that_can_not_be_meant_is_a_usage_error(words: list[str]) -> None:
    assert tron(*RUN, *words, "--", "true").returncode == 2


def test_the_pause_before_the_second_restart_is_a_second(registry: Canned, tmp_path: Path) -> None:
    stamps = tmp_path / "stamps"
    tron(*RUN, "--restart", "2", "--", "sh", "-c", f"date +%s.%N >> {stamps}; exit 1", at=registry)
    _, second, third = map(float, stamps.read_text().split())
    assert third - second >= 0.5  # from start to start; a slow start of the second takes from it


@pytest.mark.parametrize(("options", "seen"), [((), "none"), (("--pass-token",), "tron_abc")])
def test_the_program_receives_the_token_only_if_it_is_asked_for(
    options: tuple[str, ...], seen: str, registry: Canned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRON_TOKEN", "tron_abc")
    program = ["sh", "-c", f"printf %s ${{TRON_TOKEN:-none}} > {tmp_path / 'seen'}"]
    assert tron(*RUN, *options, "--", *program, at=registry).returncode == 0
    assert (tmp_path / "seen").read_text() == seen
