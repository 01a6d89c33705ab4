"""Incarnations: which process may act for an id, and which is superseded."""

from __future__ import annotations

import pytest
from grid_model.errors import InvalidRequest, QuotaExceeded, ServiceNotFound, Superseded, UnknownIncarnation
from grid_model.service import ServiceStatus

from registry_server.core import registrations
from registry_server.core.effects import (
    DeclaredDown,
    PutService,
    Registered,
    RemoveService,
    SupersededBy,
    UnknownService,
)
from registry_server.core.registry import Registry
from registry_server.core.service import Report
from tests.unit.registry_server.builders import Grid, everything_said, lines, messages


@pytest.fixture
def grid() -> Grid:
    """An empty registry."""
    return Grid()


def test_each_registration_grows_the_incarnation_over_all_services(grid: Grid) -> None:
    assert [grid.register(service_id).incarnation for service_id in ("a", "b", "a")] == [1, 2, 3]


def test_incarnations_go_on_after_a_restart() -> None:
    assert Grid(Registry(incarnation=41)).register().incarnation == 42


def test_a_registration_on_a_stream_is_stored_and_answered_by_that_stream(grid: Grid) -> None:
    service = grid.register("a", 1, url="http://a")
    effects = grid.take()
    assert everything_said(effects) == [Registered(service)]
    assert [write.service.spec.url for write in lines(effects, PutService)] == ["http://a"]
    assert service.connected


def test_a_unary_registration_is_not_connected(grid: Grid) -> None:
    service = grid.register("a")
    assert not service.connected
    assert not grid.registry.get("a").streamed


def test_a_registration_with_the_held_incarnation_only_moves_the_stream(grid: Grid) -> None:
    first = grid.register("a", 1, url="old")
    again = grid.register("a", 2, incarnation=first.incarnation, url="new")
    assert again.incarnation == first.incarnation
    assert again.spec == first.spec
    assert again.registered_at == first.registered_at
    grid.close(1)
    assert grid.registry.get("a").session == 2


def test_a_new_registration_supersedes_the_stream_that_held_the_id(grid: Grid) -> None:
    grid.register("a", 1)
    grid.take()
    newer = grid.register("a", 2)
    assert grid.said(1, SupersededBy) == [SupersededBy("a", newer.incarnation)]


def test_a_unary_registration_supersedes_a_stream_too(grid: Grid) -> None:
    grid.register("a", 1)
    grid.take()
    newer = grid.register("a")
    assert grid.said(1, SupersededBy) == [SupersededBy("a", newer.incarnation)]
    assert not newer.connected


def test_registering_again_on_the_same_stream_supersedes_nobody(grid: Grid) -> None:
    grid.register("a", 1)
    grid.register("a", 1)
    assert grid.said(1, SupersededBy) == []
    assert grid.beat(1)


def test_an_older_incarnation_is_refused_and_changes_nothing(grid: Grid) -> None:
    old = grid.register("a", 1, url="old")
    new = grid.register("a", 2, url="new")
    grid.take()
    revision = grid.registry.revision
    with pytest.raises(Superseded) as refused:
        grid.register("a", 1, incarnation=old.incarnation, url="old")
    assert refused.value.incarnation == new.incarnation
    assert grid.take().empty
    assert grid.registry.revision == revision
    assert grid.registry.get("a").spec.url == "new"


def test_a_beat_of_an_older_incarnation_is_answered_and_not_heard(grid: Grid) -> None:
    old = grid.register("a", 1)
    new = grid.register("a", 2)
    heard_at = grid.registry.get("a").heard_at
    grid.take()
    assert not grid.beat(1)
    assert not grid.beat(3, incarnation=old.incarnation, report=Report(status=ServiceStatus.ERROR))
    effects = grid.take()
    assert messages(effects, 1, SupersededBy) == [SupersededBy("a", new.incarnation)]
    assert messages(effects, 3, SupersededBy) == [SupersededBy("a", new.incarnation)]
    assert grid.registry.get("a").heard_at == heard_at
    assert grid.registry.get("a").report == Report()


def test_an_incarnation_that_was_never_given_out_must_register_without_one(grid: Grid) -> None:
    grid.register("a", 1)
    with pytest.raises(UnknownIncarnation):
        grid.register("a", 2, incarnation=99)
    with pytest.raises(UnknownIncarnation):
        grid.register("b", 2, incarnation=1)
    assert not grid.beat(2, "a", incarnation=99)
    assert grid.said(2, UnknownService) == [UnknownService("a")]


def test_a_retry_of_the_same_process_is_the_same_registration(grid: Grid) -> None:
    first = grid.register("a", 1, instance="one")
    for session in (1, 2, None):
        assert grid.register("a", session, instance="one").incarnation == first.incarnation


def test_a_retry_that_overtook_nobody_keeps_what_was_declared_first(grid: Grid) -> None:
    grid.register("a", 1, instance="one", url="first")
    assert grid.register("a", 1, instance="one", url="second").spec.url == "first"


@pytest.mark.parametrize("newer_processes", [1, 2, 7])
def test_a_slow_retry_never_overtakes_a_newer_process(grid: Grid, newer_processes: int) -> None:
    grid.register("a", 1, instance="slow")
    for n in range(newer_processes):
        newest = grid.register("a", 2 + n, instance=f"newer {n}")
    grid.take()
    with pytest.raises(Superseded):
        grid.register("a", 100, instance="slow")
    assert grid.take().empty
    assert grid.registry.get("a").incarnation == newest.incarnation


