"""What every store must do: the same tests run over each adapter. A new store is added to `ADAPTERS`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from grid_model.service import ServiceRole

from registry_server.core.effects import (
    Acknowledge,
    AppendEvent,
    CompactEvents,
    DropIntent,
    PutHeartbeats,
    PutIntent,
    PutService,
    RemoveService,
    ReserveRevisions,
)
from registry_server.core.event_log import EventFilter
from registry_server.core.service import Intent, Tombstone
from registry_server.io.store import Store, Stored, StoreError
from registry_server.io.store.sqlite import SqliteStore
from tests.simulation.sim_store import SimStore
from tests.unit.registry_server.builders import make_event
from tests.unit.registry_server.test_sqlite_store import DOWN, EVERYTHING, append, numbers, stored_service

OpenStore = Callable[[], Store]
"""Opens a store on the same data as the one before, which was closed."""


def sqlite(folder: Path) -> OpenStore:
    """A file."""
    return lambda: SqliteStore(folder)


def memory(_: Path) -> OpenStore:
    """The store of the simulation, whose disk is an object."""
    disk = SimStore()
    return lambda: disk


ADAPTERS = (sqlite, memory)


@pytest.fixture(params=ADAPTERS, ids=lambda adapter: adapter.__name__)
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> OpenStore:
    """How to open a store of one adapter; it is empty at first."""
    opens: OpenStore = request.param(tmp_path)
    return opens


@pytest.fixture
def store(open_store: OpenStore) -> Iterator[Store]:
    """An empty store."""
    with closing(open_store()) as store:
        yield store


def reopened(open_store: OpenStore) -> Stored:
    """What another process would find."""
    with closing(open_store()) as store:
        return store.load()


def test_an_empty_store_is_a_fresh_system(store: Store) -> None:
    assert store.load() == Stored()


def test_everything_that_was_committed_is_loaded_again(open_store: OpenStore) -> None:
    tombstone = Tombstone("gone", 5, 44, 9.0, "judged", DOWN)
    left = Tombstone("left", 6, 45, 10.0, "goodbye", None)
    intent = Intent("a", ServiceRole.STAGING, ServiceRole.PRODUCTION)
    alert = make_event("service_down", sequence=1, recipient="boss", details={"k": [1, {"x": None}]})
    with closing(open_store()) as store:
        store.commit(
            [
                ReserveRevisions(1000),
                PutService(stored_service()),
                RemoveService(tombstone),
                RemoveService(left),
                PutIntent(intent),
                AppendEvent(alert),
            ]
        )
    found = reopened(open_store)
    assert found.services == [stored_service()]
    assert sorted(found.tombstones, key=lambda each: each.revision) == [tombstone, left]
    assert found.intents == [intent]
    assert [copy.event for copy in found.waiting] == [alert]
    assert (found.revision, found.incarnation) == (1000, 7)
    assert (found.first_sequence, found.last_sequence) == (1, 1)


def test_a_service_that_comes_back_leaves_no_tombstone_and_one_that_leaves_no_record(store: Store) -> None:
    tombstone = Tombstone("a", 7, 44, 9.0, "goodbye", None)
    store.commit([PutService(stored_service()), RemoveService(tombstone)])
    assert (store.load().services, store.load().tombstones) == ([], [tombstone])
    store.commit([PutService(stored_service("a", 8))])
    assert (store.load().services, store.load().tombstones) == ([stored_service("a", 8)], [])


def test_incarnations_never_fall_though_the_holder_of_the_highest_is_gone(store: Store) -> None:
    store.commit([PutService(stored_service("a", 9)), PutService(stored_service("b", 8))])
    store.commit([RemoveService(Tombstone("a", 9, 1, 0.0, "goodbye", None))])
    assert store.load().incarnation == 9


def test_heartbeats_move_the_time_of_those_who_are_registered(store: Store) -> None:
    store.commit([PutService(stored_service())])
    store.commit([PutHeartbeats((("a", 77.5), ("gone", 78.0)))])
    (found,) = store.load().services
    assert found.last_heartbeat_at == 77.5


def test_an_intent_is_replaced_and_dropped(store: Store) -> None:
    store.commit([PutIntent(Intent("a", ServiceRole.STAGING, ServiceRole.CANARY))])
    newer = Intent("a", ServiceRole.STAGING, ServiceRole.PRODUCTION)
    store.commit([PutIntent(newer)])
    assert store.load().intents == [newer]
    store.commit([DropIntent("a")])
    assert store.load().intents == []


def test_alerts_wait_in_order_until_they_are_acknowledged(store: Store) -> None:
    store.commit(append(1, 2, 3, recipient="boss"))
    store.commit([Acknowledge("alert 2", "boss", 5.0), Acknowledge("alert 3", "other", 5.0)])
    assert numbers([copy.event for copy in store.load().waiting]) == [1, 3]
    assert numbers(store.read_events(0, 10, EVERYTHING, unacknowledged=True)) == [1, 3]
    assert store.was_sent("alert 2", "boss")
    assert store.was_sent("alert 2", "")
    assert not store.was_sent("alert 2", "other")


def test_a_batch_is_committed_whole_or_not_at_all(store: Store) -> None:
    store.commit(append(1))
    with pytest.raises(StoreError):
        store.commit([PutService(stored_service()), *append(1)])
    assert store.load().services == []
    store.commit([PutService(stored_service())])
    assert store.load().services == [stored_service()]


def test_events_are_read_by_page_and_by_filter(store: Store) -> None:
    store.commit([*append(1, 2, recipient="boss"), *append(3, 4, service_id="a"), *append(5, type="other")])
    assert numbers(store.read_events(0, 2, EVERYTHING)) == [1, 2]
    assert numbers(store.read_events(2, 9, EVERYTHING)) == [3, 4, 5]
    assert numbers(store.read_events(0, 2, EVERYTHING, newest=True)) == [4, 5]
    assert numbers(store.read_events(0, 9, EventFilter(recipient="boss"))) == [1, 2]
    assert numbers(store.read_events(3, 9, EventFilter(service_id="a"))) == [4]
    assert numbers(store.read_events(0, 9, EventFilter(types=frozenset({"other", "x"})))) == [5]


def test_numbers_go_on_after_every_event_was_compacted(open_store: OpenStore) -> None:
    with closing(open_store()) as store:
        store.commit(append(1, 2, 3, recipient="boss"))
        store.commit([CompactEvents(4)])
    found = reopened(open_store)
    assert (found.first_sequence, found.last_sequence, found.waiting) == (4, 3, [])


@pytest.mark.parametrize("told", [-62_135_596_800.0, 0.0, 253_402_300_799.0])
def test_the_retention_counts_from_the_recording_whatever_time_an_event_has(store: Store, told: float) -> None:
    events = [make_event(sequence=number, alert_id=str(number), occurred_at=told) for number in (1, 2, 3)]
    store.commit([AppendEvent(event, recorded_at=event.sequence * 10.0) for event in events])
    assert [store.first_event_since(at) for at in (0.0, 20.0, 99.0)] == [1, 2, 4]
    assert [event.occurred_at for event in store.read_events(0, 10, EVERYTHING)] == [told] * 3


def test_compaction_keeps_what_is_not_older(store: Store) -> None:
    store.commit(append(1, 2, 3, recipient="boss"))
    assert store.first_event_since(20.0) == 2
    assert store.first_event_since(0.0) == 1
    assert store.first_event_since(99.0) == 4
    store.commit([CompactEvents(2)])
    found = store.load()
    assert (found.first_sequence, found.last_sequence, numbers([copy.event for copy in found.waiting])) == (
        2,
        3,
        [2, 3],
    )
