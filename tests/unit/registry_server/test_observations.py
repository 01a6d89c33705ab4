"""What an observer has not read is merged, never queued."""

from __future__ import annotations

import pytest

from registry_server.core.commits import Commits
from registry_server.core.observations import COPY_WEIGHT, ObservationFeed, Unread
from registry_server.core.observer_stream import MOST_VALUES, ObserverStream
from registry_server.core.record import Record
from registry_server.core.service import Report
from tests.unit.registry_server.builders import Grid, make_event, make_record

EMPTY = Unread((), (), ())


def make_heard(service_id: str, incarnation: int, observation: int, heard_at: float) -> Record:
    """The record of a service whose heartbeat came."""
    record = make_record(service_id, incarnation=incarnation, observation=observation)
    record.heard_at = heard_at
    return record


def test_the_first_frame_names_everybody_and_the_second_only_what_is_new() -> None:
    feed = ObservationFeed(["a", "b"], [])
    assert feed.take() == Unread(("a", "b"), (), ())
    assert feed.take() == EMPTY
    feed.changed("b")
    assert feed.take() == Unread(("b",), (), ())


def test_a_later_beat_takes_the_place_of_an_earlier_one() -> None:
    feed = ObservationFeed([], [])
    for n in range(100):
        feed.heard(make_heard("a", 1, n, n / 10))
    assert feed.take().beats == ((1, 99, 9.9),)


def test_a_service_that_left_and_came_back_is_only_changed() -> None:
    feed = ObservationFeed(["a"], [])
    feed.removed("a")
    feed.changed("a")
    assert feed.take() == Unread(("a",), (), ())


def test_a_service_that_came_and_left_is_only_removed() -> None:
    feed = ObservationFeed([], [])
    feed.changed("a")
    feed.removed("a")
    assert feed.take() == Unread((), (), ("a",))


def test_a_beat_is_not_urgent_but_a_change_and_a_removal_are() -> None:
    feed = ObservationFeed([], [])
    feed.heard(make_heard("a", 1, 1, 0.1))
    assert not feed.urgent
    feed.changed("a")
    assert feed.urgent
    feed.take()
    assert not feed.urgent
    feed.removed("a")
    assert feed.urgent


def test_a_registry_tells_its_observer_of_registrations_beats_breaks_and_removals() -> None:
    grid = Grid()
    feed = grid.watch()
    first = grid.register("a", 1)
    assert feed.take() == Unread(("a",), (), ())
    grid.beat(1)
    frame = feed.take()
    assert frame.changed == ()
    assert [incarnation for incarnation, _, _ in frame.beats] == [first.incarnation]
    grid.close(1)
    assert feed.take() == Unread(("a",), (), ())
    grid.registry.deregister("a", "", grid.later())
    assert feed.take() == Unread((), (), ("a",))


def test_an_activity_that_moves_is_a_fact_where_it_is_judged_and_a_load_figure_is_none() -> None:
    grid = Grid()
    grid.register("a", 1, stall_after=5.0)
    feed = grid.watch()
    feed.take()
    grid.beat(1, report=Report(load=0.5))
    assert feed.take().changed == ()
    grid.beat(1, report=Report(load=0.5, activity=1))
    assert not feed.urgent
    assert feed.take().changed == ("a",)
    grid.register("b", 1)
    feed.take()
    grid.beat(1, "b", report=Report(activity=1))
    assert feed.take().changed == ()


def test_an_observer_that_does_not_read_is_owed_no_more_beats_than_there_are_services() -> None:
    grid = Grid()
    feed = grid.watch()
    for _ in range(50):
        grid.register("a", 1)
        grid.beat(1)
    assert len(feed.take().beats) <= len(grid.registry.records)


def test_copies_of_alerts_are_named_once_however_often_they_change() -> None:
    feed = ObservationFeed([], [("x", "boss")])
    feed.copy("x", "boss")
    feed.copy("y", "boss")
    assert feed.take() == Unread((), (), (), (("x", "boss"), ("y", "boss")))
    assert feed.take() == EMPTY


def test_a_change_that_no_judgement_turns_on_may_wait_for_the_tick() -> None:
    feed = ObservationFeed([], [])
    feed.changed("a", urgent=False)
    feed.copy("x", "boss")
    assert not feed.urgent
    feed.changed("b")
    feed.changed("a", urgent=False)
    assert feed.urgent


def test_an_observer_that_does_not_read_must_start_again_beyond_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ObservationFeed, "MAX_COPIES", 5)
    feed = ObservationFeed([], [])
    for n in range(5):
        feed.copy(str(n), "boss")
    assert not feed.overflowed
    for n in range(100):
        feed.copy(str(n), "boss")
    assert feed.overflowed
    assert len(feed.take().copies) == 6


def test_programs_that_come_and_go_do_not_pile_up_before_an_observer_that_does_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ObservationFeed, "MAX_REMOVED", 5)
    grid = Grid()
    feed = grid.watch()
    for n in range(20):
        grid.register(f"s{n}", 1)
        grid.goodbye(1, f"s{n}")
    assert feed.overflowed
    assert len(feed.take().removed) == 6


def test_the_snapshot_names_every_copy_that_waits() -> None:
    grid = Grid()
    grid.registry.publish(make_event(recipient="boss"), grid.later(0.0))
    assert grid.watch().take().copies == (("note", "boss"),)


