"""`tron support-bundle` on a real system: secrets are planted everywhere, and none of them is in the file."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tron_client import RegistryClient

from tests.support import warm
from tests.support.processes import System, start_system
from tests.support.waiting import wait_until

MARK = "planted"
"""Part of every secret, and of nothing else."""

TABLE = """
[{program}.sinks]
apprise = ["json://{mark}-user:{mark}-password@127.0.0.1:9/{mark}-path"]
apprise_file = "{folder}/channels"
[[{program}.sinks.webhook]]
url = "http://{mark}-user:{mark}-password@127.0.0.1:9/{mark}-path?key={mark}-query"
secret_file = "{folder}/secret"
token_env = "HOOK_TOKEN"
"""
ENVIRONMENT = {"HOOK_TOKEN": f"{MARK}-token-of-the-hook", "TRON_WEBHOOK_SECRET": f"{MARK}-variable"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with settings and their secrets."""
    folder = tmp_path_factory.mktemp("support")
    (folder / "secret").write_text(f"{MARK}-secret-of-the-webhook\n")
    (folder / "channels").write_text(f"json://{MARK}-second@127.0.0.1:9/{MARK}\n")
    tables = "".join(TABLE.format(program=each, mark=MARK, folder=folder) for each in ("registry", "monitor"))
    (folder / "tron.toml").write_text(f"[monitor.policy]\nderegister = false\n{tables}")
    return folder


@pytest.fixture(scope="module")
def system(folder: Path) -> Iterator[System]:
    """A system with a service that is down, whose agent and events hold secrets."""
    with start_system(folder, "--config", str(folder / "tron.toml"), env=ENVIRONMENT) as running:
        with RegistryClient(running.registry_address) as client:
            client.register(
                "silent",
                name="silent",
                url=f"http://{MARK}@127.0.0.1:1/{MARK}",
                caps=[MARK],
                labels={"token": MARK, MARK: 1},
                heartbeat_interval=0.3,
            )
            client.publish_event("note", message=f"password={MARK}", details={"token": MARK}, service_id="silent")
            # The sinks fail, and their errors name what they were called with.
            wait_until(lambda: client.get_service("silent").liveness == "DOWN", 20, "it is down")
        yield running


