"""Stores the data of the registry in SQLite: one file, with a write-ahead log and synchronous=FULL. Everything that
waits is committed in one transaction (group commit)."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import IO, Any, TypeVar

from grid_model.event import Event
from grid_model.observation import Delivery
from grid_model.service import Maintenance, ServiceRole

from grid_hosting.data_files import RESTORED
from grid_hosting.start import absolute, reason
from registry_server.core.effects import AppendEvent, Write
from registry_server.core.event_log import EventFilter
from registry_server.core.service import Intent, OwnedId, Tombstone
from registry_server.io.store import Stored, StoreError
from registry_server.io.store.batch import Batch
from registry_server.io.store.encoding import decode_event, decode_judgement, decode_service, encode
from registry_server.io.store.examine import APPLICATION_ID, RESTORE, examine

Value = str | int | float | None
T = TypeVar("T")

FILE = "registry.db"
SCHEMA_VERSION = 5
"""The version of the schema, which is raised when an older program would misread or drop what is stored. 2: names,
parents and escalated copies have columns. 3: a judgement says which alert reported the removal, and when an operator
acknowledged the loss. 4: ids have owners, and events contain their publishers. 5: services may refuse children."""

KEPT_TOMBSTONES = 10_000

REVISIONS_APART = 100_000_000
NUMBERS_APART = 1_000_000
"""By how much a restored registry raises its incarnations and sequence numbers (REVISIONS_APART: its revisions) above
those of the backup: by more than can have been used since the backup was made."""

LOG_BYTES = 4 << 20
"""Size in bytes that the write-ahead log has from the start: the size that it reaches before SQLite writes from its
beginning again."""

OLDEST_SQLITE = (3, 33)
"""The first version of SQLite that supports UPDATE ... FROM."""

ROWS = 500
"""Maximum number of rows in one statement; with eight columns, that is far below SQLite's limit of 32,766 values."""

