"""A database file that is truncated, damaged or of another program: a clear error, or nothing is missing."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from registry_server.core.effects import PutService
from registry_server.io.store import StoreError
from registry_server.io.store import examine as examined
from registry_server.io.store.sqlite import FILE, SqliteStore
from tests.unit.registry_server.test_sqlite_store import EVERYTHING, append, numbers, stored_service

SERVICES, EVENTS, PAGE = 40, 100, 4096
LOG = f"{FILE}-wal"


def filled(folder: Path) -> SqliteStore:
    """A store with something in it."""
    store = SqliteStore(folder)
    store.commit([PutService(stored_service(f"s{number}")) for number in range(SERVICES)])
    store.commit(append(*range(1, EVENTS + 1), recipient="boss"))
    return store


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """The folder of a store that was closed: all is in the database file."""
    folder = tmp_path / "closed"
    filled(folder).close()
    return folder


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """What a killed registry leaves: much is in the log only."""
    with closing(filled(tmp_path / "running")):
        return shutil.copytree(tmp_path / "running", tmp_path / "killed")


def contents(folder: Path) -> tuple[int, list[int]]:
    """How many services are found, and which events. Raises StoreError."""
    with closing(SqliteStore(folder)) as store:
        return len(store.load().services), numbers(store.read_events(0, 1000, EVERYTHING))


EVERYTHING_IS_THERE = (SERVICES, list(range(1, EVENTS + 1)))


def found(folder: Path) -> str:
    """`whole`, `damaged` (and said so), or what is missing."""
    try:
        what = contents(folder)
    except StoreError as error:
        said = str(error)
        return "damaged" if FILE in said and ("damaged" in said or "not a database" in said) else said
    return "whole" if what == EVERYTHING_IS_THERE else f"{what[0]} services, {len(what[1])} events"


def refused(folder: Path) -> str:
    """The text with which it is refused; the files must be as they were."""
    before = {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith("-shm")}
    with pytest.raises(StoreError, match=FILE) as error:
        contents(folder)
    after = {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith("-shm")}
    before.pop("registry.lock", None), after.pop("registry.lock", None)
    assert after == {**before, **({LOG: b""} if LOG in after and LOG not in before else {})}
    assert "\n" not in str(error.value)
    return str(error.value)


def truncate(path: Path, size: int) -> None:
    """Cut a file off."""
    with path.open("r+b") as file:
        file.truncate(size)


def test_a_store_that_was_killed_or_closed_is_whole(closed: Path, killed: Path) -> None:
    assert contents(killed) == contents(closed) == EVERYTHING_IS_THERE


def test_an_emptied_file_is_not_a_fresh_system(closed: Path) -> None:
    truncate(closed / FILE, 0)
    assert "is empty, but contained data before" in refused(closed)
    (closed / FILE).unlink()
    assert contents(closed) == (0, []), "a person removed it"


@pytest.mark.parametrize("left", ["empty", "missing"])
def test_a_log_without_its_database_is_not_deleted(killed: Path, left: str) -> None:
    if left == "empty":
        truncate(killed / FILE, 0)
    else:
        (killed / FILE).unlink()
    assert f"is {left}, but its log {LOG} exists" in refused(killed)
    assert (killed / LOG).stat().st_size > 0


@pytest.mark.parametrize("pages", [0.02, 1, 2, 5, 10])
def test_a_truncated_file_is_refused(closed: Path, pages: float) -> None:
    truncate(closed / FILE, int(pages * PAGE))
    refused(closed)


@pytest.mark.parametrize("pages", [1, 5])
def test_a_truncated_file_with_its_log_is_refused_or_whole(killed: Path, pages: int) -> None:
    truncate(killed / FILE, min(pages * PAGE, (killed / FILE).stat().st_size))
    assert found(killed) in ("whole", "damaged")


def test_noise_over_any_page_is_found(closed: Path) -> None:
    whole = (closed / FILE).read_bytes()
    outcomes = []
    for page in range(len(whole) // PAGE):
        noise = random.Random(page).randbytes(PAGE)
        (closed / FILE).write_bytes(whole[: page * PAGE] + noise + whole[(page + 1) * PAGE :])
        outcomes.append(found(closed))
    assert len(outcomes) > 10
    assert set(outcomes) <= {"whole", "damaged"}, outcomes


@pytest.mark.parametrize("limit", [0, 1 << 30])
def test_the_services_of_a_large_store_are_checked_and_its_events_are_not(
    closed: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(examined, "WHOLE_CHECK_BYTES", limit)
    for table, is_found in (("services", True), ("events", limit > 0)):
        whole = (closed / FILE).read_bytes()
        with closing(sqlite3.connect(closed / FILE)) as db:
            (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        (closed / FILE).write_bytes(whole[: (page - 1) * PAGE] + b"\xff" * PAGE + whole[page * PAGE :])
        if is_found:
            assert "is damaged" in refused(closed)
        else:
            with pytest.raises(StoreError, match=r"cannot be read|malformed"):
                contents(closed)
        (closed / FILE).write_bytes(whole)


def other_program(path: Path, *statements: str) -> None:
    """Make another program's database."""
    path.unlink()
    with closing(sqlite3.connect(path)) as db:
        for statement in statements:
            db.execute(statement)
        db.commit()


