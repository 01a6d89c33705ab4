"""An operator's word that notices are held: by identity, for as long as was said, whatever happens to the service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from grid_model.errors import ServiceNotFound
from grid_model.service import Maintenance

from registry_server.core.effects import DropMaintenance, PutMaintenance
from registry_server.core.registry import Registry
from registry_server.io.store.sqlite import SqliteStore
from tests.unit.registry_server.builders import EPOCH, Grid, at, lines


@pytest.fixture
def grid() -> Grid:
    """A registry with one service."""
    grid = Grid()
    grid.register("a", 1)
    grid.take()
    return grid


def hold(grid: Grid, until: float | None = None) -> Maintenance:
    """Notices about it are held, to this second."""
    maintenance = Maintenance("a", EPOCH, None if until is None else EPOCH + until, "new disk")
    grid.registry.hold_notices(maintenance)
    return maintenance


def held(grid: Grid) -> Maintenance | None:
    """What readers see."""
    return grid.registry.view(grid.registry.get("a")).maintenance


def test_it_is_stored_shown_to_readers_and_told_to_the_observer(grid: Grid) -> None:
    feed = grid.watch()
    feed.take()
    revision = grid.registry.revision
    maintenance = hold(grid)
    assert lines(grid.take(), PutMaintenance) == [PutMaintenance(maintenance)]
    (change,) = grid.registry.changes_since(revision)
    assert change.service is not None
    assert change.service.maintenance == maintenance
    assert feed.take().changed == ("a",)


def test_it_makes_no_verdict_stale(grid: Grid) -> None:
    before = grid.registry.get("a").observation
    hold(grid)
    assert grid.registry.get("a").observation == before


def test_it_ends_when_it_was_said_to(grid: Grid) -> None:
    feed = grid.watch()
    hold(grid, until=100.0)
    feed.take()
    grid.take()
    grid.registry.tick(at(99.9))
    assert held(grid) is not None
    assert feed.take().changed == ()
    grid.registry.tick(at(100.0))
    assert held(grid) is None
    assert lines(grid.take(), DropMaintenance) == [DropMaintenance("a")]
    assert feed.take().changed == ("a",)


def test_it_ends_by_an_operators_word_and_a_second_word_changes_nothing(grid: Grid) -> None:
    hold(grid)
    grid.registry.release_notices("a")
    assert held(grid) is None
    grid.take()
    grid.registry.release_notices("a")
    assert grid.take().empty


def test_it_survives_a_new_registration_and_its_own_service(grid: Grid) -> None:
    maintenance = hold(grid)
    grid.register("a", 2)
    assert held(grid) == maintenance
    grid.goodbye(2)
    grid.register("a", 3)
    assert held(grid) == maintenance


def test_it_can_be_ended_for_a_service_that_is_gone(grid: Grid) -> None:
    hold(grid)
    grid.goodbye(1)
    grid.take()
    assert grid.registry.release_notices("a") is None
    assert lines(grid.take(), DropMaintenance) == [DropMaintenance("a")]
    with pytest.raises(ServiceNotFound):
        grid.registry.release_notices("a")


def test_nothing_is_held_about_who_is_not_there(grid: Grid) -> None:
    with pytest.raises(ServiceNotFound):
        grid.registry.hold_notices(Maintenance("nobody", EPOCH))
    with pytest.raises(ServiceNotFound):
        grid.registry.release_notices("nobody")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """An empty store."""
    with closing(SqliteStore(tmp_path)) as store:
        yield store


def test_it_survives_a_restart_and_ends_after_one_where_its_time_is_over(store: SqliteStore) -> None:
    grid = Grid()
    grid.register("a", 1)
    maintenance = hold(grid, until=100.0)
    store.commit(grid.take().writes)
    stored = store.load()
    assert stored.maintenance == [maintenance]
    registry = Registry(revision=stored.revision, incarnation=stored.incarnation)
    registry.restore(stored.services, [], [], [], at(0.0), stored.maintenance)
    assert registry.maintenance_of("a") == maintenance
    registry.tick(at(101.0))
    store.commit(registry.take().writes)
    assert store.load().maintenance == []
