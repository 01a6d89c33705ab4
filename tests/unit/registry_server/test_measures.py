"""What the registry counts of itself, as it happens."""

from __future__ import annotations

from grid_model.event import OPERATORS, Severity

from registry_server.core.mailbox import Mailboxes
from registry_server.core.registry import Registry
from tests.support.end_stream import end_stream
from tests.unit.registry_server.builders import EPOCH, Grid, make_event


def publish(grid: Grid, alert_id: str, recipient: str = "parent", severity: Severity = Severity.CRITICAL) -> None:
    """An alert for somebody, that occurred now."""
    now = grid.later()
    event = make_event("service_down", alert_id=alert_id, recipient=recipient, severity=severity, occurred_at=now.wall)
    grid.registry.publish(event, now)


def test_the_oldest_alert_that_waits_is_known_by_severity() -> None:
    grid = Grid()
    publish(grid, "1", severity=Severity.INFO)
    publish(grid, "2")
    publish(grid, "3")
    waiting = grid.registry.unacknowledged
    assert waiting.counts() == {("info",): 1, ("warning",): 0, ("critical",): 2}
    assert waiting.ages(EPOCH + 10) == {("info",): 9.0, ("warning",): 0.0, ("critical",): 8.0}
    grid.registry.acknowledge("2", "parent", grid.later())
    assert waiting.ages(EPOCH + 10)[("critical",)] == 7.0
    grid.registry.acknowledge("3", "parent", grid.later())
    assert waiting.counts()[("critical",)] == 0
    assert waiting.ages(EPOCH + 10)[("critical",)] == 0.0


def test_an_alert_of_the_future_has_no_age_below_zero() -> None:
    grid = Grid()
    publish(grid, "1")
    assert grid.registry.unacknowledged.ages(EPOCH - 3600)[("critical",)] == 0.0


def test_each_of_two_recipients_has_a_copy_that_waits() -> None:
    grid = Grid()
    publish(grid, "1", "parent")
    publish(grid, "1", OPERATORS)
    assert grid.registry.unacknowledged.counts()[("critical",)] == 2
    grid.registry.acknowledge("1", "", grid.later())
    assert grid.registry.unacknowledged.counts()[("critical",)] == 0


def test_a_copy_that_makes_room_is_counted_and_waits_no_more() -> None:
    grid = Grid(Registry(mailboxes=Mailboxes(waiting=1)))
    publish(grid, "1", severity=Severity.WARNING)
    publish(grid, "2", severity=Severity.WARNING)
    assert grid.registry.measures.copies_dropped == 1
    assert grid.registry.unacknowledged.counts()[("warning",)] == 1


def test_the_time_until_an_acknowledgement_is_counted_once() -> None:
    grid = Grid()
    publish(grid, "1")
    grid.later(3.0)
    grid.registry.acknowledge("1", "parent", grid.later())
    grid.registry.acknowledge("1", "parent", grid.later())
    bins = grid.registry.measures.acknowledged_after.bins()
    assert (sum(bins.counts), bins.total) == (1, 4.0)


def test_the_time_until_a_copy_was_written_is_counted_while_it_waits() -> None:
    grid = Grid()
    publish(grid, "1")
    grid.registry.alert_written("1", "parent", grid.later(0.5))
    grid.registry.acknowledge("1", "parent", grid.later())
    grid.registry.alert_written("1", "parent", grid.later())
    bins = grid.registry.measures.delivered_after.bins()
    assert (sum(bins.counts), bins.total) == (1, 0.5)


def test_streams_are_counted_by_the_reason_of_their_end() -> None:
    grid = Grid()
    grid.register("a", session=1)
    grid.register("b", session=2)
    end_stream(grid.registry, 1, grid.later())
    grid.registry.end_session(2, "ERROR_REASON_SILENT_STREAM")
    end_stream(grid.registry, 2, grid.later())
    assert grid.registry.measures.streams_ended == {("client",): 1, ("silent_stream",): 1}


def test_a_type_of_event_that_agents_made_up_is_counted_as_other() -> None:
    grid = Grid()
    grid.registry.publish(make_event("made up"), grid.later())
    publish(grid, "1")
    events = grid.registry.measures.events
    assert (events[("other",)], events[("service_down",)], ("made up",) in events) == (1, 1, False)


def test_only_accepted_registrations_are_counted() -> None:
    grid = Grid()
    grid.register("a")
    held = grid.register("a").incarnation
    grid.register("a", incarnation=held)
    assert grid.registry.measures.registrations == 3


def test_the_age_of_an_alert_survives_a_restart() -> None:
    grid = Grid()
    publish(grid, "1")
    registry = Registry()
    registry.restore([], [], [], grid.registry.all_waiting(), grid.later(100.0))
    assert registry.unacknowledged.ages(EPOCH + 101)[("critical",)] == 100.0
