"""A system that is stopped on purpose raises no alert: its programs and the agents of its demo say goodbye."""

from __future__ import annotations

from pathlib import Path

from tron_client import RegistryClient

from tests.support.processes import start_system
from tests.support.stored_events import stored_alerts
from tests.support.waiting import wait_until

OWN = {"service-registry", "tron-heartbeat-monitor", "service-gateway", "service-event-stream", "service-hmi", "demo-1"}


def test_a_clean_stop_raises_no_alert(tmp_path: Path) -> None:
    fleet = tmp_path / "fleet.toml"
    fleet.write_text('[[service]]\nservice_id = "demo-1"\nname = "demo-1"\ntype = "agent"\n')
    with (
        start_system(tmp_path, "--demo", "--catalogue", str(fleet)) as system,
        RegistryClient(system.registry_address) as client,
    ):
        wait_until(
            lambda: {each.service_id for each in client.list_services().services if each.liveness == "ALIVE"} == OWN,
            20,
            "all programs are evaluated",
        )
        assert system.stop() == 0, system.log
    assert stored_alerts(tmp_path / "data" / "registry") == []
    assert "service_suspected" not in system.log