def test_registrations_without_an_instance_are_never_taken_for_retries(grid: Grid) -> None:
    assert grid.register("a", 1).incarnation < grid.register("a", 1).incarnation


def test_a_goodbye_removes_at_once_and_alarms_nobody(grid: Grid) -> None:
    service = grid.register("a", 1)
    grid.take()
    grid.goodbye(1, "a", "done")
    effects = grid.take()
    (burial,) = lines(effects, RemoveService)
    assert (burial.tombstone.incarnation, burial.tombstone.reason) == (service.incarnation, "done")
    assert burial.tombstone.judgement is None
    assert effects.sends == []
    assert "a" not in grid.registry.records


def test_a_goodbye_of_an_older_incarnation_is_ignored(grid: Grid) -> None:
    grid.register("a", 1)
    new = grid.register("a", 2)
    grid.take()
    grid.goodbye(1, "a")
    effects = grid.take()
    assert everything_said(effects) == [SupersededBy("a", new.incarnation)]
    assert lines(effects, RemoveService) == []
    assert grid.registry.get("a").session == 2


def test_a_goodbye_for_nobody_is_answered(grid: Grid) -> None:
    grid.goodbye(1, "nobody")
    assert grid.said(1, UnknownService) == [UnknownService("nobody")]


def test_a_stream_that_ends_disconnects_and_removes_nobody(grid: Grid) -> None:
    grid.register("a", 1)
    grid.register("b", 1)
    grid.close(1)
    for service_id in ("a", "b"):
        record = grid.registry.get(service_id)
        assert record.session is None
        assert record.detached_at == grid.time


def test_the_end_of_an_older_stream_does_not_disconnect_the_newer_one(grid: Grid) -> None:
    first = grid.register("a", 1)
    grid.register("a", 2, incarnation=first.incarnation)
    grid.close(1)
    assert grid.registry.get("a").session == 2


def test_one_stream_may_carry_many_services(grid: Grid) -> None:
    for service_id in ("a", "b", "c"):
        grid.register(service_id, 1)
    assert all(grid.beat(1, service_id) for service_id in ("a", "b", "c"))


def test_a_unary_service_may_beat_on_a_stream_that_never_registered_it(grid: Grid) -> None:
    grid.register("a")
    assert grid.beat(1)
    assert grid.registry.get("a").session == 1
    assert not grid.registry.get("a").streamed


def test_a_beat_that_names_no_incarnation_from_a_strange_stream_makes_the_other_give_up(grid: Grid) -> None:
    service = grid.register("a", 1)
    grid.take()
    assert grid.beat(2)
    assert grid.said(1, SupersededBy) == [SupersededBy("a", service.incarnation)]
    assert not grid.beat(1)


def test_a_beat_that_names_its_incarnation_moves_the_service_without_a_word(grid: Grid) -> None:
    service = grid.register("a", 1)
    grid.take()
    assert grid.beat(2, incarnation=service.incarnation)
    assert everything_said(grid.take()) == []
    assert grid.registry.get("a").session == 2


def test_a_late_beat_of_an_older_stream_counts_and_does_not_take_the_service_along_when_that_ends(grid: Grid) -> None:
    incarnation = grid.register("a", 1).incarnation
    grid.register("a", 2, incarnation=incarnation)
    grid.take()
    record = grid.registry.get("a")
    assert grid.beat(1, incarnation=incarnation)
    assert record.heard_at == grid.time
    assert record.session == 2
    grid.close(1)
    assert record.session == 2
    grid.close(2)
    assert grid.beat(3, incarnation=incarnation)
    assert record.session == 3


def test_a_beat_for_nobody_asks_for_an_announcement(grid: Grid) -> None:
    assert not grid.beat(1, "nobody")
    assert grid.said(1, UnknownService) == [UnknownService("nobody")]


def test_a_deregistration_of_nobody_is_refused(grid: Grid) -> None:
    with pytest.raises(ServiceNotFound):
        grid.registry.deregister("nobody", "", grid.later())


def test_an_incarnation_that_was_deregistered_must_register_anew(grid: Grid) -> None:
    service = grid.register("a", 1)
    grid.registry.deregister("a", "", grid.later())
    grid.take()
    with pytest.raises(UnknownIncarnation):
        grid.register("a", 1, incarnation=service.incarnation)
    assert not grid.beat(1)
    assert grid.said(1, DeclaredDown) == []
    assert grid.register("a", 1).incarnation > service.incarnation


def test_the_number_of_services_is_bounded_but_known_ones_may_register_again(
    grid: Grid, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registrations, "MAX_SERVICES", 2)
    grid.register("a")
    grid.register("b")
    with pytest.raises(QuotaExceeded):
        grid.register("c")
    assert grid.register("b").incarnation == 3


def test_the_number_of_tombstones_is_bounded_and_the_oldest_goes_first(
    grid: Grid, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registrations, "MAX_TOMBSTONES", 2)
    for service_id in ("a", "b", "c"):
        grid.register(service_id)
        grid.registry.deregister(service_id, "", grid.later())
    assert list(grid.registry.tombstones) == ["b", "c"]


def test_a_refused_registration_changes_nothing(grid: Grid) -> None:
    grid.register("a", 1)
    grid.take()
    revision = grid.registry.revision
    with pytest.raises(InvalidRequest):
        grid.register("a", 2, parent="a")
    assert grid.take().empty
    assert grid.registry.revision == revision
    assert grid.registry.get("a").session == 1
