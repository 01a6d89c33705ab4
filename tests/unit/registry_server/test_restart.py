"""After a restart the registry continues with its stored state, and no service is accused for the time in between."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from grid_model.errors import RevisionCompacted
from grid_model.liveness import Liveness
from grid_model.service import ServiceRole
from grid_model.verdict import VerdictKind

from registry_server.core.effects import Alert
from registry_server.core.event_log import EventLog
from registry_server.core.registry import Registry
from registry_server.io.loop import RegistryLoop
from registry_server.io.store.sqlite import SqliteStore
from tests.unit.registry_server.builders import Grid, at, make_event, messages


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """An empty store."""
    with closing(SqliteStore(tmp_path)) as store:
        yield store


def restarted(grid: Grid, store: SqliteStore) -> Grid:
    """Commit all that follows, and start again from the store."""
    store.commit(grid.take().writes)
    stored = store.load()
    registry = Registry(
        revision=stored.revision,
        incarnation=stored.incarnation,
        event_log=EventLog(stored.last_sequence, stored.first_sequence),
    )
    registry.restore(
        stored.services,
        stored.tombstones,
        stored.intents,
        stored.waiting,
        at(0.0),
        (),
        stored.compacted_revision,
        stored.owned,
    )
    return Grid(registry)


def test_everyone_is_there_disconnected_and_may_re_attach(store: SqliteStore) -> None:
    grid = Grid()
    before = grid.register("a", 1, url="http://a")
    grid = restarted(grid, store)
    record = grid.registry.get("a")
    assert (record.session, record.attached_at, record.detached_at, record.heard_at) == (None, None, None, 0.0)
    assert record.streamed
    after = grid.register("a", 1, incarnation=before.incarnation)
    assert (after.incarnation, after.spec, after.registered_at) == (
        before.incarnation,
        before.spec,
        before.registered_at,
    )


def test_incarnations_events_and_revisions_go_on(store: SqliteStore) -> None:
    grid = Grid()
    grid.register("a", 1)
    grid.register("b", 1)
    grid.goodbye(1, "b")
    grid.registry.publish(make_event(), grid.later(0.0))
    revision = grid.registry.revision
    grid = restarted(grid, store)
    assert grid.register("c").incarnation == 3
    assert grid.registry.publish(make_event(), grid.later(0.0))[0].sequence == 2
    assert grid.registry.revision > revision


def test_a_reader_resumes_across_the_restart_without_a_gap(store: SqliteStore) -> None:
    grid = Grid()
    for service_id in ("a", "b", "c"):
        grid.register(service_id, 1)
    cursor = grid.registry.revision
    grid.goodbye(1, "b")
    grid.register("d", 1)
    grid = restarted(grid, store)
    told = {change.service_id: change.service is not None for change in grid.registry.changes_since(cursor)}
    assert told == {"a": True, "b": False, "c": True, "d": True}
    with pytest.raises(RevisionCompacted):
        grid.registry.changes_since(grid.registry.revision + 1)


def test_judgements_promotions_retries_and_alerts_survive(store: SqliteStore) -> None:
    grid = Grid()
    grid.register("a", 1, instance="one", role=ServiceRole.STAGING)
    grid.registry.promote("a", ServiceRole.STAGING, ServiceRole.PRODUCTION)
    down = grid.judge(VerdictKind.DOWN, alert=make_event("service_down", recipient="boss")).alert
    grid = restarted(grid, store)
    again = grid.register("a", 1, instance="one", role=ServiceRole.STAGING)
    assert again.incarnation == 1
    assert grid.registry.get("a").judgement.liveness is Liveness.DOWN
    assert grid.registry.get("a").judgement.down_event == down
    newer = grid.register("a", 1, role=ServiceRole.STAGING)
    assert newer.spec.role is ServiceRole.PRODUCTION
    grid.take()
    grid.register("boss", 2)
    assert [alert.event for alert in messages(grid.take(), 2, Alert)] == [down]


def test_a_judgement_on_somebody_who_was_given_up_survives(store: SqliteStore) -> None:
    grid = Grid()
    grid.register("a", 1)
    event = grid.declare_down()
    grid.judge(VerdictKind.DEREGISTER)
    grid = restarted(grid, store)
    grid.register("a", 1)
    assert grid.registry.get("a").judgement.down_event == event


async def test_nobody_counts_as_heard_since_the_start_before_anyone_could_be_heard(store: SqliteStore) -> None:
    grid = Grid()
    grid.register("streamed", 1)
    grid.register("unary")
    store.commit(grid.take().writes)
    loop = RegistryLoop(store, event_retention=3600.0)
    await loop.start()
    heard = {service_id: record.heard_at for service_id, record in loop.registry.records.items()}
    await loop.close()
    assert all(at <= loop.hearing_since for at in heard.values()), heard
