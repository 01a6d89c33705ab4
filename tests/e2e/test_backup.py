"""`tron backup` under load, and `tron restore` to another folder: nothing that was acknowledged is missing."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from tron_client import Event, MonitorClient, RegistryClient

from grid_hosting.data_files import state_file
from tests.support.agents import agents
from tests.support.commands import run_tron
from tests.support.http_receiver import Receiver, start_receiver
from tests.support.processes import start_system
from tests.support.waiting import wait_until

DOCS = Path(__file__).resolve().parents[2] / "docs" / "operations.md"


def tron(*arguments: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    done = run_tron(*arguments)
    assert (done.returncode == 0) is ok, done.stderr
    return done


def settings(folder: Path, url: str) -> Path:
    """A tron.toml that tells operators through a webhook."""
    path, secret = folder / "tron.toml", folder / "secret"
    secret.write_text("a secret of more than sixteen bytes")
    path.write_text(
        "\n".join(
            f"[{program}.sinks]\ntimeout = 1.0\nlongest_pause = 0.5\n[[{program}.sinks.webhook]]\nurl = '{url}'\n"
            f"secret_file = '{secret}'\n"
            for program in ("monitor", "registry")
        )
    )
    return path


class Load:
    """Services that are registered one after the other, and events; what was acknowledged is noted."""

    def __init__(self, address: str) -> None:
        self.services: list[str] = []
        self.events: list[str] = []
        self._client = RegistryClient(address)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        while not self._over.is_set():
            number = len(self.services)
            self._client.register(f"load-{number}", name="Load", heartbeat_interval=3600)
            self.services.append(f"load-{number}")
            self.events.append(self._client.publish_event("note", message=str(number)).alert_id)

    def end(self) -> None:
        """No more load."""
        self._over.set()
        self._thread.join()
        self._client.close()


@contextmanager
def load(address: str) -> Iterator[Load]:
    """Load until the block ends."""
    running = Load(address)
    try:
        yield running
    finally:
        running.end()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """A backup that was made under load, and what was acknowledged before."""
    with start_receiver(listening=False) as receiver:
        yield Made(tmp_path_factory.mktemp("backup"), receiver)


class Made:
    """A system that was backed up under load, and ended since."""

    def __init__(self, folder: Path, receiver: Receiver) -> None:
        self.folder, self.receiver = folder, receiver
        self.copy = folder / "copy"
        self.config = settings(folder, receiver.url)
        with start_system(folder, "--config", str(self.config)) as system, load(system.registry_address) as work:
            with MonitorClient(system.tron_address) as tron_client, RegistryClient(system.registry_address) as client:
                wait_until(lambda: tron_client.get_stats().watching, 10, "TRON watches")
                client.register("parent", name="Parent", heartbeat_interval=3600)
                waiting = client.publish_event("note", recipient="parent", message="waits for it")
                child = {"service_id": "victim", "reconnect_grace": 0.3, "heartbeat_interval": 60}
                with agents(system.registry_address, child) as host:
                    host.kill()
                    wait_until(lambda: tron_client.get_stats().sinks[0].queued, 10, "a notice waits for operators")
                tron_client.set_policy(escalate_after=44.0)
                tron_client.change_policy("parent", {"reconnect_grace": 15.0})
                tron_client.set_maintenance("parent", enabled=True, reason="before the backup")
                wait_until(lambda: len(work.services) >= 50, 20, "there is load")
                self.waiting = waiting.alert_id
                services, events = list(work.services), list(work.events)
                self.written = files_below(folder / "data")
                done = tron("backup", str(self.copy), "--data-dir", str(folder / "data"), "--json")
                self.live = tron("restore", str(self.copy), "--data-dir", str(folder / "data"), ok=False).stderr
                self.after = client.register("after", name="After").incarnation
                self.seen = client.list_services().revision
            self.services, self.events = services, events
            self.files = [each["path"] for each in json.loads(done.stdout)["files"]]
        self.written |= files_below(folder / "data")


def files_below(folder: Path) -> set[str]:
    """Every file, by its path below the folder."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_what_was_acknowledged_before_a_live_backup_is_there_after_it_was_restored(made: Made, tmp_path: Path) -> None:
    tron("restore", str(made.copy), "--data-dir", str(tmp_path / "data"))
    with start_system(tmp_path, "--config", str(made.config)) as system:  # noqa: SIM117 - it does not fit in one line
        with MonitorClient(system.tron_address) as tron_client, RegistryClient(system.registry_address) as client:
            wait_until(lambda: tron_client.get_stats().watching, 10, "TRON watches")
            listed = client.list_services()
            assert {*made.services, "parent"} <= {each.service_id for each in listed.services}
            assert set(made.events) <= {each.alert_id for each in all_events(client)}
            waiting = client.list_events(recipient="parent", unacknowledged=True).events
            assert [each.alert_id for each in waiting] == [made.waiting]
            assert tron_client.get_policy()["escalate_after"] == 44.0
            assert tron_client.get_policy("parent")["reconnect_grace"] == 15.0
            (held,) = tron_client.list_maintenance()
            assert (held.service_id, held.maintenance.reason) == ("parent", "before the backup")
            made.receiver.listen()
            wait_until(
                lambda: any("victim" in str(each.body) for each in made.receiver.taken), 20, "operators are notified"
            )
            # Nobody can have seen the numbers that are given out now.
            assert client.register("new", name="New").incarnation > made.after
            assert listed.revision > made.seen
            assert next(iter(client.watch_services(made.seen))).kind == "reset", "readers begin with a snapshot"


