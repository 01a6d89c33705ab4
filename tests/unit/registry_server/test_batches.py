"""A batch of lines is committed in a few statements, and leaves what its lines would leave one by one."""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from grid_model.service import Maintenance, ServiceRole
from hypothesis import given, settings
from hypothesis import strategies as st

from registry_server.core.effects import (
    Acknowledge,
    AppendEvent,
    CompactEvents,
    DropIntent,
    DropMaintenance,
    PutHeartbeats,
    PutIntent,
    PutMaintenance,
    PutService,
    RemoveService,
    ReserveRevisions,
    StopEscalation,
    WithdrawCopy,
    Write,
)
from registry_server.core.event_log import EventFilter
from registry_server.core.outgoing import REVISION_BLOCK, Outgoing, without_repeats
from registry_server.core.service import Intent, Judgement, Report, StoredService, Tombstone
from registry_server.io.store import StoreError
from registry_server.io.store import sqlite as sqlite_store
from registry_server.io.store.sqlite import FILE, SqliteStore
from tests.unit.registry_server.builders import make_event, make_spec

TABLES = ("services", "tombstones", "intents", "maintenance", "events", "deliveries")
MOST_STATEMENTS = 20
"""For one batch of fewer than ROWS lines of each kind."""


def stored(service_id: str, incarnation: int = 1, heard_at: float = 2.0) -> StoredService:
    """A record of that incarnation."""
    spec = make_spec(service_id)
    return StoredService(spec, ServiceRole.STAGING, incarnation, (), 1.0, heard_at, True, Report(), Judgement())


@st.composite
def batches(draw: st.DrawFn) -> list[Write]:
    """Lines as a registry writes them: alerts are addressed before they are acknowledged, numbers grow."""
    ids, times = st.sampled_from("abc"), st.floats(0, 2e9)
    sent: list[tuple[str, str]] = []
    lines: list[Write] = []
    for number, kind in enumerate(draw(st.lists(st.integers(0, 11), max_size=30)), start=1):
        service_id, at = draw(ids), draw(times)
        match kind:
            case 0 | 1:
                lines.append(PutService(stored(service_id, number, at), fresh=kind == 0))
            case 2:
                lines.append(RemoveService(Tombstone(service_id, number, number, at, "goodbye", None)))
            case 3:
                lines.append(PutHeartbeats(tuple((each, draw(times)) for each in draw(st.sets(ids)))))
            case 4:
                lines.append(PutIntent(Intent(service_id, ServiceRole.STAGING, draw(st.sampled_from(ServiceRole)))))
            case 5:
                lines.append(DropIntent(service_id) if draw(st.booleans()) else DropMaintenance(service_id))
            case 6:
                lines.append(PutMaintenance(Maintenance(service_id, at, draw(st.none() | times), f"reason {number}")))
            case 7:
                lines.append(ReserveRevisions(number * 100))
            case 8:
                lines.append(CompactEvents(draw(st.integers(0, number))))
            case 9 | 10 if sent:
                key = draw(st.sampled_from(sent))
                end = draw(st.sampled_from([Acknowledge, WithdrawCopy]))
                lines.append(StopEscalation(*key) if kind == 9 else end(*key, at))
            case _:
                alert_id, recipient = f"alert {number}", draw(st.sampled_from(["", "boss", "other"]))
                event = make_event(sequence=number, alert_id=alert_id, recipient=recipient, occurred_at=at)
                lines.append(AppendEvent(event, escalated=draw(st.booleans())))
                if recipient:
                    sent.append((alert_id, recipient))
    return lines


def tables(folder: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table."""
    with closing(sqlite3.connect(folder / FILE)) as db:
        return {table: sorted(db.execute(f"SELECT * FROM {table}").fetchall(), key=repr) for table in TABLES}


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that all stores run from now on."""
    seen: list[str] = []

    def traced(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)
        connection.set_trace_callback(seen.append)
        return connection

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", traced)
    return seen


@settings(deadline=None, max_examples=60)
@given(batches())
def test_a_batch_leaves_what_its_lines_leave_one_by_one(lines: list[Write]) -> None:
    with tempfile.TemporaryDirectory() as name:
        together, apart = Path(name, "together"), Path(name, "apart")
        with closing(SqliteStore(together)) as one, closing(SqliteStore(apart)) as other:
            one.commit(lines)
            for line in lines:
                other.commit([line])
            assert one.load() == other.load()
        assert tables(together) == tables(apart)


@settings(deadline=None, max_examples=60)
@given(batches())
def test_lines_without_repeats_leave_what_all_lines_leave(lines: list[Write]) -> None:
    with tempfile.TemporaryDirectory() as name:
        fewer, all_lines = Path(name, "fewer"), Path(name, "all")
        with closing(SqliteStore(fewer)) as one, closing(SqliteStore(all_lines)) as other:
            one.commit(without_repeats(lines))
            other.commit(lines)
            assert one.load() == other.load()
        assert tables(fewer) == tables(all_lines)


def test_a_record_that_is_rewritten_many_times_is_written_once() -> None:
    outgoing = Outgoing(revision=REVISION_BLOCK)
    for _ in range(100):
        for number in range(1, 51):
            outgoing.write(PutService(stored(f"service-{number}", number), fresh=False))
    assert len(outgoing.take(0).writes) == 50


def test_more_rows_than_fit_in_one_statement_are_all_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_store, "ROWS", 4)
    with closing(SqliteStore(tmp_path)) as store:
        store.commit([PutService(stored(f"service-{number}", number)) for number in range(1, 12)])
        assert [service.incarnation for service in store.load().services] == [1, 10, 11, *range(2, 10)]


def test_hundreds_of_lines_take_a_few_statements(tmp_path: Path, statements: list[str]) -> None:
    """Each statement waits for the interpreter, up to 5 ms beside a busy loop: with one a line, 2,000 took seconds."""
    lines: list[Write] = []
    for number in range(1, 400):
        alert = make_event(sequence=number, alert_id=f"alert {number}", recipient="boss")
        lines += [PutService(stored(f"service-{number}", number)), AppendEvent(alert)]
        lines += [RemoveService(Tombstone(f"gone-{number}", number, number, 1.0, "goodbye", None))]
        lines += [StopEscalation(f"alert {number}", "boss"), Acknowledge(f"alert {number}", "boss", 3.0)]
        lines += [PutHeartbeats(((f"service-{number}", 4.0),))]
    with closing(SqliteStore(tmp_path)) as store:
        statements.clear()
        store.commit(lines)
        assert 0 < len(statements) <= MOST_STATEMENTS


def test_pages_of_events_are_read_whole_and_in_order(tmp_path: Path) -> None:
    events = [make_event(sequence=number, details={"text": "two\nlines\0"}) for number in range(1, 300)]
    with closing(SqliteStore(tmp_path)) as store:
        store.commit([AppendEvent(event) for event in events])
        assert store.read_events(0, 299, EventFilter()) == events
        assert store.read_events(0, 5, EventFilter(), newest=True) == events[-5:]


def test_an_sqlite_that_is_too_old_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 32, 3))
    monkeypatch.setattr(sqlite3, "sqlite_version", "3.32.3")
    with pytest.raises(StoreError, match=r"SQLite 3\.32\.3; at least 3\.33"):
        SqliteStore(tmp_path)
