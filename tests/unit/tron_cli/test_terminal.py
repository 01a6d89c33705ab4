"""What commands print reaches the reader, complete: in a pipe, in any encoding, on a full disk, without a reader."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from grid.events.v1 import event_pb2
from grid.registry.v1 import registry_service_pb2

from tests.support import warm
from tests.support.canned_registry import Canned, canned_registry
from tests.unit.tron_cli.test_commands import service

LONG = "agent-" + "x" * 506
"""An id as long as the contract allows."""
WORDS = "Übersetzer ☃ ●"
HOSTILE = {"PYTHONIOENCODING": "latin-1", "COLUMNS": "20", "TERM": "dumb", "HOME": "", "LC_ALL": "C"}

CATALOGUE = '[[service]]\nservice_id = "probed"\nname = "ü☃"\nurl = "tcp://127.0.0.1:1"\n'

COMMANDS: dict[str, tuple[str, ...]] = {
    "services": ("services",),
    "services as JSON": ("services", "--json"),
    "watch": ("watch", "--count", "3"),
    "alerts": ("alerts",),
    "alerts that are followed": ("alerts", "--follow", "--count", "1"),
    "alerts ack": ("alerts", "ack", "alert-1"),
    "explain": ("explain", LONG),
    "stats": ("stats",),
    "policy": ("policy",),
    "maintenance": ("maintenance", WORDS),
    "register": ("register", "--name", WORDS, "--id", LONG),
    "deregister": ("deregister", LONG),
    "release": ("release", LONG),
    "version": ("version",),
    "help": ("--help",),
    "help of a command": ("services", "--help"),
    "probe": ("probe", "--once", "--catalogue", "catalogue.toml"),
}
NOT_WELL = {"probe": 1}
"""Commands whose code says something else than that they worked."""


@pytest.fixture(scope="module")
def registry() -> Iterator[Canned]:
    """A registry and a TRON that answer from a script."""
    with canned_registry() as canned:
        answer = registry_service_pb2.WatchServicesResponse
        canned.services = [service(LONG, parent=LONG), service("b", name=WORDS), service("PAS Root")]
        canned.events = [
            event_pb2.Event(
                sequence=1, alert_id="alert-1", type="service_down", service_id=LONG, message=f"{WORDS} a\nb"
            ),
            event_pb2.Event(sequence=2, alert_id="alert-2", type="x", recipient=LONG, message="\x1b[31mred\x07"),
        ]
        canned.news = list(canned.events)
        canned.changes = [
            answer(revision=1, upserted=service(LONG, message=WORDS)),
            answer(revision=1, snapshot_complete=registry_service_pb2.SnapshotComplete()),
            answer(revision=2, removed=registry_service_pb2.Removed(service_id=LONG)),
        ]
        yield canned


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a catalogue."""
    (tmp_path / "catalogue.toml").write_text(CATALOGUE, encoding="utf-8")
    return tmp_path


def environment(registry: Canned) -> dict[str, str]:
    """Our variables, less those that change what is printed."""
    kept = {name: value for name, value in os.environ.items() if name not in ("HOME", "COLUMNS", "TRON_MONITOR")}
    return kept | {"TRON_REGISTRY": registry.address}


