"""Stores all queues of one program in one small SQLite file of numbered rows, each in a named queue.

SQLite is used instead of one file per sink to which lines are appended, because rows are removed in the middle
(overflow drops the oldest notice of the lowest severity), several queues change in one transaction, SQLite repairs a
torn write, and the space of delivered notices is reused. A program may be killed at any moment: rows for which `flush`
returned exist at the next start.

The disk may fail while the program runs (a full disk is a common reason for alerts). Then `flush` raises an error, the
rows stay in memory (the bounds of the queues limit their number), and every later flush tries again; deliveries
continue from memory.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import weakref
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import structlog

log = structlog.get_logger("operator")

FILE = "operator-queue.db"
LOCK = "operator-queue.lock"
VERSION = 1

_SCHEMA = """
CREATE TABLE IF NOT EXISTS rows (
    shelf TEXT NOT NULL, number INTEGER NOT NULL, at REAL NOT NULL, text TEXT NOT NULL,
    PRIMARY KEY (shelf, number)) WITHOUT ROWID;
"""

_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})
"""What SQLite says of a file that is no database, or not this one (SQLITE_ERROR: its table is another)."""


class JournalError(Exception):
    """The rows cannot be written to disk, or another program uses the file."""


class Row(NamedTuple):
    """One row: its number, a time in seconds since the epoch, and a text."""

    number: int
    at: float
    text: str


_Batch = Mapping[tuple[str, int], Row | None]


class Journal:
    """The file with all queues, in `folder`; both are created if they are missing. Raises JournalError if the file
    cannot be used.

    A file that is damaged, or of another version, never stops the start: it is renamed, and a new file is created.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        # A thread of its own: the loop's shared ones may all wait for a name server.
        self._thread = ThreadPoolExecutor(1, "operator-queue")
        self._writing = asyncio.Lock()
        self._failing = False
        self._closed = False
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # Held until the program ends, also when it is killed: a second one would deliver everything twice. Not by
            # SQLite's own locks: a backup must be able to read the file.
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
            self._release = weakref.finalize(self, os.close, lock)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._db, self._found = _open(self._path)
            except BaseException:
                self._release()
                raise
        except (OSError, sqlite3.Error) as error:
            self._thread.shutdown()
            raise JournalError(f"{self._path.absolute()}: {_reason(error)}") from error
        self._stored = {(table, row.number) for table, rows in self._found.items() for row in rows}
        self._pending: dict[tuple[str, int], Row | None] = {}

    def table(self, name: str) -> QueueTable:
        """Return the table with this name, with the rows that it had at the start. Call this once for each name."""
        return QueueTable(self, name, self._found.pop(name, []))

    def drop_unclaimed(self) -> dict[str, int]:
        """Delete the tables that were not requested with `table`; return the name and the number of rows of each."""
        dropped = {name: len(rows) for name, rows in self._found.items()}
        for name, rows in self._found.items():
            for row in rows:
                self.remove(name, row.number)
        self._found.clear()
        return dropped

    def put(self, table: str, row: Row) -> None:
        """Write a row at the next flush."""
        self._pending[table, row.number] = row

    def remove(self, table: str, number: int) -> None:
        """Delete a row at the next flush; do nothing if it does not exist."""
        key = (table, number)
        if key in self._stored:
            self._pending[key] = None
        else:
            self._pending.pop(key, None)

    async def flush(self) -> None:
        """Return when all earlier changes are on disk. Raises JournalError if they cannot be written. Calls during a
        write share the next transaction."""
        async with self._writing:
            if not self._pending:
                return
            if self._closed:
                raise JournalError(f"{self._path}: is closed")
            batch, self._pending = self._pending, {}
            fresh = {key for key, row in batch.items() if row is not None} - self._stored
            self._stored |= fresh
            written = asyncio.get_running_loop().run_in_executor(self._thread, self._write, batch)
            try:
                # The thread does not stop for a cancellation, and only when it is known what it did may the next write.
                await asyncio.wait([written])
            finally:
                if not written.done():
                    await asyncio.wait([written])
                error = written.exception()
                self._settle(batch, fresh, error)
            if error is not None:
                raise JournalError(f"{self._path}: {_reason(error)}") from error

    def _settle(self, batch: _Batch, fresh: set[tuple[str, int]], error: BaseException | None) -> None:
        """Record what is on disk now; rows that could not be written are pending again, unless newer changes replace
        them."""
        if error is None:
            self._stored -= {key for key, row in batch.items() if row is None}
            if self._failing:
                log.info("operator_queue_durable_again", file=str(self._path))
        else:
            self._stored -= fresh
            merged = {**batch, **self._pending}
            self._pending = {key: row for key, row in merged.items() if row is not None or key in self._stored}
            if not self._failing:
                log.error("operator_queue_not_durable", file=str(self._path), why=_reason(error))
        self._failing = error is not None

    async def close(self) -> None:
        """Write the pending rows, if that is possible, and close the file."""
        with suppress(JournalError):
            await self.flush()
        async with self._writing:
            self._closed = True
            self._thread.shutdown()
            self._db.close()
            self._release()

    def _write(self, batch: _Batch) -> None:
        db = self._db
        try:
            db.execute("BEGIN IMMEDIATE")
            for (table, number), row in batch.items():
                if row is None:
                    db.execute("DELETE FROM rows WHERE shelf = ? AND number = ?", (table, number))
                else:
                    db.execute("INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?)", (table, *row))
            db.execute("COMMIT")
        except sqlite3.Error:
            with suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            raise