def bundle(folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command in `folder`."""
    words = ("support-bundle", *arguments)
    return warm.run("tron_cli", words, os.environ | dict(env or {}), timeout=100, cwd=folder)


def parts(file: Path) -> dict[str, str]:
    """The files in a bundle, by name."""
    found = {}
    with tarfile.open(file) as archive:
        for each in archive.getmembers():
            content = archive.extractfile(each)
            assert content is not None
            found[each.name.removeprefix("tron-support/")] = content.read().decode()
    return found


@pytest.fixture(scope="module")
def made(system: System, folder: Path) -> dict[str, str]:
    """The parts of a bundle of the running system."""
    log = folder / "system.log"
    log.write_text(f"{system.log}\nsink_failing why=http://u:{MARK}@h/{MARK} token={MARK} {MARK}-token-of-the-hook\n")
    arguments = ["--output", str(folder / "bundle.tar.gz"), "--data-dir", str(folder / "data")]
    arguments += ["--ready-file", str(system.ready_file), "--config", str(folder / "tron.toml"), "--log", str(log)]
    done = bundle(folder, *arguments, env=ENVIRONMENT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not in it" not in done.stdout, done.stdout
    assert (folder / "bundle.tar.gz").stat().st_mode & 0o777 == 0o600
    return parts(folder / "bundle.tar.gz")


def test_no_secret_is_in_the_bundle(made: dict[str, str]) -> None:
    for name, text in made.items():
        assert MARK not in text, name
        assert MARK not in name


def test_the_readme_lists_all_that_is_in_it(made: dict[str, str]) -> None:
    assert len(made) > 10
    assert not [name for name in made if name != "README.txt" and f"- {name}: " not in made["README.txt"]]
    assert "Could not be read" not in made["README.txt"]


def test_it_has_what_a_maintainer_asks_for(made: dict[str, str], system: System) -> None:
    document: dict[str, Any] = {name: json.loads(text) for name, text in made.items() if name.endswith(".json")}
    assert document["versions.json"]["packages"]["grpcio"]
    running = {each["program"]: each for each in document["processes.json"] if each["pid"] in _pids(system)}
    assert running.keys() == {"registry", "monitor", "gateway"}
    assert "--metrics-listen" in running["registry"]["flags"]
    assert all(each["threads"] > 0 and each["open_files"] > 0 for each in running.values())
    store = document["store.json"]
    assert store["databases"]["registry/registry.db"]["rows"]["services"] >= 6
    assert store["databases"]["registry/registry.db"]["schema"] > 0
    assert document["services.json"]["services"] >= 6
    assert document["tron.json"]["watching"] is True
    assert document["policy.json"]["policy"]["reconnect_grace"] == 2.0
    assert [each["service"]["service_id"] for each in document["explanations.json"]] == ["silent"]
    assert {each["type"] for each in document["events.json"]} >= {"note", "heartbeat_miss"}
    assert document["gateway.json"]["tron"]["reachable"] is True
    for program in ("registry", "monitor", "gateway"):
        assert f'program="{program}"' in made[f"metrics/{program}.txt"]
    (log,) = (text for name, text in made.items() if name.startswith("logs/"))
    assert "registry_serving" in log


def _pids(system: System) -> set[int]:
    return {int(pid) for pid in system.ready["pids"].values()}


def test_nothing_is_overwritten(folder: Path, made: dict[str, str]) -> None:
    before = (folder / "bundle.tar.gz").read_bytes()
    done = bundle(folder, "-o", "bundle.tar.gz", "--registry", "127.0.0.1:9", "--monitor", "127.0.0.1:9")
    assert done.returncode == 1
    assert "bundle.tar.gz already exists" in done.stderr
    assert (folder / "bundle.tar.gz").read_bytes() == before


def test_it_says_what_it_could_not_read_where_nothing_runs(tmp_path: Path) -> None:
    (tmp_path / "tron.toml").write_text(
        '[registry]\nmetrics_listen = "127.0.0.1:9"\n[monitor]\nmetrics_listen = "off"\n'
    )
    done = bundle(tmp_path, "-o", "b.tar.gz", "--registry", "127.0.0.1:9", "--monitor", "127.0.0.1:9")
    assert done.returncode == 0, done.stderr
    found = parts(tmp_path / "b.tar.gz")
    assert {"README.txt", "versions.json", "settings.json", "processes.json"} <= found.keys()
    missing = found["README.txt"].partition("Could not be read:")[2]
    for name in (
        "store.json",
        "services.json",
        "events.json",
        "tron.json",
        "metrics/registry.txt",
        "metrics/monitor.txt",
    ):
        assert f"- {name}: " in missing
        assert name in done.stdout


def test_settings_that_cannot_be_read_are_named_and_the_rest_is_collected(tmp_path: Path) -> None:
    (tmp_path / "tron.toml").write_text("[registry\n")
    done = bundle(tmp_path, "-o", "b.tar.gz", "--registry", "127.0.0.1:9", "--monitor", "127.0.0.1:9")
    assert done.returncode == 0, done.stderr
    assert "- settings.json: settings file " in parts(tmp_path / "b.tar.gz")["README.txt"]


def test_a_long_log_is_cut_at_its_beginning(tmp_path: Path) -> None:
    log = tmp_path / "long.log"
    log.write_text("first\n" + "x" * 99 + "\n" * 1 + ("a line of the log\n" * 200_000) + "last\n")
    done = bundle(
        tmp_path, "-o", "b.tar.gz", "--registry", "127.0.0.1:9", "--monitor", "127.0.0.1:9", "--log", "long.log"
    )
    assert done.returncode == 0, done.stderr
    text = parts(tmp_path / "b.tar.gz")["logs/1-long.log"]
    assert text.endswith("last\n")
    assert text.startswith("a line of the log\n")
    assert len(text) <= 2 << 20
