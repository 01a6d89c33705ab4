"""The drop-in for legacy services."""

from __future__ import annotations

import importlib

import pytest
from tron_client import (
    create_registry_heartbeat_lifespan,
    start_registry_heartbeat,
    stop_registry_heartbeat,
)
from tron_client.testing import FakeRegistry


async def test_two_services_of_one_process_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeRegistry() as fake:
        monkeypatch.setenv("TRON_REGISTRY", fake.address)
        for each in ("a", "b"):
            assert await start_registry_heartbeat(each, each, "agent", "production", "", ["x"], {"parent": "p"})
        assert set(fake.services) == {"a", "b"}
        await stop_registry_heartbeat("a")
        assert set(fake.services) == {"b"}
        await stop_registry_heartbeat()
        assert set(fake.goodbyes) == {"a", "b"}


async def test_a_lifespan_is_registered_while_it_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeRegistry() as fake:
        monkeypatch.setenv("TRON_REGISTRY", fake.address)
        lifespan = create_registry_heartbeat_lifespan("a", "A", "tool", "staging", "http://a", ["x"], ttl_s=60)
        async with lifespan(None):
            assert fake.services["a"].ttl == 60
        assert fake.services == {}


def test_renamed_modules_keep_their_old_names_for_one_release() -> None:
    for old, new, name in (
        ("heartbeat", "compat", "start_registry_heartbeat"),
        ("monitor", "tron_api", "MonitorClient"),
    ):
        former, renamed = (importlib.import_module(f"tron_client.{module}") for module in (old, new))
        assert getattr(former, name) is getattr(renamed, name)