class QueueTable:
    """The numbered rows of one queue."""

    def __init__(self, journal: Journal, name: str, found: list[Row]) -> None:
        self._journal = journal
        self._name = name
        self._found = found

    def take_found(self) -> Iterator[Row]:
        """Return the rows that existed at the start, by number; only the first call returns them."""
        found, self._found = self._found, []
        return iter(found)

    def put(self, row: Row) -> None:
        """Write a row at the next flush."""
        self._journal.put(self._name, row)

    def remove(self, number: int) -> None:
        """Delete a row at the next flush."""
        self._journal.remove(self._name, number)


def _open(path: Path) -> tuple[sqlite3.Connection, dict[str, list[Row]]]:
    """Open the file and read its rows; an unreadable file is renamed. Raises sqlite3.Error or OSError."""
    try:
        return _read(path)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # SQLite's own message quotes a damaged schema
        if isinstance(error, sqlite3.Error) and _code(error) not in _DAMAGED:
            raise
        aside = _set_aside(path)
        log.error("operator_queue_damaged", file=str(path), why=str(error), set_aside=str(aside))
        return _read(path)


def _read(path: Path) -> tuple[sqlite3.Connection, dict[str, list[Row]]]:
    rest = path.with_name(f"{path.name}-wal")
    if not _has_content(path) and _has_content(rest):  # SQLite would delete it, and the notices in it
        raise _damaged(f"it is empty or missing, but its write-ahead log {rest.name} exists")
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=1.0)
    db.text_factory = lambda text: text.decode(errors="replace")
    try:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version not in (0, VERSION):
            raise _damaged(f"its version is {version}, not {VERSION}")
        if version == 0 and db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone() != (0,):
            raise _damaged("it is the database of another program")
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        if version == 0:
            db.execute("BEGIN IMMEDIATE")
            db.execute(_SCHEMA)
            db.execute(f"PRAGMA user_version={VERSION}")
            db.execute("COMMIT")
        (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise _damaged(str(verdict))
        found: dict[str, list[Row]] = {}
        for table, *row in db.execute("SELECT shelf, number, at, text FROM rows ORDER BY shelf, number"):
            found.setdefault(table, []).append(Row(*row))
    except BaseException:
        db.close()
        raise
    return db, found


def _has_content(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _damaged(why: str) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(why)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def _set_aside(path: Path) -> Path:
    """Rename the file, so that a person can inspect it, and remove its companion files. Return its new path."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    with suppress(FileNotFoundError):  # only its log may be there
        path.replace(aside)
    for suffix in ("-wal", "-shm"):
        belonging = path.with_name(path.name + suffix)
        with suppress(FileNotFoundError):
            belonging.replace(aside.with_name(aside.name + suffix))
    return aside


def _code(error: BaseException) -> int:
    """Return the primary result code of SQLite; 0 if the error is not SQLite's own."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _reason(error: BaseException) -> str:
    if isinstance(error, BlockingIOError) or _code(error) == sqlite3.SQLITE_BUSY:
        return "another program uses it; each program needs a folder of its own"
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
