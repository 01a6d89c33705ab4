"""The metrics of a real system: what is exposed is what is documented, Prometheus takes it, and the values are true."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from tron_client import RegistryClient

from tests.support.agents import agents
from tests.support.binaries import find_binary
from tests.support.exposition import PORTS, families, scrape, value
from tests.support.http_receiver import Receiver, start_receiver
from tests.support.processes import System, start_system
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
LABELS = {
    *("program", "version", "python", "cause", "queue", "sink", "outcome", "reason", "type", "severity", "follows"),
    *("state", "kind", "port", "le"),
}
"""Each has few values, known beforehand."""

CONFIG = """
[monitor.sinks]
[[monitor.sinks.webhook]]
url = "http://127.0.0.1:9/hook"
secret_file = "{folder}/secret"
[registry.sinks]
[[registry.sinks.webhook]]
url = "http://127.0.0.1:9/hook"
secret_file = "{folder}/secret"
"""


@pytest.fixture(scope="module")
def collector() -> Iterator[Receiver]:
    """A collector of OpenTelemetry."""
    with start_receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, collector: Receiver) -> Iterator[System]:
    """A system in which an agent died, and its parent acknowledged that."""
    folder = tmp_path_factory.mktemp("metrics")
    (folder / "secret").write_text("a secret of sixteen bytes")
    (folder / "tron.toml").write_text(CONFIG.format(folder=folder))
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url.removesuffix("/hook"), "OTEL_METRIC_EXPORT_INTERVAL": "500"}
    with start_system(folder, "--config", str(folder / "tron.toml"), env=env) as running:
        grace = {"reconnect_grace": 0.1, "heartbeat_interval": 0.5}
        with agents(running.registry_address, {"service_id": "a parent"}):
            with agents(running.registry_address, {"service_id": "a child", "parent": "a parent", **grace}) as child:
                wait_until(lambda: value(scrape(running, "monitor"), "tron_monitor_services") >= 6, 15, "all watched")
                child.kill()
            with RegistryClient(running.registry_address) as client:
                wait_until(
                    lambda: [e for e in client.list_events(limit=100).events if e.type == "service_down"], 15, "down"
                )
                for event in client.list_events(limit=100).events:
                    if event.recipient:
                        client.acknowledge(event.alert_id, event.recipient)
            yield running


def documented() -> set[str]:
    """The names in the table of docs/operations.md."""
    section = (ROOT / "docs" / "operations.md").read_text().partition("\n## Metrics\n")[2].partition("\n## ")[0]
    return set(re.findall(r"^\| `([a-z_]+)` \|", section, re.MULTILINE))


def test_every_metric_is_documented_and_every_documented_one_is_exposed(system: System) -> None:
    exposed = {name for program in PORTS for name in families(scrape(system, program))}
    assert exposed == documented()


def test_the_documented_types_and_labels_are_those_of_the_pages(system: System) -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    for program in PORTS:
        for name, family in families(scrape(system, program)).items():
            row = re.search(rf"^\| `{name}` \| (\w+) \|([^|]*)\|", text, re.MULTILINE)
            assert row is not None, name
            labels = {label for sample in family.samples for label in sample.labels} - {"le"}
            assert (row[1], set(re.findall(r"`(\w+)`", row[2]))) == (family.type, labels), name


@pytest.mark.needs("promtool")
@pytest.mark.parametrize("program", PORTS)
def test_promtool_takes_the_page(system: System, program: str) -> None:
    promtool = find_binary("promtool")
    assert promtool is not None
    page = scrape(system, program)
    done = subprocess.run([promtool, "check", "metrics"], input=page, text=True, capture_output=True, check=False)
    # Its one lint that we break is about a name that Prometheus' own client has in every language.
    said = [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("process_")]
    assert said == []


@pytest.mark.parametrize("program", PORTS)
def test_no_label_holds_what_an_agent_made_up(system: System, program: str) -> None:
    samples = [sample for family in families(scrape(system, program)).values() for sample in family.samples]
    assert {label for sample in samples for label in sample.labels} <= LABELS
    assert not [sample for sample in samples for text in sample.labels.values() if text in ("a parent", "a child")]


def test_a_death_is_counted_from_the_verdict_to_the_acknowledgement(system: System) -> None:
    registry, monitor = scrape(system, "registry"), scrape(system, "monitor")
    down = {"kind": "down", "cause": "disconnected", "outcome": "applied"}
    assert value(monitor, "tron_monitor_verdicts_total", down) == 1
    assert value(monitor, "tron_monitor_services", {"state": "failing"}) <= 1
    assert value(monitor, "tron_monitor_alerts_total") >= 2
    assert value(registry, "tron_registry_events_total", {"type": "service_down"}) >= 1
    assert value(registry, "tron_registry_streams_ended_total", {"reason": "client"}) >= 1
    assert value(registry, "tron_registry_alert_delivery_seconds_count") >= 2
    assert value(registry, "tron_registry_alert_acknowledgement_seconds_count") >= 1
    assert value(registry, "tron_registry_registrations_total") >= 6
    assert value(registry, "tron_registry_commit_seconds_count") >= 1


def test_the_state_of_a_healthy_system_is_shown(system: System) -> None:
    assert value(scrape(system, "registry"), "tron_registry_watched") == 1
    assert value(scrape(system, "registry"), "tron_registry_observer_lag_seconds") < 5
    assert value(scrape(system, "monitor"), "tron_monitor_watching") == 1
    assert value(scrape(system, "gateway"), "tron_gateway_live") == 1
    before = value(scrape(system, "registry"), "tron_registry_heartbeats_total")
    wait_until(lambda: value(scrape(system, "registry"), "tron_registry_heartbeats_total") > before, 15, "heartbeats")


def test_every_queue_has_a_bound_above_it(system: System) -> None:
    for program in PORTS:
        found = families(scrape(system, program))
        lengths = {each.labels["queue"]: each.value for each in found["tron_queue_length"].samples}
        bounds = {each.labels["queue"]: each.value for each in found["tron_queue_bound"].samples}
        assert lengths.keys() == bounds.keys()
        assert lengths
        assert all(lengths[queue] <= bound for queue, bound in bounds.items())


def test_the_newest_format_is_spoken_too(system: System) -> None:
    for key in PORTS.values():
        headers = {"accept": "application/openmetrics-text; version=1.0.0"}
        answer = httpx.get(f"{system.url(key)}/metrics", headers=headers, timeout=10)
        assert answer.headers["content-type"].startswith("application/openmetrics-text")
        assert answer.text.endswith("# EOF\n")


def test_a_collector_receives_what_prometheus_reads(system: System, collector: Receiver) -> None:
    exposed = {f"tron-{program}": set(families(scrape(system, program))) for program in PORTS}
    wanted = {
        program: {name.removesuffix("_total") for name in names if not name.startswith("process_")}
        for program, names in exposed.items()
    }

    def sent() -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for delivery in collector.taken[-6:]:
            message = ExportMetricsServiceRequest.FromString(delivery.body)
            for resource in message.resource_metrics:
                names = {metric.name for scope in resource.scope_metrics for metric in scope.metrics}
                attributes = {each.key: each.value.string_value for each in resource.resource.attributes}
                found[attributes["service.name"]] = names
        return found

    wait_until(lambda: sent() == wanted, 15, "all three programs sent all their metrics")


def test_a_stopped_tron_is_seen_by_the_registry(system: System) -> None:
    pid = system.child_pid("monitor")
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: value(scrape(system, "registry"), "tron_registry_watched") == 0, 15, "nobody watches")
        lag = "tron_registry_observer_lag_seconds"
        wait_until(lambda: value(scrape(system, "registry"), lag) > 1, 15, "the lag grows")
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: value(scrape(system, "registry"), "tron_registry_watched") == 1, 15, "TRON watches again")


def test_a_stall_of_the_registry_is_counted_and_holds_what_was_known_before(system: System) -> None:
    pid = system.child_pid("registry")
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: value(scrape(system, "gateway"), "tron_gateway_stale_seconds") > 0, 15, "no news")
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: value(scrape(system, "registry"), "tron_registry_stalls_total") >= 1, 15, "a stall")
    assert value(scrape(system, "registry"), "tron_registry_stalled_seconds_total") > 1
    wait_until(lambda: value(scrape(system, "monitor"), "tron_monitor_hold_seconds") > 0, 15, "evidence is held")
    wait_until(lambda: value(scrape(system, "gateway"), "tron_gateway_live") == 1, 15, "the gateway follows again")


def test_a_program_that_is_restarted_serves_its_metrics_where_they_were(system: System) -> None:
    address = system.ready["tron_metrics"]
    system.wait_restarted("monitor", system.kill_child("monitor"))
    assert system.ready["tron_metrics"] == address
    assert families(scrape(system, "monitor"))


def test_a_port_in_use_stops_no_program(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        with start_system(tmp_path, "--registry-metrics-listen", taken, "--tron-metrics-listen", "off") as system:
            assert (system.ready["registry_metrics"], system.ready["tron_metrics"]) == ("", "")
            assert system.log.count("metrics_not_served") == 1
            assert f"{taken} is in use" in system.log
            wait_until(lambda: value(scrape(system, "gateway"), "tron_gateway_watched") == 1, 15, "the system works")
