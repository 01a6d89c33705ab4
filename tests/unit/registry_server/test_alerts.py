"""An alert reaches its recipient over the stream that it holds, at least once, until that stream acknowledges."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from grid_model.event import Event, Severity
from grid_model.liveness import LivenessCause
from grid_model.verdict import AlertCopy, VerdictKind

from registry_server.core.effects import Acknowledge, Alert, AppendEvent, Effects, Registered
from registry_server.core.facts import facts_of
from registry_server.core.mailbox import Mailboxes
from registry_server.core.registry import Registry
from tests.unit.registry_server.builders import EPOCH, Grid, lines, make_event


@pytest.fixture
def grid() -> Grid:
    """A registry in which a boss (named chief) listens on stream 1."""
    grid = Grid()
    grid.register("boss", 1, name="chief")
    grid.take()
    return grid


def alerts(effects: Effects, session: int = 1) -> list[str]:
    """The ids of the alerts that go out on a stream."""
    return [message.event.alert_id for to, message in effects.sends if to == session and isinstance(message, Alert)]


def publish(grid: Grid, alert_id: str, recipient: str) -> tuple[Event, bool]:
    """Publish an alert."""
    return grid.registry.publish(make_event("service_down", alert_id=alert_id, recipient=recipient), grid.later(0.0))


@pytest.mark.parametrize("word", ["boss", "chief"])
def test_an_alert_goes_out_at_once_to_an_id_or_a_unique_name(grid: Grid, word: str) -> None:
    event, delivered = publish(grid, "x", word)
    assert delivered
    effects = grid.take()
    assert alerts(effects) == ["x"]
    assert event.recipient == lines(effects, AppendEvent)[0].event.recipient == "boss"


def test_a_verdicts_alert_goes_to_the_parent_as_declared(grid: Grid) -> None:
    grid.register("child", 2, parent="chief")
    grid.take()
    result = grid.judge(VerdictKind.SUSPECT, "child", alert=make_event("service_suspect", recipient="chief"))
    assert result.delivered
    assert alerts(grid.take()) == ["service_suspect"]


def test_an_event_is_recorded_with_the_time_of_the_registry_whatever_time_it_has(grid: Grid) -> None:
    now = grid.later(5.0)
    grid.registry.publish(make_event(occurred_at=1.0), now)
    (append,) = lines(grid.take(), AppendEvent)
    assert (append.event.occurred_at, append.recorded_at) == (1.0, now.wall)


def test_an_event_without_a_recipient_goes_to_the_log_alone(grid: Grid) -> None:
    event, delivered = publish(grid, "x", "")
    effects = grid.take()
    assert (event.sequence, delivered, effects.sends) == (1, False, [])
    assert lines(effects, AppendEvent) == [AppendEvent(event)]


def test_an_alert_to_a_disconnected_parent_waits_for_its_return(grid: Grid) -> None:
    grid.close(1)
    _, delivered = publish(grid, "x", "boss")
    assert not delivered
    grid.take()
    grid.register("boss", 2, name="chief")
    effects = grid.take()
    assert isinstance(effects.sends[0][1], Registered)
    assert alerts(effects, 2) == ["x"]


@pytest.mark.parametrize("word", ["late", "latecomer"])
def test_an_alert_to_a_parent_that_comes_later_waits_for_it(grid: Grid, word: str) -> None:
    _, delivered = publish(grid, "x", word)
    assert not delivered
    grid.register("late", 5, name="latecomer")
    assert alerts(grid.take(), 5) == ["x"]


def test_an_ambiguous_name_is_nobody_until_one_is_left(grid: Grid) -> None:
    grid.register("boss2", 2, name="chief")
    grid.take()
    _, delivered = publish(grid, "x", "chief")
    assert not delivered
    assert grid.take().sends == []
    grid.registry.deregister("boss", "", grid.later())
    assert alerts(grid.take(), 2) == ["x"]


def test_an_unacknowledged_alert_comes_again_on_the_next_stream_only(grid: Grid) -> None:
    publish(grid, "x", "boss")
    publish(grid, "y", "boss")
    grid.registry.acknowledge_on_stream(1, ["x"], grid.later())
    grid.beat(1, "boss")
    assert alerts(grid.take()) == ["x", "y"]
    grid.close(1)
    grid.register("boss", 2, name="chief")
    assert alerts(grid.take(), 2) == ["y"]


def test_only_the_stream_that_carries_the_recipient_can_acknowledge(grid: Grid) -> None:
    publish(grid, "x", "boss")
    grid.register("other", 2)
    grid.take()
    grid.registry.acknowledge_on_stream(2, ["x"], grid.later())
    assert lines(grid.take(), Acknowledge) == []
    grid.registry.acknowledge_on_stream(1, ["x", "never sent"], grid.later())
    assert lines(grid.take(), Acknowledge) == [Acknowledge("x", "boss", EPOCH + grid.time)]


def test_an_acknowledgement_is_a_sign_of_life_of_its_recipient_and_of_nobody_else(grid: Grid) -> None:
    """Whoever acknowledges thousands of alerts has its next beat behind them."""
    grid.register("neighbour", 1)
    publish(grid, "x", "boss")
    publish(grid, "y", "neighbour")
    heard = {service_id: grid.registry.get(service_id).heard_at for service_id in ("boss", "neighbour")}
    grid.registry.acknowledge_on_stream(1, ["x", "never sent"], grid.later())
    assert grid.registry.get("boss").heard_at == grid.time > heard["boss"]
    assert grid.registry.get("neighbour").heard_at == heard["neighbour"]
    grid.registry.acknowledge_on_stream(1, ["x"], grid.later())
    assert grid.registry.get("boss").heard_at < grid.time, "it was acknowledged before"


def test_the_stream_that_was_superseded_can_not_acknowledge_any_more(grid: Grid) -> None:
    publish(grid, "x", "boss")
    grid.register("boss", 2, name="chief")
    grid.take()
    grid.registry.acknowledge_on_stream(1, ["x"], grid.later())
    assert lines(grid.take(), Acknowledge) == []


def test_an_operator_acknowledges_every_copy(grid: Grid) -> None:
    publish(grid, "x", "boss")
    publish(grid, "x", "nobody yet")
    assert grid.registry.acknowledge("x", "", grid.later()) == 2
    assert grid.registry.acknowledge("x", "", grid.later()) == 0
    grid.close(1)
    grid.take()
    grid.register("boss", 2, name="chief")
    assert alerts(grid.take(), 2) == []


def test_an_acknowledgement_makes_room_for_the_next_alert() -> None:
    grid = Grid(Registry(mailboxes=Mailboxes(in_flight=1)))
    grid.register("boss", 1)
    publish(grid, "x", "boss")
    publish(grid, "y", "boss")
    assert alerts(grid.take()) == ["x"]
    grid.registry.acknowledge_on_stream(1, ["x"], grid.later())
    assert alerts(grid.take()) == ["y"]


def test_an_alert_behind_a_full_window_is_not_called_delivered() -> None:
    grid = Grid(Registry(mailboxes=Mailboxes(in_flight=1)))
    grid.register("boss", 1)
    assert publish(grid, "x", "boss")[1]
    assert not publish(grid, "y", "boss")[1]


def test_an_alert_that_is_no_longer_pushed_can_still_be_acknowledged() -> None:
    grid = Grid(Registry(mailboxes=Mailboxes(waiting=2)))
    for alert_id in "xyz":
        publish(grid, alert_id, "boss")
    grid.take()
    grid.registry.acknowledge("x", "boss", grid.later())
    assert [write.alert_id for write in lines(grid.take(), Acknowledge)] == ["x"]


def test_an_alert_that_went_out_by_name_can_be_acknowledged_after_a_namesake_came(grid: Grid) -> None:
    publish(grid, "x", "late")
    grid.register("l1", 5, name="late")
    assert alerts(grid.take(), 5) == ["x"]
    grid.register("l2", 6, name="late")
    grid.registry.acknowledge_on_stream(5, ["x"], grid.later())
    assert [write.alert_id for write in lines(grid.take(), Acknowledge)] == ["x"]


def test_nobody_takes_the_operators_mail_by_bearing_their_name(grid: Grid) -> None:
    grid.register("thief", 7, name="operators")
    grid.take()
    event, delivered = publish(grid, "x", "operators")
    assert (event.recipient, delivered) == ("operators", False)
    assert alerts(grid.take(), 7) == []


@pytest.fixture
def small() -> Grid:
    """A registry with room for two alerts, and for three to operators."""
    return Grid(Registry(mailboxes=Mailboxes(waiting=2, for_operators=3)))


def crowd(grid: Grid, count: int, **fields: Any) -> None:
    """So many alerts for somebody who is not there."""
    for n in range(count):
        event = make_event("service_down", alert_id=str(n), recipient="away", severity=Severity.CRITICAL)
        grid.registry.publish(replace(event, **fields), grid.later(0.0))


def waiting(grid: Grid, recipient: str) -> list[str]:
    """What waits for a recipient."""
    return [copy.event.alert_id for copy in grid.registry.waiting_for(recipient)]


def test_a_critical_alert_that_has_no_room_any_more_goes_to_operators(small: Grid) -> None:
    feed = small.watch()
    feed.take()
    crowd(small, 4)
    assert (waiting(small, "away"), waiting(small, "operators")) == (["2", "3"], ["0", "1"])
    (first, *_) = small.registry.waiting_for("operators")
    assert first.event.details["escalated_from"] == ["away"]
    assert {("0", "away"), ("0", "operators")} <= set(feed.take().copies)


def test_operators_that_receive_a_death_for_want_of_room_are_notified_of_the_return(small: Grid) -> None:
    small.watch()
    small.register("a", 1, parent="away")
    death = make_event("service_down", alert_id="death", service_id="a", recipient="away", severity=Severity.CRITICAL)
    small.judge(VerdictKind.DOWN, "a", alert=death, cause=LivenessCause.SILENT, missed=2)
    assert facts_of(small.registry.get("a"), None).notified == ("away",)
    crowd(small, 2)
    assert waiting(small, "operators") == ["death"]
    assert facts_of(small.registry.get("a"), None).notified == ("away", "operators")


def test_operators_have_a_bound_too_and_the_oldest_gives_way(small: Grid) -> None:
    crowd(small, 9)
    assert waiting(small, "operators") == ["4", "5", "6"]


def test_what_nobody_must_act_upon_is_only_no_longer_pushed(small: Grid) -> None:
    crowd(small, 4, severity=Severity.WARNING)
    assert waiting(small, "operators") == []


def test_what_climbed_already_is_only_no_longer_pushed(small: Grid) -> None:
    crowd(small, 2)
    small.registry.notify(AlertCopy("0", escalated_from="away"), small.later(0.0))
    small.registry.publish(make_event("note", recipient="away"), small.later(0.0))
    assert waiting(small, "operators") == []


def test_copies_wait_no_longer_than_events_are_kept(grid: Grid) -> None:
    feed = grid.watch()
    for n in range(4):
        publish(grid, str(n), f"nobody {n % 2}")
    feed.take()
    grid.registry.compact_events(3)
    assert (waiting(grid, "nobody 0"), waiting(grid, "nobody 1")) == (["2"], ["3"])
    assert feed.take().copies == (("0", "nobody 0"), ("1", "nobody 1"))