def run(
    registry: Canned, folder: Path, words: tuple[str, ...], tail: str = "", env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run `tron` in a shell, with `tail` after the command."""
    script = f'"$0" -m tron_cli "$@" {tail}'
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", script, sys.executable, *words],
        capture_output=True,
        timeout=60,
        check=False,
        cwd=folder,
        env=environment(registry) | dict(env or {}),
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_a_sign_that_the_encoding_lacks_costs_no_output(registry: Canned, folder: Path, command: str) -> None:
    done = run(registry, folder, COMMANDS[command], env=HOSTILE)
    assert (done.returncode, done.stderr) == (NOT_WELL.get(command, 0), b"")
    assert done.stdout.decode("latin-1").strip()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk_is_said_and_is_a_failure(registry: Canned, folder: Path, command: str) -> None:
    env = environment(registry)
    with Path("/dev/full").open("wb") as full, tempfile.TemporaryFile() as errors:
        code = warm.start("tron_cli", COMMANDS[command], env, full, errors, cwd=folder).wait(60)
        errors.seek(0)
        assert (code, errors.read()) == (1, b"tron: cannot write the output: No space left on device\n")


@pytest.mark.parametrize("command", ["services", "version", "watch"])
def test_a_closed_output_is_said_and_is_a_failure(registry: Canned, folder: Path, command: str) -> None:
    done = run(registry, folder, COMMANDS[command], "0<&- >&-")
    assert (done.returncode, done.stderr) == (1, b"tron: cannot write the output: Bad file descriptor\n")


def test_a_closed_error_stream_costs_no_output_and_errors_do_not_go_to_stdout(registry: Canned, folder: Path) -> None:
    assert run(registry, folder, ("version",), "2>&-").stdout.startswith(b"tron ")
    for tail in ("2>&-", "2>/dev/full"):
        done = run(registry, folder, ("explain", "a", "--monitor", "127.0.0.1:1"), tail)
        assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")


@pytest.mark.parametrize("command", ["services", "alerts that are followed", "help"])
def test_a_reader_that_has_enough_ends_a_command_silently(registry: Canned, folder: Path, command: str) -> None:
    done = run(registry, folder, COMMANDS[command], "| (read -r line; exec <&-; sleep 0.1)")
    assert (done.returncode, done.stderr) == (0, b"")
    unread = run(registry, folder, COMMANDS[command], "| exec true")
    assert (unread.returncode, unread.stderr) == (0, b"")


@pytest.mark.parametrize("columns", ["20", "400", "0", "many"])
def test_in_a_pipe_each_service_is_one_whole_line_whatever_the_width(
    registry: Canned, folder: Path, columns: str
) -> None:
    env = {"COLUMNS": columns, "FORCE_COLOR": "1"}
    heading, first, second, third = run(registry, folder, ("services",), env=env).stdout.decode().splitlines()
    assert heading.split()[:3] == ["liveness", "id", "name"]
    assert first.split()[2] == LONG
    assert first.count(LONG) == 3  # as id, in its name, and as parent
    assert WORDS in second
    assert "PAS Root" in third
    assert "\x1b" not in first + second + third
    assert second.index(" b ") == third.index(" PAS Root "), "short values are aligned, whatever a long one needs"


def test_signs_of_ours_have_a_stand_in_and_those_of_others_an_escape(registry: Canned, folder: Path) -> None:
    out = run(registry, folder, ("services",), env={"PYTHONIOENCODING": "ascii"}).stdout.decode("ascii")
    assert "* ALIVE" in out
    assert "\\xdcbersetzer \\u2603 *" in out


def test_json_says_the_same_in_every_encoding(registry: Canned, folder: Path) -> None:
    words = ("services", "--json")
    documents = [
        json.loads(run(registry, folder, words, env={"PYTHONIOENCODING": encoding}).stdout.decode(encoding))
        for encoding in ("ascii", "latin-1", "utf-8")
    ]
    assert documents[0] == documents[1] == documents[2]
    assert documents[0]["services"][1]["name"] == WORDS


def test_what_others_wrote_can_not_speak_to_the_terminal(registry: Canned, folder: Path) -> None:
    for words in (("alerts",), ("alerts", "--follow", "--count", "2")):
        lines = run(registry, folder, words).stdout.decode().splitlines()[-2:]
        assert "a\\nb" in lines[0]
        assert "\\x1b[31mred\\x07" in lines[1]


def test_a_terminal_that_is_narrow_and_dumb_shows_everything(registry: Canned, folder: Path) -> None:
    script = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"
    command = [sys.executable, "-c", script, sys.executable, "-m", "tron_cli", "services"]
    for extra in ({"COLUMNS": "20", "TERM": "dumb"}, {"COLUMNS": "400", "NO_COLOR": "1"}):
        env = os.environ | {"TRON_REGISTRY": registry.address} | extra
        done = subprocess.run(
            command, capture_output=True, timeout=60, check=False, env=env, cwd=folder, stdin=subprocess.DEVNULL
        )
        assert done.returncode == 0, done.stdout
        assert b"\x1b[3" not in done.stdout
        shown = "".join(done.stdout.decode().split())
        assert "ALIVE" in shown
        assert shown.count("x") >= 506
