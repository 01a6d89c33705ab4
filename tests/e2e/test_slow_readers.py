"""Many alerts for many agents of one stream that is read slowly: beats go on, and each alert arrives or escalates."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tron_client import Agent, Event, RegistryClient
from tron_client.tron_api import MonitorClient

from tests.support.link import link
from tests.support.processes import start_monitor, start_registry
from tests.support.waiting import wait_until

WORDS = "what happened, told at some length. " * 8


@pytest.mark.parametrize(
    ("agents", "parents", "alerts", "bytes_per_second", "escalate_after"),
    [
        (40, 10, 60, 50_000, 60.0),
        pytest.param(500, 200, 1000, 10_000, 60.0, marks=(pytest.mark.endurance, pytest.mark.timeout(3600))),
    ],
)
def test_alerts_that_wait_for_a_slow_reader_cost_no_heartbeat(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    agents: int,
    parents: int,
    alerts: int,
    bytes_per_second: int,
    escalate_after: float,
) -> None:
    caplog.set_level(logging.WARNING)
    with (
        start_registry(tmp_path / "registry") as registry,
        start_monitor(tmp_path / "monitor", registry.address) as monitor,
        RegistryClient(registry.address, timeout=30.0) as client,
        link(registry.address) as way,
    ):
        with MonitorClient(monitor.address) as tron:
            tron.set_policy(escalate_after=escalate_after)
        ids = [f"agent-{number}" for number in range(agents)]

        def publish(recipient: str) -> list[str]:
            return [
                client.publish_event("incident", severity="CRITICAL", recipient=recipient, message=WORDS).alert_id
                for _ in range(alerts)
            ]

        heard: set[str] = set()
        running = [
            Agent(
                service_id,
                registry=way.address,
                heartbeat_interval=2.0,
                register_timeout=0.0,
                on_alert=lambda alert: heard.add(alert.alert_id),
            )
            for service_id in ids
        ]
        for agent in running:
            agent.start()
        wait_until(lambda: all(agent.incarnation for agent in running), 60, "all are registered")
        began = client.list_events(newest=True, limit=1).last_sequence
        way.bytes_per_second = bytes_per_second
        with ThreadPoolExecutor(8) as pool:
            sent = {alert_id for published in pool.map(publish, ids[:parents]) for alert_id in published}

        def open_alerts() -> set[str]:
            """Those that neither their recipient nor anybody else has taken over."""
            return sent - heard - escalated(client)

        wait_until(lambda: not open_alerts(), 60.0 + 10 * escalate_after * (agents > 100), "delivered or escalated")
        suspected = [event for event in events(client, began) if event.service_id in ids and event.type != "incident"]
        assert suspected == []
        assert [line for line in caplog.messages if "READER_TOO_SLOW" in line or "stream_ended" in line] == []
        assert "READER_TOO_SLOW" not in registry.log
        print(f"{len(heard)} of {len(sent)} alerts were delivered, {len(escalated(client) & sent)} escalated")
        for agent in running:
            agent.abandon()


def events(client: RegistryClient, after: int = 0, recipient: str = "") -> list[Event]:
    found: list[Event] = []
    while True:
        page = client.list_events(
            after_sequence=found[-1].sequence if found else after, limit=1000, recipient=recipient
        ).events
        if not page:
            return found
        found += page


def escalated(client: RegistryClient) -> set[str]:
    return {event.alert_id for event in events(client, recipient="operators") if event.details.get("escalated_from")}
