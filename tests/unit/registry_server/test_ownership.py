"""An id belongs to the owner that first registered it, also after TRON removed the service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from grid_model.errors import InvalidRequest, ServiceNotFound
from grid_model.event import OPERATORS, Severity
from grid_model.verdict import VerdictKind

from registry_server.core.effects import Alert, DropOwner, PutOwner, PutService, RemoveService
from registry_server.core.outgoing import Outgoing
from registry_server.core.ownership import MOST_REMOVED, RELEASED, Ownership
from registry_server.core.registry import Registry
from registry_server.core.service import OwnedId
from registry_server.core.upkeep import OWNED_FOR, Upkeep
from registry_server.io.store.sqlite import SqliteStore
from tests.unit.registry_server.builders import EPOCH, Grid, at, lines, make_event, make_spec
from tests.unit.registry_server.test_restart import restarted


@pytest.fixture
def grid() -> Grid:
    """An empty registry."""
    return Grid()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """An empty store."""
    with closing(SqliteStore(tmp_path)) as store:
        yield store


def register(grid: Grid, service_id: str = "a", owner: str = "group:team", session: int | None = None) -> None:
    """Register a service for an owner."""
    grid.open(session)
    grid.registry.register(make_spec(service_id), 0, "", session, grid.later(), owner=owner)


def test_the_owner_is_stored_in_the_commit_of_the_registration(grid: Grid) -> None:
    register(grid)
    effects = grid.take()
    assert lines(effects, PutOwner) == [PutOwner(OwnedId("a", "group:team"))]
    assert len(lines(effects, PutService)) == 1
    register(grid)
    assert lines(grid.take(), PutOwner) == [], "nothing changed"


def test_without_authentication_no_id_has_an_owner(grid: Grid) -> None:
    grid.register("a", 1)
    grid.goodbye(1)
    assert lines(grid.take(), PutOwner) == []
    assert grid.registry.owner_of("a") == ""


def test_an_id_without_an_owner_belongs_to_the_first_that_registers_it_with_authentication(grid: Grid) -> None:
    grid.register("a")
    register(grid)
    assert grid.registry.owner_of("a") == "group:team"
    assert list(grid.registry.ids_of("group:team")) == ["a"]


def test_the_owner_stays_when_the_service_is_removed_and_comes_back(grid: Grid) -> None:
    register(grid)
    grid.take()
    grid.judge(VerdictKind.DOWN, alert=make_event("service_down", service_id="a"))
    grid.judge(VerdictKind.DEREGISTER, alert=make_event("service_deregistered", service_id="a"))
    effects = grid.take()
    assert [write.tombstone.service_id for write in lines(effects, RemoveService)] == ["a"]
    (removed,) = lines(effects, PutOwner)
    assert removed.owned == OwnedId("a", "group:team", EPOCH + grid.time)
    register(grid)
    assert lines(grid.take(), PutOwner) == [PutOwner(OwnedId("a", "group:team"))]


def test_a_registration_without_authentication_keeps_the_owner(grid: Grid) -> None:
    register(grid)
    grid.registry.deregister("a", "", grid.later())
    grid.register("a")
    assert grid.registry.owner_of("a") == "group:team"
    grid.registry.release_owners(EPOCH + 10 * OWNED_FOR, grid.later())
    assert grid.registry.owner_of("a") == "group:team", "the id is in use"


def test_the_owner_survives_a_restart_and_so_does_the_time_of_the_removal(grid: Grid, store: SqliteStore) -> None:
    register(grid, "kept")
    register(grid, "removed", "token:ci")
    grid.registry.deregister("removed", "", grid.later())
    removed_at = EPOCH + grid.time
    found = restarted(grid, store).registry
    assert (found.owner_of("kept"), found.owner_of("removed")) == ("group:team", "token:ci")
    found.release_owners(removed_at, at(0.0))
    assert found.owner_of("removed") == "token:ci"
    found.release_owners(removed_at + 0.1, at(0.0))
    assert (found.owner_of("kept"), found.owner_of("removed")) == ("group:team", "")


def test_a_released_id_stays_released_after_a_restart(grid: Grid, store: SqliteStore) -> None:
    register(grid)
    grid.registry.deregister("a", "", grid.later())
    store.commit(grid.take().writes)
    assert grid.registry.release_owner("a", grid.later()) == "group:team"
    assert lines(grid.take(), DropOwner) == [DropOwner("a")]
    store.commit([DropOwner("a")])
    assert store.load().owned == []


def test_only_the_id_of_a_service_that_is_not_registered_is_released(grid: Grid) -> None:
    register(grid)
    with pytest.raises(InvalidRequest, match="service_id: the service is still registered; deregister it first"):
        grid.registry.release_owner("a", grid.later())
    with pytest.raises(ServiceNotFound, match="the id 'b' has no owner"):
        grid.registry.release_owner("b", grid.later())
    assert grid.registry.owner_of("a") == "group:team"


def test_the_next_owner_of_a_released_id_does_not_receive_the_alerts_of_the_former_one(grid: Grid) -> None:
    register(grid, "boss", session=1)
    grid.close(1)
    grid.registry.publish(make_event("critical", recipient="boss", severity=Severity.CRITICAL), grid.later())
    grid.registry.publish(make_event("info", recipient="boss"), grid.later())
    grid.judge(VerdictKind.DOWN, "boss", alert=make_event("service_down", service_id="boss"))
    grid.judge(VerdictKind.DEREGISTER, "boss", alert=make_event("service_deregistered", service_id="boss"))
    grid.registry.release_owner("boss", grid.later())
    assert [copy.event.type for copy in grid.registry.waiting_for(OPERATORS)] == ["critical"], "an action is demanded"
    register(grid, "boss", "token:other", session=2)
    assert grid.said(2, Alert) == []


def test_waiting_alerts_reach_the_next_process_of_the_same_owner(grid: Grid) -> None:
    register(grid, "boss", session=1)
    grid.close(1)
    grid.judge(VerdictKind.DOWN, "boss", alert=make_event("service_down", service_id="boss"))
    grid.judge(VerdictKind.DEREGISTER, "boss", alert=make_event("service_deregistered", service_id="boss"))
    grid.registry.publish(make_event("note", recipient="boss"), grid.later())
    register(grid, "boss", session=2)
    assert [message.event.type for message in grid.said(2, Alert)] == ["note"]


def test_an_owner_keeps_a_bounded_number_of_removed_ids_and_loses_only_its_own() -> None:
    ownership = Ownership(Outgoing())
    ownership.registered("other", "token:other")
    ownership.removed("other", 0.0)
    for number in range(MOST_REMOVED + 2):
        ownership.registered(f"pod-{number}", "group:team")
        ownership.removed(f"pod-{number}", float(number))
    assert len(ownership) == MOST_REMOVED + 1
    assert [ownership.owner_of(each) for each in ("pod-0", "pod-1", "pod-2")] == ["", "", "group:team"]
    assert ownership.owner_of("other") == "token:other"


def test_old_ids_are_released_in_parts() -> None:
    ownership = Ownership(Outgoing())
    for number in range(RELEASED + 5):
        ownership.registered(f"pod-{number}", "group:team")
        ownership.removed(f"pod-{number}", 1.0)
    assert len(ownership.removed_before(2.0)) == RELEASED
    assert ownership.removed_before(1.0) == []


def test_a_clock_that_is_set_forward_by_a_year_releases_no_id(grid: Grid) -> None:
    register(grid)
    grid.registry.deregister("a", "", at(1.0))
    upkeep = Upkeep(grid.registry, 0.0, EPOCH)
    upkeep.release_owners(10.0, EPOCH + 365 * 86_400.0)
    assert grid.registry.owner_of("a") == "group:team"
    upkeep.release_owners(OWNED_FOR + 10.0, EPOCH + OWNED_FOR + 10.0)
    assert grid.registry.owner_of("a") == ""


def test_a_registry_without_owners_drops_nothing() -> None:
    registry = Registry()
    registry.release_owners(EPOCH, at(0.0))
    assert registry.take().writes == Registry().take().writes
