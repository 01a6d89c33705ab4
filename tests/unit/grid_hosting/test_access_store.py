"""The file of principals and tokens: what was answered survives, others cannot read it, and processes may share it."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from grid_model.access import Grant, Role
from grid_model.errors import InvalidRequest

from grid_hosting.access.book import AccessBook, Registered
from grid_hosting.access.denied_jwts import DeniedJwt
from grid_hosting.access.store import FILE, SCHEMA_VERSION, AccessStore, AccessStoreError
from grid_hosting.access.tokens import make_secret

SECRET = make_secret(bytes(32))
ADMIN = Grant(Role.ADMIN, "*")


def create(book: AccessBook) -> str:
    """Create a token."""
    return book.create_token(SECRET, "token:a", now=1, lifetime=90, grants=[ADMIN], created_by="local").token_id


def test_what_was_answered_is_there_again(tmp_path: Path) -> None:
    with closing(AccessStore(tmp_path)) as store:
        token_id = store.change(create)
        store.change(lambda book: book.put(Registered("spiffe:tron/b", "jobs", (ADMIN,), "a job", disabled=True)))
        before = store.book
    with closing(AccessStore(tmp_path)) as store:
        assert (store.book.principals, store.book.tokens) == (before.principals, before.tokens)
        assert store.book.revision == before.revision == 2
        assert store.book.of_token(SECRET, 2) is not None
        store.change(lambda book: book.revoke(token_id))
        store.change(lambda book: book.delete("spiffe:tron/b"))
    with closing(AccessStore(tmp_path)) as store:
        assert (list(store.book.tokens), list(store.book.principals)) == ([], ["token:a"])
        assert store.book.revision == 4


def test_a_file_of_an_earlier_program_is_taken_over_and_denied_jwts_are_there_again(tmp_path: Path) -> None:
    with closing(AccessStore(tmp_path)) as store:
        token_id = store.change(create)
    with closing(sqlite3.connect(tmp_path / FILE)) as db:
        db.executescript("DROP TABLE denied_jwts; PRAGMA user_version=1")
    denied = DeniedJwt("https://issuer.test", "1", 5.0, 60.0, "lost", "token:a")
    with closing(AccessStore(tmp_path)) as store:
        assert list(store.book.tokens) == [token_id]
        store.change(lambda book: book.deny(denied, 5.0))
        store.change(lambda book: book.deny(replace(denied, jwt_id="2"), 5.0))
    with closing(AccessStore(tmp_path)) as store:
        assert store.book.denied[("https://issuer.test", "1")] == denied
        store.change(lambda book: book.allow("https://issuer.test", "1"))
    with closing(AccessStore(tmp_path)) as store:
        assert list(store.book.denied) == [("https://issuer.test", "2")]


def test_only_the_owner_can_read_any_of_its_files_and_none_has_a_token(tmp_path: Path) -> None:
    (tmp_path / FILE).touch(mode=0o644)
    with closing(AccessStore(tmp_path)) as store:
        store.change(create)
        files = list(tmp_path.iterdir())
        assert {path.name for path in files} >= {FILE, f"{FILE}-wal"}
        for path in files:
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
            assert SECRET.encode() not in path.read_bytes()


def test_a_change_that_fails_changes_nothing(tmp_path: Path) -> None:
    with closing(AccessStore(tmp_path)) as store:
        store.change(create)
        before = store.book

        def fails(book: AccessBook) -> None:
            book.put(Registered("token:b"))
            book.put(Registered("nobody"))

        with pytest.raises(InvalidRequest):
            store.change(fails)
        assert store.book is before
        store.change(lambda book: book.put(Registered("token:c")))
        assert set(store.book.principals) == {"token:a", "token:c"}


def test_two_processes_see_each_others_changes_and_lose_none(tmp_path: Path) -> None:
    with closing(AccessStore(tmp_path)) as one, closing(AccessStore(tmp_path)) as other:
        one.change(create)
        assert other.refresh()
        assert other.book.of_token(SECRET, 2) is not None
        assert not other.refresh()
        one.change(lambda book: book.put(Registered("token:b")))
        other.change(lambda book: book.put(Registered("token:c")))  # it began before it had seen the other one
        one.refresh()
        assert set(one.book.principals) == set(other.book.principals) == {"token:a", "token:b", "token:c"}
        assert one.book.revision == other.book.revision == 3


def test_a_failed_change_does_not_hide_the_change_of_another_process(tmp_path: Path) -> None:
    with closing(AccessStore(tmp_path)) as one, closing(AccessStore(tmp_path)) as other:
        one.change(create)
        with pytest.raises(InvalidRequest):
            other.change(lambda book: book.put(Registered("nobody")))
        assert list(other.book.principals) == ["token:a"]


def test_the_last_use_is_recorded_and_is_no_change(tmp_path: Path) -> None:
    with closing(AccessStore(tmp_path)) as one, closing(AccessStore(tmp_path)) as other:
        token_id = one.change(create)
        other.refresh()
        one.record_use({token_id: 5.0, "unknown": 6.0})
        assert one.last_used() == {token_id: 5.0}
        assert not other.refresh()


def test_another_file_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / FILE
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE mine (x)")
        db.commit()
    with pytest.raises(AccessStoreError, match=r"access\.db: is the database of another program$"):
        AccessStore(tmp_path)
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(AccessStoreError, match=r"access\.db: file is not a database$"):
        AccessStore(tmp_path)


def test_a_file_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    AccessStore(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / FILE)) as db:
        db.execute("PRAGMA user_version=9")
    with pytest.raises(AccessStoreError, match=f"has schema 9; this program supports schemas up to {SCHEMA_VERSION}"):
        AccessStore(tmp_path)
