"""A store that an earlier version wrote is read as what it meant, once and for all."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from grid_model.liveness import Liveness, LivenessCause
from grid_model.observation import Delivery
from grid_model.service import Maintenance

from registry_server.core.effects import PutMaintenance, RemoveService, StopEscalation
from registry_server.core.service import Judgement, Tombstone
from registry_server.io.store import Stored, StoreError
from registry_server.io.store.encoding import encode
from registry_server.io.store.sqlite import FILE, SqliteStore
from tests.unit.registry_server.builders import make_event
from tests.unit.registry_server.test_sqlite_store import stored_service

FIRST_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE services (
    service_id TEXT PRIMARY KEY, last_heartbeat_at REAL NOT NULL, record TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE tombstones (
    service_id TEXT PRIMARY KEY, incarnation INTEGER NOT NULL, revision INTEGER NOT NULL,
    removed_at REAL NOT NULL, reason TEXT NOT NULL, judgement TEXT) WITHOUT ROWID;
CREATE TABLE intents (
    service_id TEXT PRIMARY KEY, promoted_from TEXT NOT NULL, promoted_to TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE events (
    sequence INTEGER PRIMARY KEY, occurred_at REAL NOT NULL, type TEXT NOT NULL, service_id TEXT NOT NULL,
    recipient TEXT NOT NULL, event TEXT NOT NULL);
CREATE INDEX events_by_service ON events (service_id, sequence) WHERE service_id <> '';
CREATE INDEX events_by_recipient ON events (recipient, sequence) WHERE recipient <> '';
CREATE TABLE deliveries (
    alert_id TEXT NOT NULL, recipient TEXT NOT NULL, sequence INTEGER NOT NULL, acknowledged_at REAL,
    PRIMARY KEY (alert_id, recipient)) WITHOUT ROWID;
CREATE INDEX deliveries_waiting ON deliveries (sequence) WHERE acknowledged_at IS NULL;
PRAGMA user_version = 1;
"""

TOLD = make_event("service_down", sequence=1, recipient="boss", service_id="a")
UNTOLD = replace(TOLD, recipient="")
DOWN = Judgement(Liveness.DOWN, LivenessCause.SILENT, 5.0, 2, TOLD, told_to=("boss",))


def first(text: str) -> str:
    """A record as the first schema wrote it."""

    def without(raw: dict[str, Any]) -> dict[str, Any]:
        judgement = raw.get("judgement", raw)
        del judgement["told_to"], judgement["folded_into"]
        return raw

    return json.dumps(without(json.loads(text)))


def write_first_schema(folder: Path) -> None:
    """A store of the first version: two services, two removed ones, a promotion, two alerts of which one waits."""
    silent = replace(stored_service("b", 8), judgement=replace(DOWN, down_event=UNTOLD, told_to=()))
    with closing(sqlite3.connect(folder / FILE)) as db:
        db.executescript(FIRST_SCHEMA)
        for service in (replace(stored_service(), judgement=DOWN), silent):
            row = (service.spec.service_id, 2.0, first(encode(service)))
            db.execute("INSERT INTO services VALUES (?, ?, ?)", row)
        db.execute("INSERT INTO tombstones VALUES ('gone', 5, 44, 9.0, 'judged', ?)", (first(encode(DOWN)),))
        db.execute("INSERT INTO tombstones VALUES ('left', 6, 45, 10.0, 'goodbye', NULL)")
        db.execute("INSERT INTO intents VALUES ('a', 'STAGING', 'PRODUCTION')")
        for event, acknowledged_at in ((TOLD, None), (make_event("old", sequence=2, recipient="boss"), 7.0)):
            line = (event.sequence, 1.0, event.type, event.service_id, event.recipient, encode(event))
            db.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", line)
            delivery = (event.alert_id, event.recipient, event.sequence, acknowledged_at)
            db.execute("INSERT INTO deliveries VALUES (?, ?, ?, ?)", delivery)
        db.execute("INSERT INTO meta VALUES ('revision', 1000), ('incarnation', 8)")
        db.commit()


def loaded(folder: Path) -> Stored:
    """What a registry that starts on it finds."""
    with closing(SqliteStore(folder)) as store:
        return store.load()


@pytest.fixture(params=[loaded, lambda folder: (loaded(folder), loaded(folder))[1]], ids=["first start", "second"])
def found(request: pytest.FixtureRequest, tmp_path: Path) -> Stored:
    """The store of the first version, as it is read now."""
    read: Callable[[Path], Stored] = request.param
    write_first_schema(tmp_path)
    return read(tmp_path)


def test_everything_that_was_stored_is_there(found: Stored) -> None:
    assert [service.spec.service_id for service in found.services] == ["a", "b"]
    assert (found.revision, found.incarnation, found.last_sequence) == (1000, 8, 2)
    assert [intent.service_id for intent in found.intents] == ["a"]
    assert found.maintenance == []
    assert found.waiting == [Delivery(TOLD, 0.0, escalated=False)]
    assert sorted(tombstone.service_id for tombstone in found.tombstones) == ["gone", "left"]
    assert {(tombstone.name, tombstone.parent) for tombstone in found.tombstones} == {("", "")}


def test_who_was_told_of_a_death_counts_as_told_so_that_nobody_is_told_again(found: Stored) -> None:
    told, untold = (service.judgement for service in found.services)
    assert (told.told_to, told.folded_into) == (("boss",), "")
    assert untold.told_to == ()
    (gone,) = (tombstone.judgement for tombstone in found.tombstones if tombstone.service_id == "gone")
    assert gone is not None
    assert gone.told_to == ("boss",)


def test_what_is_new_can_be_written_to_it(tmp_path: Path) -> None:
    write_first_schema(tmp_path)
    tombstone = Tombstone("x", 9, 46, 11.0, "goodbye", None, "X", "boss")
    maintenance = Maintenance("a", 1.0, None, "new disk")
    with closing(SqliteStore(tmp_path)) as store:
        store.commit([RemoveService(tombstone), PutMaintenance(maintenance), StopEscalation(TOLD.alert_id, "boss")])
    found = loaded(tmp_path)
    assert tombstone in found.tombstones
    assert found.maintenance == [maintenance]
    assert found.waiting == [Delivery(TOLD, 0.0, escalated=True)]


def test_a_store_of_the_future_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    write_first_schema(tmp_path)
    with closing(sqlite3.connect(tmp_path / FILE)) as db:
        db.execute("PRAGMA user_version = 77")
    with pytest.raises(StoreError, match="schema 77"):
        SqliteStore(tmp_path)
    with closing(sqlite3.connect(tmp_path / FILE)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (77,)
        assert len(db.execute("SELECT * FROM pragma_table_info('tombstones')").fetchall()) == 6