def test_a_running_system_is_never_replaced(made: Made) -> None:
    assert made.live == f"tron: {made.folder / 'data'}: is in use by tron up; stop it first\n"


def test_every_file_that_a_running_system_writes_is_in_the_table_and_all_state_is_in_the_backup(made: Made) -> None:
    rows = re.findall(r"^\| (`[^|]*`) \|[^|]*\| (yes|no) \|$", DOCS.read_text(), flags=re.MULTILINE)
    table = {name: kept == "yes" for names, kept in rows for name in re.findall(r"`([^`]+)`", names)}
    assert table, "the table of files is not found"
    assert {"registry/registry.db", "registry/sinks/operator-queue.db", "monitor/policy.json"} < set(made.written)
    for path in made.written:
        matching = {kept for pattern, kept in table.items() if fnmatchcase(path, pattern)}
        assert len(matching) == 1, f"{path} is not in the table of docs/operations.md"
        assert matching == {state_file(Path(path)) is not None}, path
        assert (path in made.files) == (state_file(Path(path)) is not None), path
    # The first is written by a restore only, the others with authentication, or with the first principal or token.
    access = {f"registry/access.db{end}" for end in ("", "-wal", "-shm")}
    access |= {f"{name}.token" for name in ("monitor", "gateway", "demo", "admin")}
    for pattern in table.keys() - {"registry/registry.restored"} - access:
        assert any(fnmatchcase(path, pattern) for path in made.written), f"nobody writes {pattern}"


def all_events(client: RegistryClient) -> list[Event]:
    """The whole log."""
    found: list[Event] = []
    after = 0
    while True:
        page = client.list_events(after_sequence=after, limit=1000)
        found += page.events
        after = page.next_after_sequence
        if not after:
            return found


def test_a_backup_is_refused_in_one_line_where_it_cannot_be_made(made: Made, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "file").write_text("")
    (tmp_path / "other").mkdir()
    data = str(made.folder / "data")
    for target, data_dir, said in (
        (full, data, f"{full}: is not empty; a backup needs an empty directory"),
        (made.folder / "data" / "copy", data, "is inside the data directory"),
        (tmp_path / "new", str(tmp_path / "nowhere"), f"{tmp_path / 'nowhere'}: there is no such directory"),
        (tmp_path / "new", str(tmp_path / "other"), "is it a data directory?"),
    ):
        refusal = tron("backup", str(target), "--data-dir", data_dir, ok=False).stderr
        assert said in refusal
        assert refusal.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "other"]
