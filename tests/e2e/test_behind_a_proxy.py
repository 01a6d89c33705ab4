"""The whole system where the environment names a proxy that leads nowhere: nothing on loopback may go through it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from tron_client import Agent, MonitorClient, RegistryClient

from tests.support.commands import run_tron
from tests.support.processes import GATEWAY_FLAGS, start_system
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

NOWHERE = "http://127.0.0.1:9"
PROXIES = {f"{name}_proxy": NOWHERE for name in ("grpc", "http", "https", "all")}
PROXIES |= {name.upper(): url for name, url in PROXIES.items()}
OWN = {"service-registry", "tron-heartbeat-monitor"}


def test_everything_on_loopback_is_reached_without_the_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with start_system(tmp_path, env=PROXIES) as system:
        for name, url in PROXIES.items():
            monkeypatch.setenv(name, url)
        with RegistryClient(system.registry_address) as client:

            def alive() -> set[str]:
                return {each.service_id for each in client.list_services(liveness="ALIVE").services}

            # All programs reach the registry, and TRON reaches it too: it judges them alive.
            wait_until(lambda: len(alive()) >= 5 and alive() >= OWN, 30, "all five programs")
        with MonitorClient(system.tron_address) as tron:
            assert tron.get_stats().watching
        with httpx.Client(trust_env=False, timeout=10) as direct:
            for key in GATEWAY_FLAGS:
                assert direct.get(system.url(key) + "/health").status_code == 200, key
            status = direct.get(system.url("registry_http") + "/v1/status").json()
            assert status["live"] is True
        with Agent("worker", registry=system.registry_address, heartbeat_interval=0.5) as agent:
            assert agent.healthy
            _command_reaches("services", "--registry", system.registry_address, expected="worker")
            _command_reaches("stats", "--monitor", system.tron_address, expected="total_services")
        both = ("--registry", system.registry_address, "--monitor", system.tron_address)
        _command_reaches("selftest", *both, expected='"passed": true')


def _command_reaches(*arguments: str, expected: str) -> None:
    done = run_tron(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout


def test_elsewhere_the_error_names_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", NOWHERE)
    done = run_tron("services", "--registry", "registry.example:6122")
    assert done.returncode == 1
    assert done.stderr.strip() == (
        f"tron: no registry is running at registry.example:6122: the proxy {NOWHERE} (from http_proxy) "
        "refuses connections; set no_proxy=registry.example to bypass it"
    )
