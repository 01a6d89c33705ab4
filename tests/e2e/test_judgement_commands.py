"""`tron selftest`, `explain`, `policy`, `maintenance`, `stats` against a whole system."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tron_client import MonitorClient, RegistryClient, ServiceNotFound

from tests.e2e.raw_agent import unique
from tests.support.agents import agents
from tests.support.commands import run_tron
from tests.support.processes import System, start_registry, start_system
from tests.support.waiting import wait_until
from tests.support.watched import Watched, start_watched


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A registry and TRON."""
    with start_watched(tmp_path_factory.mktemp("commands")) as running:
        yield running


def tron(system: Watched | System, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    # The registry's address is enough: it knows where TRON is.
    return run_tron(*arguments, env=os.environ | {"TRON_REGISTRY": system.registry_address})


def asked(system: Watched | System, *arguments: str) -> dict[str, Any]:
    """What a command answers as JSON."""
    done = tron(system, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_the_self_test_passes_all_four_phases_and_leaves_nothing_behind(system: Watched) -> None:
    answer = asked(system, "selftest")
    assert answer["passed"]
    names = ["connectivity", "simulated timeout", "marked down", "parent alerted"]
    assert [(each["name"], each["passed"]) for each in answer["phases"]] == [(name, True) for name in names]
    left = asked(system, "services")["services"]
    assert [each["service_id"] for each in left if each["service_id"].startswith("selftest")] == []


def test_explain_says_why_in_words_and_as_json(system: Watched) -> None:
    child = unique("explained")
    with agents(
        system.registry_address, {"service_id": child, "heartbeat_interval": 1.0, "reconnect_grace": 30.0}
    ) as host:
        with MonitorClient(system.tron_address) as client:
            wait_until(lambda: client.explain(child).rule != "not_watched", 10, "TRON watches it")
        told = tron(system, "explain", child)
        assert told.returncode == 0
        assert f"{child} is alive: last heartbeat" in told.stdout
        assert "suspect (a heartbeat is missed)" in told.stdout
        assert "\nMargin  " in told.stdout
        host.kill()
        with MonitorClient(system.tron_address) as client:
            wait_until(lambda: client.explain(child).evidence["state"] == "SUSPECT", 10, "it is suspect")
        answer = asked(system, "explain", child)
        assert answer["rule"].startswith("stream_broke")
        assert answer["deadlines"][0]["what"] == "down"
        assert 0 < answer["deadlines"][0]["due_in"] <= 30
    unknown = tron(system, "explain", "nobody")
    assert (unknown.returncode, unknown.stderr) == (1, "tron: no service has the id 'nobody'\n")


def test_explain_says_what_became_of_a_service_that_was_given_up(system: Watched) -> None:
    child = unique("given-up")
    with agents(system.registry_address, {"service_id": child, "heartbeat_interval": 1.0}) as host:
        host.kill()
        with RegistryClient(system.registry_address) as client:
            wait_until(
                lambda: child not in {each.service_id for each in client.list_services().services},
                20,
                "it is deregistered",
            )
    told = tron(system, "explain", child).stderr
    assert told.startswith(f"tron: no service has the id '{child}'; last: ")
    assert "(service_deregistered, " in told


def test_a_policy_is_changed_at_once_and_for_good(tmp_path: Path) -> None:
    with start_system(tmp_path) as system:
        refusal = tron(system, "policy", "reattach_window=3")
        assert refusal.returncode == 1
        assert "tron: reattach_window: 3 s is too short" in refusal.stderr
        assert asked(system, "policy", "escalate-after=12", "orphan_policy=adopt")["policy"]["escalate_after"] == 12
        asked(system, "policy", "--service", "a", "--force", "misses_before_down=4", "misses_before_deregister=9")
        old = system.kill_child("monitor")
        system.wait_restarted("monitor", old)
        policy = asked(system, "policy")["policy"]
        assert (policy["escalate_after"], policy["orphan_policy"], policy["misses_before_down"]) == (12, "adopt", 2)
        own = asked(system, "policy", "--service", "a")["policy"]
        assert (own["misses_before_down"], own["escalate_after"]) == (4, 12)


def test_an_override_is_listed_says_where_it_comes_from_and_is_unset(system: Watched) -> None:
    child = unique("patient")
    with agents(system.registry_address, {"service_id": child}):
        set_ = asked(system, "policy", "--service", child, "reconnect_grace=15", "busy_cap=10min")
        assert (set_["policy"]["reconnect_grace"], set_["policy"]["busy_cap"]) == (15, 600)
        assert (set_["sources"]["busy_cap"], set_["sources"]["guard_min"]) == ("service_runtime", "built_in")
        differs = {"reconnect_grace": 15, "busy_cap": 600}
        for command in (("policy", "--service"), ("policy", "--overrides")):
            (listed,) = asked(system, *command)["overrides"]
            assert (listed["service_id"], listed["policy"], listed["watched"]) == (child, differs, True)
        shown = tron(system, "policy", "--service", child).stdout
        assert "override, set at run time" in shown
        after = asked(system, "policy", "--service", child, "reconnect_grace=default", "busy_cap=default")
        assert (after["policy"]["reconnect_grace"], after["sources"]["reconnect_grace"]) == (2, "built_in")
        assert asked(system, "policy", "--service")["overrides"] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("reconnect_grace=",),
            "reconnect_grace: nothing is given; the value must be a number of seconds from 0 to 86400",
        ),
        (("--service", "typo"), "no service has the id 'typo'"),
        (
            ("--service", "typo", "flap_count=7"),
            "no service has the id 'typo'; use --force to set thresholds of a service that is not registered yet",
        ),
        (("--service", "service-registry", "guard_min=7"), "guard_min: the threshold applies to all services together"),
    ],
)
def test_what_is_wrong_with_a_threshold_is_said_in_its_words(
    system: Watched, arguments: tuple[str, ...], said: str
) -> None:
    refusal = tron(system, "policy", *arguments)
    assert (refusal.returncode, refusal.stdout) == (1, "")
    assert refusal.stderr.startswith(f"tron: {said}")


