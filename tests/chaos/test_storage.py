"""The disk under the store: full, read-only, and database files that are damaged or of somebody else."""

from __future__ import annotations

import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from tron_client import RegistryClient

from tests.chaos.conftest import Figure
from tests.chaos.ground import DEATHS, FALSE_ALARMS, fleet, ground, ids
from tests.support.disks import can_mount, fill, make_room, no_writes, read_only, small_disk
from tests.support.fleet import agents
from tests.support.processes import start_registry
from tests.support.waiting import let_pass, wait_until
from tests.support.writer import Writer, sequences

SERVICES, EVENTS = 300, 600
PAGE = 4096
DATABASE = "registry.db"
LOG = f"{DATABASE}-wal"


@dataclass(frozen=True)
class Stored:
    """The folder of a registry that ended, in good order or killed, and what it had acknowledged."""

    closed: Path
    killed: Path
    services: frozenset[str]
    events: frozenset[int]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """A store with something in it."""
    folder = tmp_path_factory.mktemp("stored")
    data = folder / "data"
    services, events = set(), set()
    with start_registry(data, "--no-self-register") as registry, RegistryClient(registry.address) as client:
        for number in range(SERVICES):
            services.add(client.register(f"kept-{number}", name="kept", heartbeat_interval=3600, ttl=86_400).service_id)
        for number in range(EVENTS):
            events.add(client.publish_event("kept", message=f"{number} " + "x" * 200).sequence)
        registry.kill()
        shutil.copytree(data, folder / "killed" / "data")
    with start_registry(data, "--no-self-register"):
        pass
    return Stored(data, folder / "killed" / "data", frozenset(services), frozenset(events))


Damage = Callable[[Path], None]


def cut_to(name: str, size: int | None = None, share: float = 0.0) -> Damage:
    """Truncate a file, to a size or to a share of its size."""

    def damage(folder: Path) -> None:
        path = folder / name
        keep = round(path.stat().st_size * share) // PAGE * PAGE if size is None else size
        with path.open("r+b") as file:
            file.truncate(keep)

    return damage


