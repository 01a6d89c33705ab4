"""Checks a database file before the registry uses it: it must belong to a registry, have a supported schema, and be
undamaged.

A file that fails a check is left unchanged, and so is its log: it may belong to another program, or a person may need
it for recovery. So it is examined through a connection that cannot write, and that leaves the log alone when it is
closed.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from registry_server.io.store import StoreError

APPLICATION_ID = 0x54524F4E
"""The mark in the header of a registry's database: "TRON"."""

MADE_BEFORE_MARKS = frozenset({"meta", "services", "tombstones", "intents", "events", "deliveries"})
"""The tables by which a registry's database is recognized that was created before databases had a mark."""

WHOLE_CHECK_BYTES = 256 << 20
"""Size up to which every page of the file is checked (0.3 s for 180 MB). In a larger file, the table of events is not
checked."""

RESTORE = "restore a backup (tron restore)"


def examine(path: Path, *, newest_schema: int, held_before: bool) -> None:
    """Check that the registry may use the file at `path`, or create it. Raises StoreError or sqlite3.Error if it may
    not.

    `held_before`: the folder held a registry's database before, so an empty file must have been truncated and is
    refused.
    """
    if path.is_dir():
        raise StoreError("is a directory")
    log = path.with_name(f"{path.name}-wal")
    has_log = log.exists() and log.stat().st_size > 0
    if not path.exists() or not path.stat().st_size:
        what = "is empty" if path.exists() else "is missing"
        if has_log:  # SQLite would delete it
            raise StoreError(f"{what}, but its log {log.name} exists: {RESTORE}, or remove both to start without data")
        if path.exists() and held_before:
            raise StoreError(f"{what}, but contained data before: {RESTORE}, or remove it to start without data")
        return
    with closing(sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)) as db:
        try:
            _check_owner(db)
        except UnicodeDecodeError as error:  # SQLite's own message quotes the damaged schema
            raise StoreError(f"is damaged (the text of its schema cannot be decoded): {RESTORE}") from error
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if not 0 <= version <= newest_schema:
            raise StoreError(f"has schema {version}; this program supports schemas up to {newest_schema}")
        try:
            damage = _find_damage(db, whole=path.stat().st_size <= WHOLE_CHECK_BYTES)
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            damage = str(error)
        if damage:
            raise StoreError(f"is damaged ({damage}): {RESTORE}")


def _check_owner(db: sqlite3.Connection) -> None:
    (mark,) = db.execute("PRAGMA application_id").fetchone()
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if mark == APPLICATION_ID or not tables or (mark == 0 and tables >= MADE_BEFORE_MARKS):
        return
    raise StoreError("is the database of another program")


def _find_damage(db: sqlite3.Connection, *, whole: bool) -> str:
    """Return what is wrong with the structure of the database; empty if nothing is wrong."""
    db.execute("PRAGMA cell_size_check = ON")
    if whole:
        checks = ["PRAGMA quick_check(1)"]
    else:
        tables = db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'events'").fetchall()
        checks = [f"PRAGMA quick_check('{name}')" for (name,) in tables]
    for check in checks:
        (verdict,) = db.execute(check).fetchone()
        if verdict != "ok":
            return " ".join(str(verdict).replace("*** in database main ***", "").split())
    return ""
