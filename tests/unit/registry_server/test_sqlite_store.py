"""What was committed is there after a restart, after compaction, and after a kill in the middle of a commit."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from grid_model.event import Event
from grid_model.liveness import Liveness, LivenessCause
from grid_model.service import Maintenance, ServiceRole, ServiceStatus

from grid_hosting.data_files import RESTORED
from registry_server.core.effects import (
    AppendEvent,
    CompactEvents,
    DropMaintenance,
    PutMaintenance,
    PutService,
    RemoveService,
    ReserveRevisions,
    StopEscalation,
    Write,
)
from registry_server.core.event_log import EventFilter
from registry_server.core.service import Judgement, Report, StoredService, Tombstone
from registry_server.io.store import Stored, StoreError
from registry_server.io.store import sqlite as sqlite_store
from registry_server.io.store.sqlite import NUMBERS_APART, REVISIONS_APART, SqliteStore
from tests.unit.registry_server.builders import make_event, make_spec

EVERYTHING = EventFilter()
DOWN = Judgement(Liveness.DOWN, LivenessCause.SILENT, 5.0, 2, make_event("service_down", sequence=3))


def stored_service(service_id: str = "a", incarnation: int = 7) -> StoredService:
    """A record with something in every field."""
    spec = make_spec(service_id, labels={"k": [1, None, {"x": 2.5}]}, caps=("x", "y"), cost_hint={"usd": 0.1})
    report = Report(ServiceStatus.BLOCKED, 1.5, 3, 0.25, "größer", 0.5, 2**64 - 1, 0.1, 1e9)
    return StoredService(spec, ServiceRole.CANARY, incarnation, (("i", 6), ("", 7)), 1.0, 2.0, True, report, DOWN)


def append(*sequences: int, recipient: str = "", **fields: Any) -> list[Write]:
    """Lines for events with these numbers; each an alert of its own, ten seconds after the one before."""
    return [
        AppendEvent(make_event(sequence=n, alert_id=f"alert {n}", recipient=recipient, occurred_at=n * 10.0, **fields))
        for n in sequences
    ]


def numbers(events: list[Event]) -> list[int]:
    """Their places in the log."""
    return [event.sequence for event in events]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """An empty store."""
    with closing(SqliteStore(tmp_path)) as store:
        yield store


def reopened(folder: Path) -> Stored:
    """What another process would find."""
    with closing(SqliteStore(folder)) as store:
        return store.load()


def test_tombstones_beyond_the_bound_become_a_gap_that_is_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_store, "KEPT_TOMBSTONES", 2)
    with closing(SqliteStore(tmp_path)) as store:
        store.commit([RemoveService(Tombstone(f"s{n}", n, n * 10, 0.0, "goodbye", None)) for n in range(1, 6)])
    for _ in range(2):
        found = reopened(tmp_path)
        assert sorted(tombstone.revision for tombstone in found.tombstones) == [40, 50]
        assert found.compacted_revision == 30


def test_a_second_registry_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path)) as first:
        with pytest.raises(StoreError, match="in use"):
            SqliteStore(tmp_path)
        first.commit([PutService(stored_service())])
    assert reopened(tmp_path).services == [stored_service()]


def test_a_store_of_a_later_schema_is_refused_and_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(SqliteStore(tmp_path)) as store:
        store.commit([PutService(stored_service())])
    with monkeypatch.context() as patch:
        patch.setattr(sqlite_store, "SCHEMA_VERSION", sqlite_store.SCHEMA_VERSION - 1)
        with pytest.raises(StoreError, match=f"has schema {sqlite_store.SCHEMA_VERSION + 1}; this program supports"):
            SqliteStore(tmp_path)
    assert reopened(tmp_path).services == [stored_service()]


def test_a_store_of_the_second_schema_is_taken_over(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path)) as store:
        store.commit([PutService(stored_service())])
    with closing(sqlite3.connect(tmp_path / sqlite_store.FILE)) as db:
        db.execute("PRAGMA user_version = 2")
    assert reopened(tmp_path).services == [stored_service()]
    with closing(sqlite3.connect(tmp_path / sqlite_store.FILE)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (sqlite_store.SCHEMA_VERSION,)


COMMIT_FOR_EVER = """
import sys
from itertools import count
from pathlib import Path
from typing import Any
from registry_server.core.effects import AppendEvent, PutService
from registry_server.io.store.sqlite import NUMBERS_APART, REVISIONS_APART, SqliteStore
from tests.unit.registry_server.builders import make_event
from tests.unit.registry_server.test_sqlite_store import stored_service

store = SqliteStore(Path(sys.argv[1]))
for n in count(1):
    event = make_event(sequence=n, alert_id=str(n), recipient="boss")
    store.commit([PutService(stored_service(f"s{n}", n)), AppendEvent(event)])
    print(n, flush=True)  # acknowledged
