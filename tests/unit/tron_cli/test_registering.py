"""`tron register --catalogue`, as a process, against a registry that answers from a script."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from grid.registry.v1 import registry_service_pb2

from tests.support.canned_registry import Canned, canned_registry
from tests.unit.tron_cli.test_commands import service, tron


@pytest.fixture
def registry() -> Iterator[Canned]:
    """A registry that answers from a script."""
    with canned_registry() as canned:
        yield canned


def registered(registry: Canned) -> list[str]:
    """The ids that were registered, in order."""
    return [each.service.service_id for each in registry.asked(registry_service_pb2.RegisterRequest)]


def test_the_core_services_are_registered_under_the_same_ids_each_time(registry: Canned) -> None:
    for _ in range(2):
        done = tron("register", "--catalogue", "core", at=registry)
        assert done.returncode == 0, done.stderr
    ids = registered(registry)
    assert len(ids) == 12
    assert ids[:6] == ids[6:]
    assert len(set(ids)) == 6
    aider = registry.asked(registry_service_pb2.RegisterRequest)[5].service
    assert (aider.name, aider.url, list(aider.caps)) == (
        "Aider-LCO",
        "http://localhost:6130",
        ["code_editing", "git_operations", "filesystem_access"],
    )
    assert dict(aider.labels) == {"tier": "core", "category": "executor", "port": 6130}
    assert (aider.heartbeat_interval.seconds, aider.ttl.seconds) == (30, 90)


def test_who_is_connected_is_left_alone(registry: Canned) -> None:
    registry.services = [service("tron-heartbeat-monitor", connected=True), service("service-router")]
    document = json.loads(tron("register", "--catalogue", "core", "--json", at=registry).stdout)
    outcomes = {each["service_id"]: each["outcome"] for each in document["services"]}
    assert outcomes["tron-heartbeat-monitor"] == "present"
    assert outcomes["service-router"] == "registered"
    assert "tron-heartbeat-monitor" not in registered(registry)


def test_one_of_them_is_chosen_by_its_key(registry: Canned) -> None:
    assert tron("register", "--catalogue", "core", "--service", "router", at=registry).returncode == 0
    assert registered(registry) == ["service-router"]


def test_it_says_who_answers_at_its_address(registry: Canned, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as serving, socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # bound, and nobody listens
        urls = [f"http://127.0.0.1:{each.getsockname()[1]}" for each in (serving, silent)] + ["internal://x"]
        rows = [f'[[service]]\nservice_id = "{n}"\nname = "{n}"\nurl = "{url}"\n' for n, url in enumerate(urls)]
        path = tmp_path / "mine.toml"
        path.write_text("".join(rows))
        document = json.loads(tron("register", "--catalogue", str(path), "--json", at=registry).stdout)
    assert [each["answers"] for each in document["services"]] == [True, False, None]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--catalogue", "core", "--service", "x"], "'x' is not one of tron, resource_manager"),
        (["--catalogue", "core", "--name", "n"], "this option cannot be combined with --catalogue"),
        (["--catalogue", "core", "--label", "a=b"], "this option cannot be combined with --catalogue"),
        (["--name", "n", "--service", "x"], "--service requires --catalogue"),
        ([], "--name or --catalogue is required"),
        (["--catalogue", "cor"], "no built-in catalogue with this name (built-in catalogues: core, pas)"),
    ],
)
def test_a_mistake_is_a_usage_error(words: list[str], told: str) -> None:
    done = tron("register", *words)
    assert done.returncode == 2
    assert told in " ".join(done.stderr.replace("│", " ").split())
