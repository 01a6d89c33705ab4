"""`tron demo` as a command: what it prints if there is nothing to run on, or nothing to act upon."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.tron_cli.test_commands import tron


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An address at which nobody listens, and no demo runs."""
    with tempfile.TemporaryDirectory(prefix="tron-") as folder, socket.socket() as taken:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


def test_without_a_registry_it_says_what_to_do(nowhere: str) -> None:
    done = tron("demo", at=nowhere)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"tron: no registry is running at {nowhere}; start one with: tron up\n"


@pytest.mark.parametrize("what", ["--kill", "--kill-once", "--hang", "--stall", "--resume"])
def test_without_a_demo_it_says_what_to_do(nowhere: str, what: str) -> None:
    done = tron("demo", what, "Dir-Code", at=nowhere)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"tron: no demo is running at the registry {nowhere}; start one with: tron demo\n"


def test_one_thing_is_done_at_a_time(nowhere: str) -> None:
    done = tron("demo", "--kill", "a", "--hang", "b", at=nowhere)
    assert done.returncode == 2
    assert "only one of these options at a time" in done.stderr


@pytest.mark.parametrize("command", [["demo"], ["up", "--demo"]])
def test_a_catalogue_that_can_not_be_used_is_said_before_anything_starts(
    nowhere: str, tmp_path: Path, command: list[str]
) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text('[[service]]\nservice_id = "a"\n')
    data = ["--data-dir", str(tmp_path / "data")] if command[0] == "up" else []
    done = tron(*command, "--catalogue", str(broken), *data, at=nowhere)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"tron: {broken}: service 1 (a): name: Field required\n"
    assert not (tmp_path / "data").exists()


def test_a_catalogue_means_nothing_without_a_demo(tmp_path: Path) -> None:
    done = tron("up", "--catalogue", "core", "--data-dir", str(tmp_path / "data"))
    assert done.returncode == 2
    assert "--catalogue requires --demo" in done.stderr


def test_an_address_that_is_none_is_said(nowhere: str) -> None:
    done = tron("demo", "--registry", "nonsense")
    said = "tron: --registry: 'nonsense' has no port; write nonsense:6122\n"
    assert (done.returncode, done.stderr) == (2, said)