_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What reading a stored text raises if the text was damaged."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS services (
    service_id TEXT PRIMARY KEY, last_heartbeat_at REAL NOT NULL, record TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tombstones (
    service_id TEXT PRIMARY KEY, incarnation INTEGER NOT NULL, revision INTEGER NOT NULL,
    removed_at REAL NOT NULL, reason TEXT NOT NULL, judgement TEXT,
    name TEXT NOT NULL DEFAULT '', parent TEXT NOT NULL DEFAULT '') WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS intents (
    service_id TEXT PRIMARY KEY, promoted_from TEXT NOT NULL, promoted_to TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS owners (
    service_id TEXT PRIMARY KEY, owner TEXT NOT NULL, removed_at REAL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS maintenance (
    service_id TEXT PRIMARY KEY, since REAL NOT NULL, until REAL, reason TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events (
    sequence INTEGER PRIMARY KEY, occurred_at REAL NOT NULL, type TEXT NOT NULL, service_id TEXT NOT NULL,
    recipient TEXT NOT NULL, event TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS events_by_service ON events (service_id, sequence) WHERE service_id <> '';
CREATE INDEX IF NOT EXISTS events_by_recipient ON events (recipient, sequence) WHERE recipient <> '';
CREATE TABLE IF NOT EXISTS deliveries (
    alert_id TEXT NOT NULL, recipient TEXT NOT NULL, sequence INTEGER NOT NULL, acknowledged_at REAL,
    climbed INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (alert_id, recipient)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS deliveries_waiting ON deliveries (sequence) WHERE acknowledged_at IS NULL;
"""

_FROM_FIRST_SCHEMA = """
ALTER TABLE tombstones ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE tombstones ADD COLUMN parent TEXT NOT NULL DEFAULT '';
ALTER TABLE deliveries ADD COLUMN climbed INTEGER NOT NULL DEFAULT 0;
"""


class SqliteStore:
    """A `Store` in `folder`, which is created if it is missing. Raises StoreError if another registry uses the folder,
    or if the database cannot be used."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / FILE
        self._lock = _hold(folder / "registry.lock")
        try:
            _check_library()
            self._lock.seek(0)
            held_before = bool(self._lock.read())
            examine(self._path, newest_schema=SCHEMA_VERSION, held_before=held_before)
            # Opened here; then one thread commits through the first, and another reads through the second.
            self._db = sqlite3.connect(folder / FILE, isolation_level=None, check_same_thread=False)
            self._reader = sqlite3.connect(folder / FILE, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._migrate()
            self._db.executescript(_SCHEMA)
            self._file = _identity(self._path)
            if not held_before:
                self._lock.write(f"{FILE} holds a registry; if it is empty it was truncated\n")
                self._lock.flush()
            self._begin_history_after_restore(folder / RESTORED)
            self._make_room(folder / f"{FILE}-wal")
        except (sqlite3.Error, OSError, StoreError) as error:
            self._lock.close()
            why = reason(error) if isinstance(error, OSError) else str(error)
            raise StoreError(f"{absolute(self._path)}: {why}") from error

    def load(self) -> Stored:
        """Return all stored data, and delete data whose retention is over."""
        db = self._db
        try:
            meta: dict[str, int] = dict(db.execute("SELECT key, value FROM meta"))
            rows = db.execute("SELECT * FROM tombstones ORDER BY revision DESC").fetchall()
            forgotten = rows[KEPT_TOMBSTONES:]
            if forgotten:
                meta["compacted"] = max(meta.get("compacted", 0), forgotten[0][2])
                db.execute("BEGIN IMMEDIATE")
                db.execute("DELETE FROM tombstones WHERE revision <= ?", (meta["compacted"],))
                db.execute("INSERT OR REPLACE INTO meta VALUES ('compacted', ?)", (meta["compacted"],))
                db.execute("COMMIT")
            services = [
                decode_service(record) for (record,) in db.execute("SELECT record FROM services ORDER BY service_id")
            ]
            heard = dict(db.execute("SELECT service_id, last_heartbeat_at FROM services"))
            first, last, count = db.execute("SELECT MIN(sequence), MAX(sequence), COUNT(*) FROM events").fetchone()
            return Stored(
                services=[replace(service, last_heartbeat_at=heard[service.spec.service_id]) for service in services],
                tombstones=[
                    Tombstone(
                        service_id, number, revision, at, why, decode_judgement(text) if text else None, name, parent
                    )
                    for service_id, number, revision, at, why, text, name, parent in rows[:KEPT_TOMBSTONES]
                ],
                intents=[
                    Intent(service_id, ServiceRole[before], ServiceRole[after])
                    for service_id, before, after in db.execute("SELECT * FROM intents")
                ],
                owned=[OwnedId(*row) for row in db.execute("SELECT * FROM owners ORDER BY removed_at, service_id")],
                maintenance=[Maintenance(*row) for row in db.execute("SELECT * FROM maintenance")],
                waiting=[
                    Delivery(decode_event(event), 0.0, bool(climbed))
                    for event, climbed in db.execute(
                        "SELECT event, climbed FROM deliveries JOIN events USING (sequence)"
                        " WHERE acknowledged_at IS NULL ORDER BY sequence"
                    )
                ],
                revision=meta.get("revision", 0),
                compacted_revision=meta.get("compacted", 0),
                incarnation=meta.get("incarnation", 0),
                first_sequence=first or meta.get("sequence", 0) + 1,
                last_sequence=max(last or 0, meta.get("sequence", 0)),
                events=count,
            )
        except (sqlite3.Error, *_UNREADABLE) as error:
            why = f"the stored data cannot be read ({error!r}): {RESTORE}"
            raise StoreError(f"{absolute(self._path)}: {why}") from error

    def commit(self, writes: Sequence[Write]) -> None:
        """Apply all writes in one transaction."""
        db = self._db
        try:
            db.execute("BEGIN IMMEDIATE")
            _write(db, Batch.of(writes))
            db.execute("COMMIT")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            raise StoreError(f"{absolute(self._path)}: cannot write: {error}") from error
        # SQLite goes on with a file that has no name any more, and all of it would be gone at the next start.
        if _identity(self._path) != self._file:
            raise StoreError(f"{absolute(self._path)}: was removed or replaced while the registry used it")

    def read_events(
        self, after: int, limit: int, wanted: EventFilter, *, unacknowledged: bool = False, newest: bool = False
    ) -> list[Event]:
        """Return up to `limit` matching events after the sequence number `after`, oldest first. `newest`: return the
        last ones instead of the first."""
        clauses = ["events.sequence > ?"]
        values: list[object] = [after]
        for column, value in (("recipient", wanted.recipient), ("service_id", wanted.service_id)):
            if value:
                clauses.append(f"events.{column} = ?")
                values.append(value)
        if wanted.types:
            clauses.append(f"type IN ({','.join('?' * len(wanted.types))})")
            values += sorted(wanted.types)
        join = ""
        if unacknowledged:
            join = "JOIN deliveries USING (sequence)"
            clauses.append("acknowledged_at IS NULL")
        order = "DESC" if newest else "ASC"
        page = f"SELECT event FROM events {join} WHERE {' AND '.join(clauses)} ORDER BY events.sequence {order} LIMIT ?"
        # One row: the driver gives the interpreter away for each, and gets it back late from a busy event loop.
        query = f"SELECT group_concat(event, char(10)) FROM ({page})"
        (lines,) = self._read(query, (*values, limit))
        try:
            events = [decode_event(line) for line in lines.split("\n")] if lines else []
        except _UNREADABLE as error:
            raise StoreError(f"{absolute(self._path)}: a stored event cannot be read ({error!r}): {RESTORE}") from error
        return sorted(events, key=attrgetter("sequence"))

    def was_sent(self, alert_id: str, recipient: str) -> bool:
        """Return whether this alert was ever addressed to `recipient` (empty: to any recipient)."""
        query = "SELECT 1 FROM deliveries WHERE alert_id = ? AND (? = '' OR recipient = ?) LIMIT 1"
        return self._read(query, (alert_id, recipient, recipient)) is not None

    def first_event_since(self, recorded_at: float) -> int:
        """Return the number that follows the sequence number of the last event that was recorded before `recorded_at`
        (seconds since the epoch). All events from that number on were recorded at `recorded_at` or later."""
        (last,) = self._read("SELECT MAX(sequence) FROM events WHERE occurred_at < ?", (recorded_at,))
        return int(last or 0) + 1

    def close(self) -> None:
        """Close the files."""
        self._reader.close()
        self._db.close()
        self._lock.close()

    def _read(self, query: str, values: Sequence[object]) -> Any:
        """Return the first row that a query finds; None if it finds no row. Raises StoreError."""
        try:
            return self._reader.execute(query, values).fetchone()
        except sqlite3.Error as error:
            raise StoreError(f"{absolute(self._path)}: cannot read: {error}") from error

    def _begin_history_after_restore(self, marker: Path) -> None:
        """Continue, after a backup was restored, with numbers that no client can have seen.

        The numbers that were used between the backup and its restoration are not known here: if an incarnation were
        used again, its former holder could act for another service, and a reader would take a new revision for one that
        it already has.
        """
        if not marker.exists():
            return
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        (last,) = db.execute("SELECT MAX(sequence) FROM events").fetchone()
        meta: dict[str, int] = dict(db.execute("SELECT key, value FROM meta"))
        revision = meta.get("revision", 0) + REVISIONS_APART
        later = {
            "revision": revision,
            "compacted": revision,
            "incarnation": meta.get("incarnation", 0) + NUMBERS_APART,
            "sequence": max(last or 0, meta.get("sequence", 0)) + NUMBERS_APART,
        }
        db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", later.items())
        db.execute("COMMIT")
        marker.unlink()  # where this is lost to a crash, the numbers are moved on once more, which harms nobody

    def _make_room(self, log: Path) -> None:
        """Allocate the log at its full size beforehand: a commit that has to extend the file takes 0.1 ms more than 0.5
        ms.

        More data than the page cache holds is written to the log before it is committed, and stays there if it is not
        committed.
        """
        if not log.exists() or log.stat().st_size >= LOG_BYTES:
            return  # there is none on a file system that cannot have one
        (cache,) = self._db.execute("PRAGMA cache_size").fetchone()
        self._db.execute("PRAGMA cache_size=16")
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("CREATE TABLE room (bytes BLOB)")
        self._db.execute("INSERT INTO room VALUES (zeroblob(?))", (LOG_BYTES + (64 << 10),))
        self._db.execute("ROLLBACK")
        self._db.execute(f"PRAGMA cache_size={cache}")
        with log.open("rb") as file:
            os.fsync(file.fileno())

    def _migrate(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version == 1:
            self._db.executescript(f"BEGIN IMMEDIATE; {_FROM_FIRST_SCHEMA} PRAGMA user_version = 2; COMMIT")
        self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        self._db.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def _identity(path: Path) -> tuple[int, int] | None:
    """Return the device and inode of a file, by which it is distinguished from a file that replaces it; None if there
    is no such file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _check_library() -> None:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        raise StoreError(f"this Python has SQLite {sqlite3.sqlite_version}; at least {oldest} is needed")


def _hold(path: Path) -> IO[str]:
    """Lock the store: two registries on one store would each believe that they are its only writer, so the second must
    not start."""
    lock = path.open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise StoreError(f"{absolute(path.parent)} is in use by another registry") from error
    return lock


def _write(db: sqlite3.Connection, batch: Batch) -> None:
    """Write the rows of a batch, in a few statements for each table."""
    put, gone = _apart(batch.services)
    _for_rows(db, "DELETE FROM services WHERE service_id IN ({rows})", gone)
    services = [(service_id, service.last_heartbeat_at, encode(service)) for service_id, service in put]
    _for_rows(db, "INSERT OR REPLACE INTO services {rows}", services)
    _for_rows(db, _HEARD, list(batch.heard.items()))
    buried, gone = _apart(batch.tombstones)
    _for_rows(db, "DELETE FROM tombstones WHERE service_id IN ({rows})", gone)
    _for_rows(db, "INSERT OR REPLACE INTO tombstones {rows}", [_tombstone_row(tombstone) for _, tombstone in buried])
    intents, gone = _apart(batch.intents)
    _for_rows(db, "DELETE FROM intents WHERE service_id IN ({rows})", gone)
    roles = [(service_id, intent.promoted_from.name, intent.promoted_to.name) for service_id, intent in intents]
    _for_rows(db, "INSERT OR REPLACE INTO intents {rows}", roles)
    owned, gone = _apart(batch.owners)
    _for_rows(db, "DELETE FROM owners WHERE service_id IN ({rows})", gone)
    owners = [(service_id, each.owner, each.removed_at) for service_id, each in owned]
    _for_rows(db, "INSERT OR REPLACE INTO owners {rows}", owners)
    held, gone = _apart(batch.maintenance)
    _for_rows(db, "DELETE FROM maintenance WHERE service_id IN ({rows})", gone)
    periods = [(service_id, each.since, each.until, each.reason) for service_id, each in held]
    _for_rows(db, "INSERT OR REPLACE INTO maintenance {rows}", periods)
    _for_rows(db, "INSERT INTO events {rows}", [_event_row(write) for write in batch.appended])
    deliveries = [_delivery_row(write) for write in batch.appended if write.event.recipient]
    _for_rows(db, "INSERT OR IGNORE INTO deliveries {rows}", deliveries)
    _for_rows(db, _ESCALATED, list(batch.escalated))
    _for_rows(db, _ENDED, [(*key, at) for key, at in batch.ended.items()])
    if batch.incarnation:
        db.execute(f"INSERT INTO meta VALUES ('incarnation', ?) {_HIGHEST}", (batch.incarnation,))
    if batch.revisions:
        db.execute("INSERT OR REPLACE INTO meta VALUES ('revision', ?)", (batch.revisions,))
    if batch.compact_before:
        _compact_events(db, batch.compact_before)


_HIGHEST = "ON CONFLICT (key) DO UPDATE SET value = MAX(value, excluded.value)"

_HEARD = """
WITH heard (id, at) AS ({rows})
UPDATE services SET last_heartbeat_at = heard.at FROM heard WHERE service_id = heard.id
"""

_ESCALATED = """
WITH escalated (alert, agent) AS ({rows})
UPDATE deliveries SET climbed = 1 FROM escalated WHERE alert_id = escalated.alert AND recipient = escalated.agent
"""

_ENDED = """
WITH ended (alert, agent, at) AS ({rows})
UPDATE deliveries SET acknowledged_at = ended.at FROM ended
WHERE alert_id = ended.alert AND recipient = ended.agent AND acknowledged_at IS NULL
"""


def _for_rows(db: sqlite3.Connection, statement: str, rows: Sequence[tuple[Value, ...]]) -> None:
    """Run a statement with all rows in place of `{rows}`, at most ROWS at a time; do nothing without rows."""
    for first in range(0, len(rows), ROWS):
        part = rows[first : first + ROWS]
        row = f"({','.join('?' * len(part[0]))})"
        db.execute(
            statement.format(rows=f"VALUES {','.join([row] * len(part))}"), [each for row in part for each in row]
        )


def _apart(rows: Mapping[str, T | None]) -> tuple[list[tuple[str, T]], list[tuple[str]]]:
    """Return the rows to write, and the keys of those to delete."""
    return [(key, row) for key, row in rows.items() if row is not None], [
        (key,) for key, row in rows.items() if row is None
    ]


def _tombstone_row(tombstone: Tombstone) -> tuple[Value, ...]:
    judgement = None if tombstone.judgement is None else encode(tombstone.judgement)
    return (
        tombstone.service_id,
        tombstone.incarnation,
        tombstone.revision,
        tombstone.removed_at,
        tombstone.reason,
        judgement,
        tombstone.name,
        tombstone.parent,
    )


def _event_row(write: AppendEvent) -> tuple[Value, ...]:
    event = write.event
    # The column is called `occurred_at`, but is only read for the retention; the event itself has its own time.
    recorded_at = event.occurred_at if write.recorded_at is None else write.recorded_at
    return (event.sequence, recorded_at, event.type, event.service_id, event.recipient, encode(event))


def _delivery_row(write: AppendEvent) -> tuple[Value, ...]:
    return (write.event.alert_id, write.event.recipient, write.event.sequence, None, write.escalated)


def _compact_events(db: sqlite3.Connection, first: int) -> None:
    # The numbers go on where they were, even where every event is gone.
    (last,) = db.execute("SELECT MAX(sequence) FROM events").fetchone()
    if last is not None:
        db.execute(f"INSERT INTO meta VALUES ('sequence', ?) {_HIGHEST}", (last,))
    db.execute("DELETE FROM deliveries WHERE sequence < ?", (first,))
    db.execute("DELETE FROM events WHERE sequence < ?", (first,))