def test_maintenance_is_shown_and_ended(system: Watched) -> None:
    child = unique("maintained")
    with agents(system.registry_address, {"service_id": child}):
        held = asked(system, "maintenance", child, "--for", "5", "--reason", "new disk")["maintenance"]
        assert held["reason"] == "new disk"
        (listed,) = asked(system, "maintenance")["held"]
        assert (listed["service_id"], listed["maintenance"]) == (child, held)
        assert "new disk" in tron(system, "maintenance").stdout
        with MonitorClient(system.tron_address) as client:
            wait_until(lambda: client.get_stats().maintained_services == 1, 10, "TRON knows")
        assert asked(system, "stats")["maintained_services"] == 1
        assert "alerts about the service are held for maintenance (new disk)" in tron(system, "explain", child).stdout
        assert asked(system, "maintenance", child, "--off")["maintenance"] is None
        asked(system, "maintenance", child)
    tron(system, "deregister", child)
    assert "not registered" in tron(system, "maintenance").stdout
    assert asked(system, "maintenance", child, "--off")["maintenance"] is None, "it outlived its service"
    assert tron(system, "maintenance").stdout == "No service is under maintenance.\n"


@pytest.mark.parametrize(
    "words",
    [
        ["stats"],
        ["explain", "service-registry"],
        ["policy"],
        ["maintenance", "nobody-by-this-id", "--off"],
        ["alerts"],
        ["services"],
    ],
)
def test_the_address_of_the_registry_is_enough_for_every_command(system: Watched, words: list[str]) -> None:
    # What was typed comes before what the environment says; nothing listens there.
    env = os.environ | {"TRON_REGISTRY": "127.0.0.1:1", "TRON_MONITOR": "127.0.0.1:1"}
    done = run_tron(*words, "--registry", system.registry_address, env=env)
    assert "127.0.0.1:1" not in done.stderr.split()
    assert done.returncode == (1 if words[0] == "maintenance" else 0), done.stderr


def test_a_registry_that_knows_no_tron_says_so(tmp_path: Path) -> None:
    with start_registry(tmp_path / "registry") as registry:
        env = {name: value for name, value in os.environ.items() if name != "TRON_MONITOR"}
        done = run_tron("stats", "--registry", registry.address, env=env)
        with pytest.raises(ServiceNotFound):
            MonitorClient(registry=registry.address)
    hint = "if TRON is running, give its address with --monitor"
    assert (done.returncode, done.stderr) == (
        1,
        f"tron: TRON is not registered at the registry {registry.address}; {hint}\n",
    )


def test_the_client_of_tron_finds_it_through_the_registry(system: Watched) -> None:
    with MonitorClient(registry=system.registry_address) as tron:
        assert tron.get_stats().watching


def test_the_self_test_names_the_phase_in_which_it_fails(system: Watched) -> None:
    """The last test here: a TRON that was stopped evaluates nobody for a while."""
    system.monitor.signal(signal.SIGSTOP)
    try:
        done = tron(system, "selftest", "--patience", "2")
    finally:
        system.monitor.signal(signal.SIGCONT)
    assert done.returncode == 1
    assert "FAIL  1 connectivity" in done.stdout
    assert "TRON at" in done.stdout
    assert done.stdout.count("not reached") == 3