"""


@pytest.mark.parametrize("acknowledged", [1, 40])
def test_a_kill_in_the_middle_of_commits_loses_nothing_that_was_acknowledged(tmp_path: Path, acknowledged: int) -> None:
    root = Path(__file__).resolve().parents[3]
    command = [sys.executable, "-c", COMMIT_FOR_EVER, str(tmp_path)]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for _ in range(acknowledged):
            assert writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        rest = [line for line in writer.stdout if line.endswith("\n")]
    promised = int(rest[-1]) if rest else acknowledged
    found = reopened(tmp_path)
    # One commit more may have reached the disk before its acknowledgement was said; it is there whole.
    assert found.last_sequence in (promised, promised + 1)
    assert numbers([copy.event for copy in found.waiting]) == list(range(1, found.last_sequence + 1))
    assert {service.incarnation for service in found.services} == set(range(1, found.last_sequence + 1))


def test_a_store_of_the_first_schema_is_taken_over(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path)) as store:
        store.commit([PutService(stored_service())])
    with closing(sqlite3.connect(tmp_path / sqlite_store.FILE)) as db:
        db.executescript(
            """
            DROP TABLE tombstones; DROP TABLE deliveries; DROP TABLE maintenance;
            CREATE TABLE tombstones (
                service_id TEXT PRIMARY KEY, incarnation INTEGER NOT NULL, revision INTEGER NOT NULL,
                removed_at REAL NOT NULL, reason TEXT NOT NULL, judgement TEXT) WITHOUT ROWID;
            CREATE TABLE deliveries (
                alert_id TEXT NOT NULL, recipient TEXT NOT NULL, sequence INTEGER NOT NULL, acknowledged_at REAL,
                PRIMARY KEY (alert_id, recipient)) WITHOUT ROWID;
            INSERT INTO tombstones VALUES ('gone', 1, 1, 1.0, 'goodbye', NULL);
            PRAGMA user_version = 1;
            """
        )
    for _ in range(2):  # the second time it is of the new one
        with closing(SqliteStore(tmp_path)) as store:
            found = store.load()
            assert [service.spec.service_id for service in found.services] == [stored_service().spec.service_id]
            assert [(tombstone.service_id, tombstone.name, tombstone.parent) for tombstone in found.tombstones] == [
                ("gone", "", "")
            ]


def test_what_an_operator_holds_and_which_copies_climbed_survive_a_restart(tmp_path: Path) -> None:
    alert = make_event("service_down", recipient="boss", sequence=1)
    held = Maintenance("a", 1.0, 2.0, "new disk")
    with closing(SqliteStore(tmp_path)) as store:
        store.commit([AppendEvent(alert), StopEscalation(alert.alert_id, "boss"), PutMaintenance(held)])
    with closing(SqliteStore(tmp_path)) as store:
        found = store.load()
        assert [(copy.event, copy.escalated) for copy in found.waiting] == [(alert, True)]
        assert found.maintenance == [held]
        store.commit([DropMaintenance("a")])
        assert store.load().maintenance == []


def test_the_log_has_its_size_from_the_start_and_commits_do_not_make_it_longer(tmp_path: Path) -> None:
    log = tmp_path / f"{sqlite_store.FILE}-wal"
    with closing(SqliteStore(tmp_path)) as store:
        size = log.stat().st_size
        for number in range(1, 50):
            store.commit([AppendEvent(make_event(sequence=number))])
        assert size >= sqlite_store.LOG_BYTES
        assert log.stat().st_size == size
        assert store.load().last_sequence == 49
    with closing(sqlite3.connect(tmp_path / sqlite_store.FILE)) as db:
        assert db.execute("SELECT COUNT(*) FROM sqlite_master WHERE name = 'room'").fetchone() == (0,)
        assert (tmp_path / sqlite_store.FILE).stat().st_size < sqlite_store.LOG_BYTES, "the store itself stays small"


def test_room_is_made_behind_what_a_killed_registry_left_in_a_short_log(tmp_path: Path) -> None:
    subprocess.run(
        [
            sys.executable,
            "-c",
            "import os, sys; from pathlib import Path; from registry_server.io.store import sqlite\n"
            "sqlite.LOG_BYTES = 0\n"
            "from registry_server.core.effects import ReserveRevisions\n"
            "store = sqlite.SqliteStore(Path(sys.argv[1])); store.commit([ReserveRevisions(42)]); os._exit(0)",
            str(tmp_path),
        ],
        check=True,
    )
    log = tmp_path / f"{sqlite_store.FILE}-wal"
    assert 0 < log.stat().st_size < sqlite_store.LOG_BYTES
    with closing(SqliteStore(tmp_path)) as store:
        assert store.load().revision == 42
        assert log.stat().st_size >= sqlite_store.LOG_BYTES
    assert not log.exists(), "the last one to close removes the log"
    with closing(SqliteStore(tmp_path)) as store:
        assert store.load().revision == 42
        assert log.stat().st_size >= sqlite_store.LOG_BYTES


def test_a_restored_registry_goes_on_with_numbers_that_nobody_can_have_seen(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    store.commit([ReserveRevisions(500), AppendEvent(make_event(sequence=7), False)])
    before = store.load()
    store.close()
    (tmp_path / RESTORED).write_text("")
    store = SqliteStore(tmp_path)
    after = store.load()
    assert not (tmp_path / RESTORED).exists()
    assert after.revision == after.compacted_revision == before.revision + REVISIONS_APART
    assert after.incarnation == before.incarnation + NUMBERS_APART
    assert (after.last_sequence, after.events) == (7 + NUMBERS_APART, 1)
    store.commit([CompactEvents(7)])
    store.close()
    store = SqliteStore(tmp_path)
    assert store.load() == after, "once, and not lowered by what is compacted"
    store.close()
