"""What an observer has not read is merged, never queued."""

from __future__ import annotations

from registry_server.observations import Frame, Heard, ObservationFeed
from registry_server.service import Report
from tests.unit.registry_server.builders import Grid

EMPTY = Frame((), (), ())


def test_the_first_frame_names_everybody_and_the_second_only_what_is_new() -> None:
    feed = ObservationFeed(["a", "b"], [])
    assert feed.take() == Frame(("a", "b"), (), ())
    assert feed.take() == EMPTY
    feed.changed("b")
    assert feed.take() == Frame(("b",), (), ())


def test_a_later_beat_takes_the_place_of_an_earlier_one() -> None:
    feed = ObservationFeed([], [])
    for n in range(100):
        feed.heard("a", Heard(incarnation=1, observation=n, at=n / 10))
    assert feed.take().beats == (Heard(1, 99, 9.9),)


def test_a_service_that_left_and_came_back_is_only_changed() -> None:
    feed = ObservationFeed(["a"], [])
    feed.removed("a")
    feed.changed("a")
    assert feed.take() == Frame(("a",), (), ())


def test_a_service_that_came_and_left_is_only_removed() -> None:
    feed = ObservationFeed([], [])
    feed.changed("a")
    feed.removed("a")
    assert feed.take() == Frame((), (), ("a",))


def test_a_beat_is_not_urgent_but_a_change_and_a_removal_are() -> None:
    feed = ObservationFeed([], [])
    feed.heard("a", Heard(1, 1, 0.1))
    assert not feed.urgent
    feed.changed("a")
    assert feed.urgent
    feed.take()
    assert not feed.urgent
    feed.removed("a")
    assert feed.urgent


def test_a_catalogue_tells_its_observer_of_registrations_beats_breaks_and_removals() -> None:
    grid = Grid()
    feed = grid.watch()
    first = grid.register("a", 1)
    assert feed.take() == Frame(("a",), (), ())
    grid.beat(1)
    frame = feed.take()
    assert frame.changed == ()
    assert [beat.incarnation for beat in frame.beats] == [first.incarnation]
    grid.close(1)
    assert feed.take() == Frame(("a",), (), ())
    grid.catalogue.deregister("a", "", grid.later())
    assert feed.take() == Frame((), (), ("a",))


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
    assert len(feed.take().beats) <= len(grid.catalogue.records)
