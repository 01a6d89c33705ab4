"""A backup appears whole or not at all, and a damaged one is never put in place."""

from __future__ import annotations

import fcntl
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from grid_hosting import backup as module
from grid_hosting.access import store as access
from grid_hosting.backup import BackupError, back_up, check, restore
from grid_hosting.data_files import RESTORED, STATE, DataFile, Kind
from grid_hosting.sinks import journal
from registry_server.io.store import sqlite as store


def make_database(path: Path, rows: int, schema: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute(f"PRAGMA user_version={schema}")
        db.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, text TEXT)")
        db.execute("BEGIN")
        db.executemany("INSERT INTO t VALUES (?, ?)", [(number, "x" * 200) for number in range(rows)])
        db.execute("COMMIT")


def rows(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute("SELECT COUNT(*) FROM t").fetchone()[0])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with one file of each kind."""
    folder = tmp_path / "data"
    make_database(folder / "registry" / "registry.db", 1000, 2)
    make_database(folder / "monitor" / "sinks" / "operator-queue.db", 3, 1)
    (folder / "monitor" / "policy.json").write_text('{"": {"flap_count": 7}}')
    (folder / "registry" / "registry.lock").write_text("")
    events = folder / "gateway" / "events"
    events.mkdir(parents=True)
    (events / "heartbeat_alerts.position").write_text("5\n")
    (events / "heartbeat_alerts_20260101.jsonl").write_text('{"a": 1}\n{"b": 2}\n{"half of')
    (events / "notes.txt").write_text("not ours")
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


STATE_OF_DATA = [
    "gateway/events/heartbeat_alerts.position",
    "gateway/events/heartbeat_alerts_20260101.jsonl",
    "monitor/policy.json",
    "monitor/sinks/operator-queue.db",
    "registry/registry.db",
]


def test_all_state_is_copied_while_its_programs_write_and_nothing_else(data: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(data / "registry" / "registry.db", isolation_level=None)) as live:
        live.execute("INSERT INTO t VALUES (5000, 'committed, and only in the log')")
        live.execute("BEGIN IMMEDIATE")
        live.execute("INSERT INTO t VALUES (5001, 'not committed')")
        back_up(data, tmp_path / "copy", "1")
        live.execute("COMMIT")
    assert names(tmp_path / "copy") == sorted([*STATE_OF_DATA, "manifest.json"])
    restore(tmp_path / "copy", tmp_path / "new", replace=False)
    assert rows(tmp_path / "new" / "registry" / "registry.db") == 1001
    assert names(tmp_path / "new") == sorted([*STATE_OF_DATA, f"registry/{RESTORED}"])
    lines = tmp_path / "new" / "gateway" / "events" / "heartbeat_alerts_20260101.jsonl"
    assert lines.read_text() == '{"a": 1}\n{"b": 2}\n'
    assert (tmp_path / "new" / "monitor" / "policy.json").read_text() == '{"": {"flap_count": 7}}'


def test_the_position_is_copied_before_the_registry_and_the_registry_before_the_queues(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[str] = []
    really = module._copy  # noqa: SLF001 - the order cannot be seen from outside

    def noted(source: Path, copy: Path, file: DataFile) -> int:
        copied.append(source.name)
        return really(source, copy, file)

    monkeypatch.setattr(module, "_copy", noted)
    back_up(data, tmp_path / "copy", "1")
    assert copied == [
        "heartbeat_alerts.position",
        "heartbeat_alerts_20260101.jsonl",
        "registry.db",
        "operator-queue.db",
        "policy.json",
    ]


def damage(change: Callable[[bytes], bytes], name: str) -> Callable[[Path], None]:
    def damaged(copy: Path) -> None:
        (copy / name).write_bytes(change((copy / name).read_bytes()))

    return damaged


def edit(change: Callable[[dict[str, object]], object]) -> Callable[[Path], None]:
    def edited(copy: Path) -> None:
        document = json.loads((copy / "manifest.json").read_text())
        change(document)
        (copy / "manifest.json").write_text(json.dumps(document))

    return edited


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (damage(lambda old: old[:-1], "registry/registry.db"), "registry.db: is damaged: it has "),
        (damage(lambda old: old[:-1] + b"?", "registry/registry.db"), "registry.db: is damaged: its checksum"),
        (damage(lambda old: old + b"?", "monitor/policy.json"), "policy.json: is damaged: it has 24 bytes"),
        (
            lambda copy: (copy / "monitor" / "policy.json").unlink(),
            "policy.json: is missing, but listed in the manifest",
        ),
        (lambda copy: (copy / "manifest.json").unlink(), "is not a backup: manifest.json is missing"),
        (damage(lambda old: old[:-9], "manifest.json"), "manifest.json: is not a valid manifest"),
        (damage(lambda _: b"\xff", "manifest.json"), "manifest.json: is damaged: it is not text"),
        (damage(lambda _: b"[]", "manifest.json"), "manifest.json: is not a valid manifest"),
        (edit(lambda document: document.update(format=2)), "has format 2; this installation supports format 1"),
        (edit(lambda document: document["files"][0].update(path="../x/policy.json")), "not a file of a data directory"),  # type: ignore[index]
        (edit(lambda document: document["files"][0].update(path="/etc/passwd")), "not a file of a data directory"),  # type: ignore[index]
        (
            edit(lambda document: [each.update(schema=9) for each in document["files"] if each["schema"]]),  # type: ignore[attr-defined]
            "has schema 9; this installation supports schemas 1 to",
        ),
    ],
)
def test_a_damaged_backup_is_refused_by_name_and_changes_nothing(
    data: Path, tmp_path: Path, spoil: Callable[[Path], None], said: str
) -> None:
    copy = tmp_path / "copy"
    back_up(data, copy, "1")
    check(copy)
    spoil(copy)
    before = names(data)
    for target in (tmp_path / "new", data):
        with pytest.raises(BackupError) as refused:
            restore(copy, target, replace=True)
        assert said in str(refused.value)
        assert "\n" not in str(refused.value)
    assert names(data) == before
    assert entries(tmp_path) == ["copy", "data"]


def test_a_damaged_database_is_not_backed_up(data: Path, tmp_path: Path) -> None:
    path = data / "registry" / "registry.db"
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 2000] = bytes(2000)
    path.write_bytes(content)
    with pytest.raises(BackupError, match=r"registry\.db: (is damaged|database disk image is malformed)"):
        back_up(data, tmp_path / "copy", "1")
    assert entries(tmp_path) == ["data"]


@pytest.mark.parametrize("lock", ["tron-up.lock", "registry/registry.lock", "monitor/sinks/operator-queue.lock"])
def test_a_running_system_is_not_replaced(data: Path, tmp_path: Path, lock: str) -> None:
    back_up(data, tmp_path / "copy", "1")
    with (data / lock).open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(BackupError, match=r"is in use by .*; stop it first"):
            restore(tmp_path / "copy", data, replace=True)
    assert entries(tmp_path) == ["copy", "data"]


def test_a_directory_that_is_not_empty_is_replaced_only_when_asked_and_kept(data: Path, tmp_path: Path) -> None:
    back_up(data, tmp_path / "copy", "1")
    (data / "monitor" / "policy.json").write_text("{}")
    with pytest.raises(BackupError, match="data: is not empty; use --force to replace it"):
        restore(tmp_path / "copy", data, replace=False)
    restored = restore(tmp_path / "copy", data, replace=True)
    assert (data / "monitor" / "policy.json").read_text() == '{"": {"flap_count": 7}}'
    assert restored.kept is not None
    assert (restored.kept / "monitor" / "policy.json").read_text() == "{}"
    assert (restored.kept / "gateway" / "events" / "notes.txt").exists()


def test_a_directory_with_nothing_but_locks_is_empty(data: Path, tmp_path: Path) -> None:
    back_up(data, tmp_path / "copy", "1")
    new = tmp_path / "new"
    (new / "registry").mkdir(parents=True)
    (new / "registry" / "registry.lock").write_text("")
    assert restore(tmp_path / "copy", new, replace=False).kept is None
    assert rows(new / "registry" / "registry.db") == 1000


def test_the_versions_in_the_table_are_those_of_the_programs() -> None:
    databases = {each.name: each.schema for each in STATE if each.kind is Kind.DATABASE}
    assert databases == {
        store.FILE: store.SCHEMA_VERSION,
        journal.FILE: journal.VERSION,
        access.FILE: access.SCHEMA_VERSION,
    }