def overwrite(at: float, length: int) -> Damage:
    """Put noise over a part of the database; `at` is a share of its pages."""

    def damage(folder: Path) -> None:
        path = folder / DATABASE
        page = int(path.stat().st_size // PAGE * at)
        with path.open("r+b") as file:
            file.seek(page * PAGE)
            file.write(random.Random(at).randbytes(length))

    return damage


def remove(name: str) -> Damage:
    """Delete a file."""
    return lambda folder: (folder / name).unlink()


def of_somebody_else(*statements: str) -> Damage:
    """Put another program's database in its place."""

    def damage(folder: Path) -> None:
        (folder / DATABASE).unlink()
        with closing(sqlite3.connect(folder / DATABASE)) as db:
            for statement in statements:
                db.execute(statement)
            db.commit()

    return damage


def text_file(folder: Path) -> None:
    """Put a text in its place."""
    (folder / DATABASE).write_text("these are the notes of somebody else\n" * 500)


def outcome(original: Path, damage: Damage, expected: Stored, folder: Path) -> str:
    """What a registry does with a damaged copy: `error` (and leaves the file alone), `whole`, or a kind of loss."""
    copy = folder / "data"
    shutil.copytree(original, copy)
    damage(copy)
    before = (copy / DATABASE).read_bytes() if (copy / DATABASE).exists() else b""
    try:
        with start_registry(copy, "--no-self-register") as registry, RegistryClient(registry.address) as client:
            services = {each.service_id for each in client.list_services().services}
            if services == expected.services and sequences(client) >= expected.events:
                return "whole"
            return f"lost {len(expected.services - services)} services or some events"
    except AssertionError as error:
        said = str(error)
        if "ended with 1 before it served" not in said or DATABASE not in said or "Traceback" in said:
            return f"unclear: {said}"
    after = (copy / DATABASE).read_bytes() if (copy / DATABASE).exists() else b""
    return "error" if after == before else "error, and the file was changed"


def outcomes(stored: Stored, damages: dict[str, tuple[Path, Damage]], folder: Path) -> dict[str, str]:
    """What became of each, two at a time."""
    with ThreadPoolExecutor(2) as pool:
        running = {
            name: pool.submit(outcome, original, damage, stored, folder / str(number))
            for number, (name, (original, damage)) in enumerate(damages.items())
        }
        return {name: done.result() for name, done in running.items()}


def check(found: dict[str, str], figure: Figure) -> None:
    """Each ended in a clear error, or lost nothing."""
    assert {name: what for name, what in found.items() if what not in ("error", "whole")} == {}
    errors = list(found.values()).count("error")
    figure(0, f"silent losses in {len(found)} damaged files: {errors} clear errors, {len(found) - errors} recovered")


def test_a_truncated_database(stored: Stored, tmp_path: Path, figure: Figure) -> None:
    """P1, P6: a database file that was truncated, or removed without its log: a clear error, or all is there."""
    damages = {
        "closed, empty": (stored.closed, cut_to(DATABASE, 0)),
        "closed, half": (stored.closed, cut_to(DATABASE, share=0.5)),
        "killed, empty": (stored.killed, cut_to(DATABASE, 0)),
        "killed, removed and the log is there": (stored.killed, remove(DATABASE)),
    }
    check(outcomes(stored, damages, tmp_path), figure)


def test_a_corrupted_database(stored: Stored, tmp_path: Path, figure: Figure) -> None:
    """P1, P6: noise over the header or over a page of the database file: a clear error, or all is there."""
    damages = {"the header": (stored.closed, overwrite(0.0, 64)), "a page": (stored.closed, overwrite(0.3, PAGE))}
    check(outcomes(stored, damages, tmp_path), figure)


def test_a_database_of_somebody_else(stored: Stored, tmp_path: Path, figure: Figure) -> None:
    """P1, P6: another program's file under the name of the database: a clear error, and the file is left alone."""
    damages = {
        "text": (stored.closed, text_file),
        "other tables": (stored.closed, of_somebody_else("CREATE TABLE notes (text TEXT)")),
        "a table of ours": (stored.closed, of_somebody_else("CREATE TABLE services (id INTEGER, owner TEXT)")),
    }
    found = outcomes(stored, damages, tmp_path)
    assert set(found.values()) == {"error"}, found
    check(found, figure)


@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_any_page_of_the_database_is_noise(stored: Stored, tmp_path: Path, figure: Figure) -> None:
    """P1, P6: noise over each single page of the database file in turn: a clear error, or all is there."""
    pages = (stored.closed / DATABASE).stat().st_size // PAGE
    damages = {f"page {page}": (stored.closed, overwrite(page / pages, PAGE)) for page in range(pages)}
    check(outcomes(stored, damages, tmp_path), figure)


def test_a_read_only_folder(stored: Stored, tmp_path: Path, figure: Figure) -> None:
    """P6: a read-only disk under the store at the start: a clear error that names the folder."""
    if not can_mount(tmp_path):
        pytest.skip("this machine does not let us mount anything")
    data = tmp_path / "below" / "data"
    shutil.copytree(stored.closed, data)
    began = time.monotonic()
    with (
        pytest.raises(AssertionError, match="ended with 1 before it served") as refused,
        start_registry(data, under=read_only(data)),
    ):
        pass
    assert "Read-only file system" in str(refused.value)
    assert str(data) in str(refused.value)
    assert "Traceback" not in str(refused.value)
    with start_registry(data, "--no-self-register") as registry, RegistryClient(registry.address) as client:
        assert {each.service_id for each in client.list_services().services} == stored.services
    figure(time.monotonic() - began, "s for the error and a start on a writable disk; all is there")


def test_no_program_may_write_for_a_while(tmp_path: Path, figure: Figure) -> None:
    """P1, P2, P3: a disk that refuses every write, logs too, for all programs, while agents register and one dies."""
    healthy = fleet("steady", 20)
    with (
        ground(tmp_path) as running,
        agents(running.address, healthy),
        agents(running.address, fleet("dies", 1)) as dies,
    ):
        running.wait_alive({*ids(healthy), "dies-0"})
        since = running.mark()
        writer = Writer(running.address)
        writer.start()
        writer.wait_for_more(50)
        registry = running.system.child_pid("registry")
        pids = [running.system.pid, *(running.system.child_pid(name) for name in ("registry", "monitor", "gateway"))]
        with no_writes(pids):
            dies.kill()
            refused = writer.refused
            wait_until(lambda: writer.refused > refused + 1, 20, "writes are refused")
        began = time.monotonic()
        running.system.wait_restarted("registry", registry)
        running.wait_alive(ids(healthy))
        writer.wait_for_more(10)
        took = time.monotonic() - began
        writer.stop()
        running.parent.wait_down({"dies-0"})
        running.settle()
        assert running.said(since, FALSE_ALARMS, ids(healthy)) == []
        assert "Traceback" not in running.system.log, "the reason is one line"
        assert writer.lost(running.client) == ([], [])
    figure(took, "s after there is room until all are ALIVE and writes are taken; 0 false alarms, 0 lost writes")


@pytest.mark.chaos
@pytest.mark.timeout(300)
def test_the_disk_under_the_store_is_full(tmp_path: Path, figure: Figure) -> None:
    """P1, P2, P3: a full disk under the data folder for 15 s, while agents register and ten die."""
    if not can_mount(tmp_path):
        pytest.skip("this machine does not let us mount anything")
    data = tmp_path / "data"
    data.mkdir()
    healthy, doomed = fleet("steady", 50), fleet("dies", 10)
    with (
        ground(tmp_path, under=small_disk(data, 24)) as running,
        agents(running.address, healthy),
        agents(running.address, doomed) as dying,
    ):
        running.wait_alive(ids(healthy) | ids(doomed))
        inside = Path(f"/proc/{running.system.pid}/root{data}")
        since = running.mark()
        writer = Writer(running.address, size=8_000)
        writer.start()
        writer.wait_for_more(50)
        registry = running.system.child_pid("registry")
        fill(inside)
        dying.kill()
        refused = writer.refused
        wait_until(lambda: writer.refused > refused + 1, 120, "writes are refused")
        let_pass(15)
        assert running.system.process.poll() is None, "`tron up` goes on"
        make_room(inside)
        began = time.monotonic()
        running.system.wait_restarted("registry", registry)
        running.wait_alive(ids(healthy))
        writer.wait_for_more(10)
        took = time.monotonic() - began
        writer.stop()
        running.parent.wait_down(ids(doomed), 60)
        running.settle()
        assert running.said(since, FALSE_ALARMS, ids(healthy)) == []
        assert "Traceback" not in running.system.log, "the reason is one line"
        assert {each.service_id for each in running.said(since, DEATHS)} >= ids(doomed)
        assert writer.lost(running.client) == ([], [])
    figure(took, "s after there is room until all are ALIVE and writes are taken; 0 false alarms, 0 lost writes")


@pytest.mark.chaos
@pytest.mark.timeout(180)
def test_another_process_locks_the_database(tmp_path: Path, figure: Figure) -> None:
    """P1, P2: another process holds a write lock on the database for 3 s, and for 8 s, under a client that writes."""
    healthy = fleet("steady", 20)
    with ground(tmp_path) as running, agents(running.address, healthy):
        running.wait_alive(ids(healthy))
        since = running.mark()
        longest = 0.0
        for length in (3.0, 8.0):
            with closing(sqlite3.connect(tmp_path / "data" / "registry" / DATABASE, isolation_level=None)) as db:
                db.execute("BEGIN IMMEDIATE")
                writer = Writer(running.address, prefix=f"locked-{length:g}")
                writer.start()
                let_pass(length)
            began = time.monotonic()
            writer.wait_for_more(10)
            longest = max(longest, time.monotonic() - began)
            writer.stop()
            running.wait_alive(ids(healthy))
            running.settle()
            assert writer.lost(running.client) == ([], [])
        assert running.said(since, FALSE_ALARMS, ids(healthy)) == []
        assert "Traceback" not in running.system.log, "the reason is one line"
    figure(longest, "s at most after the lock until writes are taken; 0 false alarms, 0 lost writes")


@pytest.mark.chaos
@pytest.mark.timeout(180)
def test_a_registry_is_killed_while_it_starts(tmp_path: Path, figure: Figure) -> None:
    """P1: kill -9 of a registry at 25 moments of its start; after every fifth it takes 20 writes, and is killed."""
    data = tmp_path / "data"
    moments = random.Random(1)
    acknowledged: set[str] = set()
    command = [sys.executable, "-m", "registry_server", "--listen", "127.0.0.1:0", "--data-dir", str(data)]
    for number in range(25):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            let_pass(moments.uniform(0.25, 0.75))
            process.kill()
            assert process.stderr is not None
            assert "tron registry:" not in process.stderr.read(), "what the one before left is refused"
        if number % 5 == 4:
            with (
                start_registry(data, "--no-self-register") as registry,
                RegistryClient(registry.address) as client,
            ):
                assert {each.service_id for each in client.list_services().services} >= acknowledged
                for index in range(20):
                    name = f"start-{number}-{index}"
                    acknowledged.add(client.register(name, name=name, heartbeat_interval=3600, ttl=86_400).service_id)
                registry.kill()
    figure(len(acknowledged), "writes acknowledged, none lost; 0 starts refused")


@pytest.mark.chaos
@pytest.mark.timeout(120)
def test_the_database_is_removed_while_it_is_used(tmp_path: Path, figure: Figure) -> None:
    """P1, P6: the database file is removed under a running registry, and a client writes: a clear error."""
    data = tmp_path / "data"
    with start_registry(data, "--no-self-register") as registry:
        writer = Writer(registry.address)
        writer.start()
        writer.wait_for_more(20)
        (data / DATABASE).unlink()
        began = time.monotonic()
        assert registry.process.wait(20) == 1
        took = time.monotonic() - began
        writer.stop()
        assert f"{DATABASE}: was removed or replaced" in registry.log
        assert "Traceback" not in registry.log
    with (
        pytest.raises(AssertionError, match=f"is missing, but its log {LOG} exists"),
        start_registry(data),
    ):
        pass
    figure(took, "s until it ends with a clear error, and does not start on an empty database afterwards")
