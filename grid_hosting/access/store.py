"""The file `access.db`: principals, tokens, denied JWTs and the audit log, in SQLite. Several processes may use it at
the same time.

It is separate from the database of the registry, so that changes of rights do not wait for the commits of
registrations, and so that commands can change it with or without a running server: each change is one transaction that
starts from what is stored.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from grid_model.access import Grant, Role

from grid_hosting.access.audit import AuditFilter, AuditKind, AuditRecord
from grid_hosting.access.book import AccessBook, Deleted, Registered, Write
from grid_hosting.access.denied_jwts import DeniedJwt
from grid_hosting.access.tokens import Token
from grid_hosting.start import StartError, absolute, reason

T = TypeVar("T")

FILE = "access.db"
SCHEMA_VERSION = 2
APPLICATION_ID = 0x54524F41
"""The application id in the header of the SQLite file: "TROA" in ASCII."""

BUSY = 5.0
"""Seconds to wait while another process is in a transaction."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS principals (name TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tokens (
    token_id TEXT PRIMARY KEY, digest BLOB NOT NULL, principal TEXT NOT NULL, created_at REAL NOT NULL,
    expires_at REAL, description TEXT NOT NULL, created_by TEXT NOT NULL, last_used_at REAL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS denied_jwts (
    issuer TEXT NOT NULL, jwt_id TEXT NOT NULL, denied_at REAL NOT NULL, ends_at REAL, description TEXT NOT NULL,
    denied_by TEXT NOT NULL, PRIMARY KEY (issuer, jwt_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, kind INTEGER NOT NULL, actor TEXT NOT NULL,
    method TEXT NOT NULL, target TEXT NOT NULL, outcome TEXT NOT NULL, peer TEXT NOT NULL, via TEXT NOT NULL,
    count INTEGER NOT NULL);
"""

MOST_ACTS = 1_000_000
MOST_REFUSALS = 100_000
MOST_REPORTED = 50_000
"""Maximum numbers of stored records: of acts, of refusals, and of those that relays report. Records of one of these
kinds never displace records of another. Overflow rule: the oldest records of the kind are deleted; their numbers are
never used again."""

DELETE_EVERY = 100
"""Number of new records between two deletions of the oldest ones. A deletion reads the whole log, so the log may exceed
its limits by this number."""

_REPORTED = "(via <> '' AND method NOT GLOB '/grid.*')"
"""A condition for the records that relays report: relays report no methods of the registry and of TRON; see
`reports`."""

_COLUMNS = "number, at, kind, actor, method, target, outcome, peer, via, count"


class AccessStoreError(StartError):
    """The file `access.db` cannot be used. The message is one line for people, with the path."""


def principals_in(folder: Path) -> int:
    """Return how many principals are stored in a data directory; 0 if it has no file `access.db`. Raises
    AccessStoreError."""
    if not (folder / FILE).exists():
        return 0
    with closing(AccessStore(folder)) as store:
        return len(store.book.principals)


class AccessStore:
    """The open file `access.db` in `folder`; both are created if they are missing. Methods block, and only one thread
    at a time may call them; the book may be read from any thread. Raises AccessStoreError."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # Only the owner may read it; SQLite gives its log the same mode.
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._path.chmod(0o600)
            self._db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=BUSY)
            self._prepare()
            self._version = self._data_version()
            self.book = self._load()
        except (sqlite3.Error, OSError, ValueError, KeyError, TypeError) as error:
            why = reason(error) if isinstance(error, OSError) else str(error)
            raise AccessStoreError(f"{absolute(self._path)}: {why}") from error

    def change(self, apply: Callable[[AccessBook], T]) -> T:
        """Apply a function to the book, and return the function's result once the change is on disk.

        The function receives a copy of the stored book, which it changes; if it raises an error, nothing is changed.
        Raises AccessStoreError, and the errors of the function.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self.book = self._newest()
                book = self.book.copy()
                result = apply(book)
                _write(self._db, book.take_writes())
                self._db.execute("INSERT OR REPLACE INTO meta VALUES ('revision', ?)", (book.revision,))
                self._db.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise AccessStoreError(f"{absolute(self._path)}: cannot write: {error}") from error
        self.book = book
        return result

    def refresh(self) -> bool:
        """Read the changes of other processes; return whether there were any. Raises AccessStoreError."""
        before = self.book
        try:
            self.book = self._newest()
        except (sqlite3.Error, ValueError, KeyError, TypeError) as error:
            raise AccessStoreError(f"{absolute(self._path)}: cannot read: {error}") from error
        return self.book is not before

    def record_use(self, used: Mapping[str, float]) -> None:
        """Store when tokens were last used: `used` has a time in seconds since the epoch for each token id. Raises
        AccessStoreError."""
        rows = [(at, token_id) for token_id, at in used.items()]
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("UPDATE tokens SET last_used_at = ? WHERE token_id = ?", rows)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise AccessStoreError(f"{absolute(self._path)}: cannot write: {error}") from error

    def last_used(self) -> dict[str, float]:
        """Return when each token was last used, in seconds since the epoch, by token id. Tokens that were never used
        are left out. Raises AccessStoreError."""
        try:
            return dict(
                self._db.execute("SELECT token_id, last_used_at FROM tokens WHERE last_used_at IS NOT NULL").fetchall()
            )
        except sqlite3.Error as error:
            raise AccessStoreError(f"{absolute(self._path)}: cannot read: {error}") from error

    def append_audit(self, records: Sequence[AuditRecord]) -> None:
        """Store audit records, and return once they are on disk. Raises AccessStoreError."""
        rows = [
            (
                each.at,
                int(each.kind),
                each.actor,
                each.method,
                each.target,
                each.outcome,
                each.peer,
                each.via,
                each.count,
            )
            for each in records
        ]
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(
                f"INSERT INTO audit ({_COLUMNS.partition(', ')[2]}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows
            )
            (newest,) = self._db.execute("SELECT max(number) FROM audit").fetchone()
            if newest is not None and newest // DELETE_EVERY != (newest - len(rows)) // DELETE_EVERY:
                self._delete_oldest()
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise AccessStoreError(f"{absolute(self._path)}: cannot write: {error}") from error

    def _delete_oldest(self) -> None:
        for most, test in (
            (MOST_ACTS, f"kind = 1 AND NOT {_REPORTED}"),
            (MOST_REFUSALS, f"kind <> 1 AND NOT {_REPORTED}"),
            (MOST_REPORTED, _REPORTED),
        ):
            self._db.execute(
                f"DELETE FROM audit WHERE {test} AND number <="
                f" (SELECT number FROM audit WHERE {test} ORDER BY number DESC LIMIT 1 OFFSET ?)",
                (most,),
            )

    def read_audit(self, after: int, limit: int, wanted: AuditFilter, *, newest: bool = False) -> list[AuditRecord]:
        """Return at most `limit` matching audit records with numbers above `after`, in ascending order. If there are
        more, return the first ones, or with `newest` the last ones. Raises AccessStoreError."""
        clauses, values = ["number > ?"], [min(after, 2**63 - 1)]
        for column, value in (("actor", wanted.actor), ("method", wanted.method), ("target", wanted.target)):
            if value:
                clauses.append(f"{column} = ?")
                values.append(value)  # type: ignore[arg-type]
        if wanted.kind is not None:
            clauses.append("kind = ?")
            values.append(int(wanted.kind))
        order = "DESC" if newest else "ASC"
        query = f"SELECT {_COLUMNS} FROM audit WHERE {' AND '.join(clauses)} ORDER BY number {order} LIMIT ?"
        try:
            rows = self._db.execute(query, (*values, limit)).fetchall()
        except sqlite3.Error as error:
            raise AccessStoreError(f"{absolute(self._path)}: cannot read: {error}") from error
        found = [replace(AuditRecord(at, AuditKind(kind), *rest), number=number) for number, at, kind, *rest in rows]
        return found[::-1] if newest else found

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _prepare(self) -> None:
        (mark,) = self._db.execute("PRAGMA application_id").fetchone()
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        tables = self._db.execute("SELECT 1 FROM sqlite_master").fetchone()
        if mark != APPLICATION_ID and tables:
            raise ValueError("is the database of another program")
        if not 0 <= version <= SCHEMA_VERSION:
            raise ValueError(f"has schema {version}; this program supports schemas up to {SCHEMA_VERSION}")
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        if version < SCHEMA_VERSION:  # each version has only added tables
            self._db.executescript(_SCHEMA)
            self._db.execute(f"PRAGMA application_id={APPLICATION_ID}")
            self._db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    def _data_version(self) -> int:
        (version,) = self._db.execute("PRAGMA data_version").fetchone()
        return int(version)

    def _newest(self) -> AccessBook:
        version = self._data_version()
        if version == self._version:
            return self.book
        found = self._load()
        self._version = version
        # A token that was only used is no change.
        return self.book if found.revision == self.book.revision else found

    def _load(self) -> AccessBook:
        principals = self._db.execute("SELECT name, record FROM principals ORDER BY name").fetchall()
        tokens = self._db.execute(
            "SELECT token_id, digest, principal, created_at, expires_at, description, created_by FROM tokens"
            " ORDER BY created_at, token_id"
        ).fetchall()
        denied = self._db.execute(
            "SELECT issuer, jwt_id, denied_at, ends_at, description, denied_by FROM denied_jwts ORDER BY denied_at"
        ).fetchall()
        found = self._db.execute("SELECT value FROM meta WHERE key = 'revision'").fetchone()
        return AccessBook(
            (_decode(name, record) for name, record in principals),
            (Token(*row) for row in tokens),
            found[0] if found else 0,
            (DeniedJwt(*row) for row in denied),
        )


def _write(db: sqlite3.Connection, writes: Iterable[Write]) -> None:
    for each in writes:
        match each:
            case Registered():
                db.execute("INSERT OR REPLACE INTO principals VALUES (?, ?)", (each.name, _encode(each)))
            case Token():
                db.execute(
                    "INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",
                    (each.token_id, each.digest, each.principal, each.created_at, each.expires_at, each.description,
                     each.created_by),
                )  # fmt: skip
            case DeniedJwt():
                db.execute(
                    "INSERT OR REPLACE INTO denied_jwts VALUES (?, ?, ?, ?, ?, ?)",
                    (each.issuer, each.jwt_id, each.denied_at, each.ends_at, each.description, each.denied_by),
                )
            case Deleted():
                db.execute("DELETE FROM tokens WHERE token_id = ?", (each.token_id,))
                db.execute("DELETE FROM denied_jwts WHERE issuer = ? AND jwt_id = ?", each.denied)
                db.execute("DELETE FROM principals WHERE name = ?", (each.principal,))


def _encode(principal: Registered) -> str:
    grants = [[grant.role.name, grant.pattern] for grant in principal.grants]
    record = {"group": principal.group, "grants": grants, "description": principal.description}
    return json.dumps({**record, "disabled": principal.disabled}, ensure_ascii=False)


def _decode(name: str, text: str) -> Registered:
    record = json.loads(text)
    grants = tuple(Grant(Role[role], pattern) for role, pattern in record["grants"])
    return Registered(name, record["group"], grants, record["description"], record["disabled"])