@pytest.mark.parametrize(
    "statements",
    [
        ("CREATE TABLE notes (text TEXT)",),
        ("CREATE TABLE services (id INTEGER, owner TEXT)", "CREATE TABLE events (id INTEGER)"),
        ("CREATE TABLE meta (key TEXT)", "PRAGMA user_version = 2"),
        ("CREATE TABLE t (x)", "PRAGMA application_id = 1", "PRAGMA journal_mode = WAL"),
    ],
)
def test_the_database_of_another_program_is_refused_and_left_alone(closed: Path, statements: tuple[str, ...]) -> None:
    other_program(closed / FILE, *statements)
    assert "is the database of another program" in refused(closed)


def test_a_file_that_is_no_database_is_refused_and_left_alone(closed: Path) -> None:
    (closed / FILE).write_text("these are the notes of somebody else\n" * 500)
    assert "file is not a database" in refused(closed)


def test_a_store_that_was_made_before_files_were_marked_is_taken_and_marked(closed: Path) -> None:
    with closing(sqlite3.connect(closed / FILE)) as db:
        db.execute("PRAGMA application_id = 0")
    (closed / "registry.lock").write_text("")
    assert contents(closed) == EVERYTHING_IS_THERE
    with closing(sqlite3.connect(closed / FILE)) as db:
        assert db.execute("PRAGMA application_id").fetchone() == (examined.APPLICATION_ID,)
    assert (closed / "registry.lock").read_text()


def broken(store: SqliteStore) -> list[Callable[[], object]]:
    """Every way to read."""
    return [
        lambda: store.read_events(0, 10, EVERYTHING),
        lambda: store.was_sent("alert 1", "boss"),
        lambda: store.first_event_since(5.0),
    ]


@pytest.mark.parametrize("way", range(3))
def test_what_cannot_be_read_while_it_runs_is_an_error_of_the_store(tmp_path: Path, way: int) -> None:
    with closing(filled(tmp_path)) as store:
        with closing(sqlite3.connect(tmp_path / FILE)) as db:
            db.execute("DROP TABLE events")
            db.execute("DROP TABLE deliveries")
        with pytest.raises(StoreError, match=f"{FILE}: cannot read"):
            broken(store)[way]()


@pytest.mark.parametrize("what", ["removed", "replaced", "folder removed"])
def test_nothing_is_committed_to_a_file_that_has_no_name_any_more(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "data"
    with closing(filled(folder)) as store:
        if what == "folder removed":
            shutil.rmtree(folder)
        elif what == "replaced":
            shutil.copy(folder / FILE, folder / "copy")
            (folder / "copy").replace(folder / FILE)
        else:
            (folder / FILE).unlink()
        with pytest.raises(StoreError, match=f"{FILE}: was removed or replaced"):
            store.commit([PutService(stored_service("new"))])
