"""SQLite as the embedded store: one file, WAL, synchronous=FULL, one transaction for all that waits (group commit)."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from grid_hosting.data_files import RESTORED
from grid_hosting.start import absolute, reason
from registry_server.effects import (
    Acknowledge,
    AppendEvent,
    BuryService,
    CompactEvents,
    DropIntent,
    DropMaintenance,
    PutHeartbeats,
    PutIntent,
    PutMaintenance,
    PutService,
    ReserveRevisions,
    SettleCopy,
    WithdrawCopy,
    Write,
)
from registry_server.event_log import EventFilter
from registry_server.service import Copy, Event, Intent, Maintenance, ServiceRole, Tombstone
from registry_server.store import Stored, StoreError
from registry_server.store.encoding import decode_event, decode_judgement, decode_service, encode

FILE = "registry.db"
SCHEMA_VERSION = 2
KEPT_TOMBSTONES = 10_000

REVISIONS_APART = 100_000_000
NUMBERS_APART = 1_000_000
"""How far the numbers of a restored registry are from those of its backup: further than what was given out since."""

LOG_BYTES = 4 << 20
"""Size that the write-ahead log has from the start: as large as it grows until SQLite begins it anew."""

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
    """A `Store` in `folder`, which is made where it is missing. Raises StoreError where another registry holds it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = _hold(folder / "registry.lock")
        try:
            # Opened here; then one thread commits through the first, and another reads through the second.
            self._db = sqlite3.connect(folder / FILE, isolation_level=None, check_same_thread=False)
            self._reader = sqlite3.connect(folder / FILE, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._check_version()
            self._db.executescript(_SCHEMA)
            self._begin_history_after_restore(folder / RESTORED)
            self._make_room(folder / f"{FILE}-wal")
        except (sqlite3.Error, OSError, StoreError) as error:
            self._lock.close()
            why = reason(error) if isinstance(error, OSError) else str(error)
            raise StoreError(f"{absolute(folder / FILE)}: {why}") from error

    def load(self) -> Stored:
        """Read everything, and trim what is kept only for a while."""
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
                maintenance=[Maintenance(*row) for row in db.execute("SELECT * FROM maintenance")],
                waiting=[
                    Copy(decode_event(event), 0.0, bool(climbed))
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
        except (sqlite3.Error, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"the stored registry can not be read: {error!r}") from error

    def commit(self, writes: Sequence[Write]) -> None:
        """Apply all writes in one transaction."""
        db = self._db
        try:
            db.execute("BEGIN IMMEDIATE")
            for write in writes:
                _APPLY[type(write)](db, write)
            db.execute("COMMIT")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            raise StoreError(f"can not write: {error}") from error

    def read_events(
        self, after: int, limit: int, wanted: EventFilter, *, unacknowledged: bool = False, newest: bool = False
    ) -> list[Event]:
        """Up to `limit` matching events after the number `after`, oldest first."""
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
        query = (
            f"SELECT event FROM events {join} WHERE {' AND '.join(clauses)} ORDER BY events.sequence {order} LIMIT ?"
        )
        try:
            events = [decode_event(event) for (event,) in self._reader.execute(query, (*values, limit))]
        except sqlite3.Error as error:
            raise StoreError(f"can not read: {error}") from error
        return events[::-1] if newest else events

    def was_sent(self, alert_id: str, recipient: str) -> bool:
        """Whether such an alert was ever addressed to `recipient` (empty: to anyone)."""
        query = "SELECT 1 FROM deliveries WHERE alert_id = ? AND (? = '' OR recipient = ?) LIMIT 1"
        return self._reader.execute(query, (alert_id, recipient, recipient)).fetchone() is not None

    def first_event_since(self, occurred_at: float) -> int:
        """The number of the first event behind the last one that is older than `occurred_at`."""
        (last,) = self._reader.execute(
            "SELECT MAX(sequence) FROM events WHERE occurred_at < ?", (occurred_at,)
        ).fetchone()
        return int(last or 0) + 1

    def close(self) -> None:
        """Let go of the files."""
        self._reader.close()
        self._db.close()
        self._lock.close()

    def _begin_history_after_restore(self, marker: Path) -> None:
        """After a backup was put in place, go on with numbers that nobody can have seen.

        What was given out between the backup and its restoration is not known here: an incarnation that is given out
        again would let its holder of before speak for another, and a reader would take a revision for one that it has.
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
        """Let the log have its size beforehand: a commit that has to make the file longer takes 0.1 ms more of 0.5.

        More than the page cache holds is written to the log before it is committed, and stays there where it is not.
        """
        if not log.exists() or log.stat().st_size >= LOG_BYTES:
            return  # there is none on a file system that can not have one
        (cache,) = self._db.execute("PRAGMA cache_size").fetchone()
        self._db.execute("PRAGMA cache_size=16")
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("CREATE TABLE room (bytes BLOB)")
        self._db.execute("INSERT INTO room VALUES (zeroblob(?))", (LOG_BYTES + (64 << 10),))
        self._db.execute("ROLLBACK")
        self._db.execute(f"PRAGMA cache_size={cache}")
        with log.open("rb") as file:
            os.fsync(file.fileno())

    def _check_version(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version not in (0, 1, SCHEMA_VERSION):
            raise StoreError(f"the store has schema {version}; this program knows {SCHEMA_VERSION}")
        if version == 1:
            self._db.executescript(f"BEGIN IMMEDIATE; {_FROM_FIRST_SCHEMA} PRAGMA user_version = 2; COMMIT")
        self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _hold(path: Path) -> IO[str]:
    """Two registries on one store would each believe they are the only writer; the second must not start."""
    lock = path.open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise StoreError(f"{absolute(path.parent)} is in use by another registry") from error
    return lock


def _put_service(db: sqlite3.Connection, write: PutService) -> None:
    service = write.service
    service_id = service.spec.service_id
    db.execute(
        "INSERT OR REPLACE INTO services VALUES (?, ?, ?)", (service_id, service.last_heartbeat_at, encode(service))
    )
    if not write.fresh:
        return
    db.execute("DELETE FROM tombstones WHERE service_id = ?", (service_id,))
    db.execute(
        "INSERT INTO meta VALUES ('incarnation', ?) ON CONFLICT (key) DO UPDATE SET value = MAX(value, excluded.value)",
        (service.incarnation,),
    )


def _bury_service(db: sqlite3.Connection, write: BuryService) -> None:
    stone = write.tombstone
    judgement = None if stone.judgement is None else encode(stone.judgement)
    db.execute("DELETE FROM services WHERE service_id = ?", (stone.service_id,))
    db.execute(
        "INSERT OR REPLACE INTO tombstones VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            stone.service_id,
            stone.incarnation,
            stone.revision,
            stone.removed_at,
            stone.reason,
            judgement,
            stone.name,
            stone.parent,
        ),
    )


def _put_intent(db: sqlite3.Connection, write: PutIntent) -> None:
    intent = write.intent
    row = (intent.service_id, intent.promoted_from.name, intent.promoted_to.name)
    db.execute("INSERT OR REPLACE INTO intents VALUES (?, ?, ?)", row)


def _drop_intent(db: sqlite3.Connection, write: DropIntent) -> None:
    db.execute("DELETE FROM intents WHERE service_id = ?", (write.service_id,))


def _put_maintenance(db: sqlite3.Connection, write: PutMaintenance) -> None:
    each = write.maintenance
    row = (each.service_id, each.since, each.until, each.reason)
    db.execute("INSERT OR REPLACE INTO maintenance VALUES (?, ?, ?, ?)", row)


def _drop_maintenance(db: sqlite3.Connection, write: DropMaintenance) -> None:
    db.execute("DELETE FROM maintenance WHERE service_id = ?", (write.service_id,))


def _append_event(db: sqlite3.Connection, write: AppendEvent) -> None:
    event = write.event
    row = (event.sequence, event.occurred_at, event.type, event.service_id, event.recipient, encode(event))
    db.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", row)
    if event.recipient:
        db.execute(
            "INSERT OR IGNORE INTO deliveries VALUES (?, ?, ?, NULL, ?)",
            (event.alert_id, event.recipient, event.sequence, write.climbed),
        )


def _settle_copy(db: sqlite3.Connection, write: SettleCopy) -> None:
    row = (write.alert_id, write.recipient)
    db.execute("UPDATE deliveries SET climbed = 1 WHERE alert_id = ? AND recipient = ?", row)


def _end_copy(db: sqlite3.Connection, write: Acknowledge | WithdrawCopy) -> None:
    db.execute(
        "UPDATE deliveries SET acknowledged_at = ? WHERE alert_id = ? AND recipient = ? AND acknowledged_at IS NULL",
        (write.at, write.alert_id, write.recipient),
    )


def _put_heartbeats(db: sqlite3.Connection, write: PutHeartbeats) -> None:
    rows = [(at, service_id) for service_id, at in write.heard]
    db.executemany("UPDATE services SET last_heartbeat_at = ? WHERE service_id = ?", rows)


def _reserve_revisions(db: sqlite3.Connection, write: ReserveRevisions) -> None:
    db.execute("INSERT OR REPLACE INTO meta VALUES ('revision', ?)", (write.ceiling,))


def _compact_events(db: sqlite3.Connection, write: CompactEvents) -> None:
    # The numbers go on where they were, even where every event is gone.
    (last,) = db.execute("SELECT MAX(sequence) FROM events").fetchone()
    if last is not None:
        db.execute(
            "INSERT INTO meta VALUES ('sequence', ?)"
            " ON CONFLICT (key) DO UPDATE SET value = MAX(value, excluded.value)",
            (last,),
        )
    db.execute("DELETE FROM deliveries WHERE sequence < ?", (write.first,))
    db.execute("DELETE FROM events WHERE sequence < ?", (write.first,))


_APPLY: dict[type, Callable[[sqlite3.Connection, Any], None]] = {
    PutService: _put_service,
    BuryService: _bury_service,
    PutIntent: _put_intent,
    DropIntent: _drop_intent,
    PutMaintenance: _put_maintenance,
    DropMaintenance: _drop_maintenance,
    AppendEvent: _append_event,
    SettleCopy: _settle_copy,
    Acknowledge: _end_copy,
    WithdrawCopy: _end_copy,
    PutHeartbeats: _put_heartbeats,
    ReserveRevisions: _reserve_revisions,
    CompactEvents: _compact_events,
}
