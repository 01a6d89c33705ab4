"""TRON's metrics: read in the same time however many services there are, and true of its guards."""

from __future__ import annotations

from typing import Any

from grid_model.liveness import Liveness, LivenessCause
from grid_model.observation import Frame
from grid_model.verdict import VerdictOutcome

from grid_hosting.telemetry.telemetry import read_all
from tests.support.call_count import count_calls
from tests.unit.tron.builders import POLICY, WINDOW, make_facts
from tron import messages
from tron.facts import Kind
from tron.metrics import monitor_metrics
from tron.monitor import Monitor
from tron.policy import Policies
from tron.stats import HELD, Stats


class Silent:
    """What the monitor talks to, and what answers nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


def make_monitor() -> Monitor:
    """A monitor that is not running."""
    anything: Any = Silent()
    return Monitor(anything, "tron", Policies(POLICY, {}), anything, anything, Stats())


def values(monitor: Monitor) -> dict[tuple[str, ...], object]:
    """All values of now, by name and labels."""
    metrics = monitor_metrics(monitor)
    readings = read_all(metrics)
    assert len(readings) == len(metrics)
    return {(each.metric.name, *point.labels): point.value for each in readings for point in each.points}


def test_a_scrape_does_not_visit_the_services() -> None:
    monitor = make_monitor()
    metrics = monitor_metrics(monitor)
    few = count_calls(lambda: read_all(metrics))
    for number in range(900):
        monitor.judge.detector.observe(make_facts(f"service-{number}", incarnation=number))
    assert values(monitor)["tron_monitor_services", "alive"] == 900
    assert count_calls(lambda: read_all(metrics)) == few


def test_services_that_are_not_alive_are_failing() -> None:
    monitor = make_monitor()
    monitor.judge.detector.observe(make_facts("a", incarnation=1))
    monitor.judge.detector.observe(make_facts("b", incarnation=2, judged=Liveness.DOWN))
    monitor.judge.detector.observe(make_facts("c", incarnation=3, judged=Liveness.SUSPECT))
    found = values(monitor)
    assert (found["tron_monitor_services", "alive"], found["tron_monitor_services", "failing"]) == (1, 2)


def test_the_hold_counts_down_from_the_end_of_a_stall() -> None:
    monitor = make_monitor()
    judge = monitor.judge
    judge.learn(Frame(100.0, 98.0, (make_facts(),), (), (), (), (), snapshot_complete=True))
    judge.decide(98.0, 1_700_000_100.0)
    assert values(monitor)["tron_monitor_hold_seconds",] == WINDOW - 2.0
    judge.learn(Frame(200.0, 98.0, (), (), (), (), ()))
    judge.decide(98.0, 1_700_000_200.0)
    assert values(monitor)["tron_monitor_hold_seconds",] == 0.0


def test_verdicts_are_counted_by_kind_cause_and_outcome() -> None:
    stats = Stats()
    stats.verdict(Kind.DOWN, LivenessCause.SILENT, VerdictOutcome.APPLIED)
    stats.verdict(Kind.DOWN, LivenessCause.SILENT, VerdictOutcome.APPLIED)
    stats.verdict(Kind.DOWN, LivenessCause.SILENT, VerdictOutcome.STALE)
    stats.verdict(Kind.RECOVER, LivenessCause.NONE, None)
    assert stats.verdicts == {
        ("down", "silent", "applied"): 2,
        ("down", "silent", "stale"): 1,
        ("recover", "none", "unknown"): 1,
    }


def test_every_reason_to_hold_an_alert_has_a_label() -> None:
    reasons = {value for name, value in vars(messages).items() if name.startswith("HELD_")}
    assert HELD.keys() == reasons
    stats = Stats()
    for reason in reasons:
        stats.held(reason)
    assert set(stats.alerts_held.values()) == {1}