def test_a_large_frame_is_told_in_parts_the_removed_first_and_the_beats_last() -> None:
    beat = (1, 1, 0.1)
    frame = Unread(tuple("abcdefghijklmno"), (beat,), ("gone",), (("x", "a"), ("y", "a"), ("z", "b")))
    parts = frame.parts(2 * COPY_WEIGHT)
    assert [each for part in parts for each in part.changed] == list("abcdefghijklmno")
    assert [each for part in parts for each in part.copies] == [("x", "a"), ("y", "a"), ("z", "b")]
    assert all(len(part.changed) + COPY_WEIGHT * len(part.copies) <= 2 * COPY_WEIGHT for part in parts)
    assert [part.removed for part in parts] == [("gone",), (), (), ()]
    assert [part.beats for part in parts] == [(), (), (), (beat,)]
    assert frame.parts(15 + 3 * COPY_WEIGHT) == [frame]


# --- more than one frame takes ---------------------------------------------------------------------------------------


def test_beyond_the_bound_of_a_frame_the_parents_take_turns() -> None:
    feed = ObservationFeed([], [])
    for number in range(50):
        feed.changed(f"child-{number}", parent="of-many")
    feed.changed("only", parent="of-one")
    assert feed.take(4).changed == ("child-0", "only", "child-1", "child-2")
    assert feed.urgent
    rest = [service_id for _ in range(12) for service_id in feed.take(4).changed]
    assert rest == [f"child-{number}" for number in range(3, 50)]
    assert not feed.urgent
    assert feed.take(4) == EMPTY


def test_a_heartbeat_does_not_overtake_the_facts_about_its_service() -> None:
    feed = ObservationFeed([], [])
    feed.changed("a")
    feed.changed("b")
    feed.heard(make_heard("a", 1, 5, 0.1))
    feed.heard(make_heard("b", 2, 6, 0.1))
    first = feed.take(1)
    assert (first.changed, first.beats) == (("a",), ((1, 5, 0.1),))
    assert feed.take(1) == Unread(("b",), (), ())


def test_who_changes_while_its_facts_wait_keeps_its_turn() -> None:
    feed = ObservationFeed([], [])
    feed.changed("a", parent="x")
    feed.changed("b", parent="x")
    feed.changed("a", parent="y")
    assert feed.take(1).changed == ("a",)
    feed.removed("b")
    assert feed.take(1) == Unread((), (), ("b",))


def test_copies_beyond_the_bound_follow() -> None:
    feed = ObservationFeed([], [("one", "boss"), ("two", "boss"), ("three", "boss")])
    assert [feed.take(2).copies for _ in range(2)] == [(("one", "boss"), ("two", "boss")), (("three", "boss"),)]


def test_the_snapshot_is_whole_and_later_frames_are_bounded() -> None:
    grid = Grid()
    for number in range(5):
        grid.register(f"s{number}", number + 1)
    stream = ObserverStream(grid.registry, Commits(), 9, "another", most_in_frame=2)
    (snapshot,) = stream.frame(grid.later(), lambda: 0.0)
    assert len(snapshot.observations) == 5
    for number in range(5):
        grid.close(number + 1)
    sizes = []
    for _ in range(3):
        (frame,) = stream.frame(grid.later(), lambda: 0.0)
        assert frame.now == grid.time
        sizes.append(len(frame.observations))
    assert sizes == [2, 2, 1]


def test_alert_copies_with_many_values_are_divided_over_several_messages_of_one_frame() -> None:
    grid = Grid()
    grid.register("boss", 1)
    stream = ObserverStream(grid.registry, Commits(sequence=1000), 9, "another")
    list(stream.frame(grid.later(), lambda: 0.0))
    until = grid.time
    grid.register("a", 2)
    for number in range(40):
        details = {"a": [0] * 999} if number % 2 else {}
        grid.registry.publish(make_event(str(number), service_id="a", recipient="boss", details=details), grid.later())
    *first, last = stream.frame(grid.later(), lambda: 0.0)
    sizes = [sum(len(each.event.details.get("a", ())) for each in frame.deliveries) for frame in (*first, last)]
    assert max(sizes) <= MOST_VALUES + 1000
    assert len(sizes) == 4
    sent = [each.event.alert_id for frame in (*first, last) for each in frame.deliveries]
    assert sent == list(map(str, range(40)))
    assert [(frame.now, frame.continues) for frame in first] == [(until, True)] * 3
    assert (last.now, last.continues) == (grid.time, False)
    assert [each.service_id for each in first[0].observations] == ["a"]


def test_a_copy_that_comes_and_ends_between_two_frames_is_in_neither() -> None:
    grid = Grid()
    grid.register("boss", 1)
    stream = ObserverStream(grid.registry, Commits(sequence=1000), 9, "another")
    list(stream.frame(grid.later(), lambda: 0.0))
    for alert_id in ("kept", "brief"):
        grid.registry.publish(make_event(alert_id, recipient="boss"), grid.later())
    grid.registry.acknowledge("brief", "boss", grid.later())
    (frame,) = stream.frame(grid.later(), lambda: 0.0)
    assert [each.event.alert_id for each in frame.deliveries] == ["kept"]
    assert frame.deliveries_ended == ()
    grid.registry.acknowledge("kept", "boss", grid.later())
    (frame,) = stream.frame(grid.later(), lambda: 0.0)
    assert frame.deliveries_ended == (("kept", "boss"),)
