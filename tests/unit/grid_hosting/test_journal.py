"""What was flushed is there at the next start; a damaged file never stops it."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from grid_hosting.sinks.journal import FILE, Journal, JournalError, Row


def rows(journal: Journal, table: str = "a") -> list[Row]:
    """What was found on a table."""
    return list(journal.table(table).take_found())


async def test_what_was_flushed_is_there_and_what_was_removed_is_not(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    table, other = journal.table("a"), journal.table("b")
    for number in (1, 2, 3):
        table.put(Row(number, number + 0.5, f"text {number}"))
    other.put(Row(2, 9.0, "größer"))
    await journal.flush()
    table.remove(2)
    table.remove(99)
    table.put(Row(4, 4.5, "never flushed, and removed"))
    table.remove(4)
    await journal.flush()
    await journal.close()

    again = Journal(tmp_path)
    assert rows(again) == [Row(1, 1.5, "text 1"), Row(3, 3.5, "text 3")]
    assert rows(again, "b") == [Row(2, 9.0, "größer")]
    await again.close()


async def test_calls_at_the_same_time_share_transactions_and_all_are_on_disk(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    table = journal.table("a")

    async def write(number: int) -> None:
        table.put(Row(number, 0.0, ""))
        await journal.flush()

    await asyncio.gather(*(write(number) for number in range(1, 501)))
    await journal.close()
    again = Journal(tmp_path)
    assert len(rows(again)) == 500
    await again.close()


async def test_a_flush_that_is_cancelled_loses_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    table = journal.table("a")
    for number in range(1, 200):
        table.put(Row(number, 0.0, "x" * 100))
        task = asyncio.ensure_future(journal.flush())
        await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    await journal.close()
    again = Journal(tmp_path)
    assert len(rows(again)) == 199
    await again.close()


async def test_shelves_that_nobody_asks_for_are_dropped_and_counted(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for name in ("a", "gone"):
        journal.table(name).put(Row(1, 0.0, name))
    await journal.close()
    again = Journal(tmp_path)
    assert len(rows(again)) == 1
    assert again.drop_unclaimed() == {"gone": 1}
    await again.close()
    last = Journal(tmp_path)
    assert last.drop_unclaimed() == {"a": 1}
    await last.close()


async def test_a_second_program_is_kept_out_and_told_why(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    with pytest.raises(JournalError, match="another program uses it"):
        Journal(tmp_path)
    await journal.close()
    await Journal(tmp_path).close()


async def test_a_folder_that_can_not_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="file/queue"):
        Journal(tmp_path / "file" / "queue")


def set_aside(folder: Path, told: str) -> bytes:
    """The content of the one file that was set aside, which the log names."""
    (aside,) = folder.glob(f"{FILE}.damaged-*")
    assert str(aside) == told
    return aside.read_bytes()


def make_truncated(path: Path) -> None:
    """A file whose second half is gone, as after a disk that lied."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("CREATE TABLE rows (shelf TEXT, number INTEGER, at REAL, text TEXT, PRIMARY KEY (shelf, number))")
        db.execute("PRAGMA user_version=1")
        db.executemany("INSERT INTO rows VALUES ('a', ?, 0, ?)", [(number, "x" * 500) for number in range(200)])
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def make_of_another_version(path: Path) -> None:
    """A file of a later version of this program."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version=2")
        db.execute("CREATE TABLE t (x)")


def make_foreign(path: Path) -> None:
    """A database of ours by its version, and not by its table."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version=1")
        db.execute("CREATE TABLE rows (x)")


def make_another_programs(path: Path) -> None:
    """A database without a version."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE notes (text TEXT)")


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"this is no database, whatever its name says" * 100),
        make_truncated,
        make_of_another_version,
        make_foreign,
        make_another_programs,
    ],
    ids=["garbage", "truncated", "other version", "foreign", "another program's"],
)
async def test_a_damaged_file_is_set_aside_and_a_new_one_begun(tmp_path: Path, damage: object) -> None:
    assert callable(damage)
    damage(tmp_path / FILE)
    tail = (tmp_path / FILE).read_bytes()[100:]  # SQLite may write to its header when it looks
    with capture_logs() as logged:
        journal = Journal(tmp_path)
    assert [line["event"] for line in logged] == ["operator_queue_damaged"]
    assert set_aside(tmp_path, logged[0]["set_aside"])[100:] == tail
    journal.table("a").put(Row(1, 0.0, "new"))
    await journal.flush()
    await journal.close()
    again = Journal(tmp_path)
    assert [row.text for row in rows(again)] == ["new"]
    await again.close()


@pytest.mark.parametrize("left", ["empty", "missing"])
async def test_a_log_without_its_file_is_set_aside_and_not_deleted(tmp_path: Path, left: str) -> None:
    journal = Journal(tmp_path)
    journal.table("a").put(Row(1, 0.0, "waits"))
    await journal.flush()
    folder = shutil.copytree(tmp_path, tmp_path / "killed")
    await journal.close()
    if left == "empty":
        (folder / FILE).write_bytes(b"")
    else:
        (folder / FILE).unlink()
    with capture_logs() as logged:
        again = Journal(folder)
    assert [line["event"] for line in logged] == ["operator_queue_damaged"]
    assert rows(again) == []
    await again.close()
    (aside,) = folder.glob(f"{FILE}.damaged-*-wal")
    assert b"waits" in aside.read_bytes()


async def test_an_empty_file_is_a_fresh_one(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"")
    journal = Journal(tmp_path)
    assert rows(journal) == []
    await journal.close()
    journal.table("b").put(Row(1, 0.0, ""))
    with pytest.raises(JournalError, match="closed"):
        await journal.flush()
