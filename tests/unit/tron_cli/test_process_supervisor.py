"""The supervisor with real processes, but tiny ones: they write a ready file and wait for a signal to leave."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from tron_cli.process_policy import RestartPolicy
from tron_cli.process_supervisor import Child, Supervisor, child

from tests.support.processes import is_alive
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

# Takes the port that it is given, or else its pid as one; says what it was told; notes when it leaves.
TINY_PROGRAM = """
import json, os, signal, sys
key, listen, ready, diary, seen = sys.argv[1:]
host, port = listen.split(":")
address = f"{host}:{os.getpid() if port == '0' else port}"
def leave(*_):
    with open(diary, "a") as pages:
        print("left", key, file=pages)
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
signal.signal(signal.SIGINT, lambda *_: os._exit(9))
with open(diary, "a") as pages:
    print("started", key, seen, file=pages)
with open(ready + ".tmp", "w") as file:
    json.dump({key: address, "pid": os.getpid()}, file)
os.replace(ready + ".tmp", ready)
while True:
    signal.pause()
"""

STUBBORN_PROGRAM = TINY_PROGRAM.replace(
    "signal.signal(signal.SIGTERM, leave)", "signal.signal(signal.SIGTERM, lambda *_: None)"
)

WITHOUT_METRICS = TINY_PROGRAM.replace("json.dump({key: address,", 'json.dump({key: address, "metrics": "",')


class House:
    """A supervised pair of tiny programs in a folder, and what is known of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.diary_file = folder / "diary"
        self.ready_file = folder / "ready.json"
        self.ready = asyncio.Event()
        self.supervisor = Supervisor((), scratch=folder)

    def tiny(
        self,
        name: str,
        key: str,
        program: str = TINY_PROGRAM,
        listen: str = "127.0.0.1:0",
        more: dict[str, str] | None = None,
    ) -> Child:
        """Return a child that runs a tiny program."""

        def command(address: str, ready: Path, addresses: dict[str, str]) -> list[str]:
            seen = json.dumps(addresses).replace(" ", "")
            return [sys.executable, "-I", "-S", "-c", program, key, address, str(ready), str(self.diary_file), seen]

        return child(name, key, listen, command, RestartPolicy(first_delay=0.01, longest_delay=0.02), more)

    @property
    def diary(self) -> list[str]:
        """What the programs noted, in order."""
        return self.diary_file.read_text().splitlines() if self.diary_file.exists() else []

    @property
    def document(self) -> dict[str, Any]:
        """What the ready file says; {} if there is none."""
        if not self.ready_file.exists():
            return {}
        document: dict[str, Any] = json.loads(self.ready_file.read_text())
        return document

    @asynccontextmanager
    async def running(self, *children: Child, wait: bool = True) -> AsyncIterator[asyncio.Task[int]]:
        """Supervise `children` until the block ends."""
        self.supervisor = Supervisor(
            children, scratch=self.folder, ready_file=self.ready_file, on_ready=lambda _: self.ready.set()
        )
        task = asyncio.create_task(self.supervisor.run())
        try:
            if wait:
                await asyncio.wait_for(self.ready.wait(), 20)
            yield task
        finally:
            if not task.done():
                self.supervisor.stop()
                await task

    def pair(self) -> tuple[Child, Child]:
        """Return the two that `tron up` has."""
        return self.tiny("registry", "registry_grpc"), self.tiny("monitor", "tron_grpc")


@pytest.fixture
def house(tmp_path: Path) -> House:
    """An empty house."""
    return House(tmp_path)


async def until(predicate: Callable[[], object], what: str) -> None:
    """Wait for a condition without blocking the event loop that supervises."""
    await asyncio.to_thread(wait_until, predicate, 20, what)


async def test_the_ready_file_names_every_address_and_pid_once_all_serve(house: House) -> None:
    async with house.running(*house.pair()):
        document = house.document
        assert set(document) == {"registry_grpc", "tron_grpc", "pids"}
        assert all(is_alive(pid) for pid in document["pids"].values())


async def test_the_monitor_is_started_with_the_real_address_of_the_registry(house: House) -> None:
    async with house.running(*house.pair()):
        address = house.document["registry_grpc"]
        assert house.diary[1] == f'started tron_grpc {{"registry_grpc":"{address}"}}'


async def test_an_address_that_a_child_runs_without_is_tried_again_when_it_is_restarted(house: House) -> None:
    registry = house.tiny("registry", "registry_grpc", WITHOUT_METRICS, more={"metrics": "127.0.0.1:5"})
    async with house.running(registry):
        assert house.document["metrics"] == ""
        os.kill(house.document["pids"]["registry"], signal.SIGKILL)
        await until(lambda: len(house.diary) == 2, "it is started again")
    assert house.diary[:2] == ['started registry_grpc {"metrics":"127.0.0.1:5"}'] * 2


@pytest.mark.parametrize("name", ["registry", "monitor"])
async def test_a_killed_child_comes_back_at_its_address_with_a_new_pid(house: House, name: str) -> None:
    async with house.running(*house.pair()):
        before = house.document
        os.kill(before["pids"][name], signal.SIGKILL)
        await until(lambda: house.document["pids"][name] != before["pids"][name], "new pid")
        after = house.document
        assert {**after, "pids": None} == {**before, "pids": None}
        assert is_alive(after["pids"][name])
        others = set(after["pids"]) - {name}
        assert all(after["pids"][other] == before["pids"][other] for other in others)


async def test_a_ready_file_that_cannot_be_rewritten_for_a_while_ends_nothing(
    house: House, capfd: pytest.CaptureFixture[str]
) -> None:
    async with house.running(*house.pair()) as task:
        before = house.document
        house.ready_file.unlink()
        house.ready_file.mkdir()  # nobody can put a file there, not even root
        os.kill(before["pids"]["monitor"], signal.SIGKILL)
        await until(lambda: "trying again" in capfd.readouterr().err, "it says that it cannot be written")
        assert not task.done()
        assert is_alive(before["pids"]["registry"])
        house.ready_file.rmdir()
        await until(house.ready_file.exists, "it is written once it can be")
        assert house.document["pids"]["monitor"] != before["pids"]["monitor"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_drains_the_monitor_first_and_the_registry_then(house: House, number: int) -> None:
    async with house.running(*house.pair()) as task:
        pids = house.document["pids"].values()
        os.kill(os.getpid(), number)
        assert await asyncio.wait_for(task, 20) == 0
        assert house.diary[-2:] == ["left tron_grpc", "left registry_grpc"]
        assert not any(is_alive(pid) for pid in pids)
        assert not house.ready_file.exists()


async def test_a_second_signal_kills_who_does_not_drain(house: House) -> None:
    registry = house.tiny("registry", "registry_grpc", STUBBORN_PROGRAM)
    async with house.running(registry) as task:
        os.kill(os.getpid(), signal.SIGINT)
        await until(registry.leaving.is_set, "the drain has begun")
        assert not task.done()
        os.kill(os.getpid(), signal.SIGINT)
        assert await asyncio.wait_for(task, 20) == 130


async def test_children_are_out_of_reach_of_the_terminal(house: House) -> None:
    async with house.running(*house.pair()):
        assert all(os.getsid(pid) == pid for pid in house.document["pids"].values())


async def test_a_child_that_refuses_to_start_ends_everything(house: House, capfd: pytest.CaptureFixture[str]) -> None:
    registry, _ = house.pair()
    broken = house.tiny("monitor", "tron_grpc", "import sys; sys.exit('port in use')")
    async with house.running(registry, broken, wait=False) as task:
        assert await asyncio.wait_for(task, 20) == 1
    told = capfd.readouterr().err
    assert told.count("port in use") == 1
    assert "monitor exited with code 1 before it served; see its error above" in told


async def test_a_child_that_never_serves_ends_everything(house: House, capfd: pytest.CaptureFixture[str]) -> None:
    registry, _ = house.pair()
    broken = house.tiny("monitor", "tron_grpc", "import sys; print('no luck', file=sys.stderr); sys.exit(9)")
    async with house.running(registry, broken, wait=False) as task:
        assert await asyncio.wait_for(task, 20) == 1
    assert house.diary[-1] == "left registry_grpc"
    assert not house.ready_file.exists()
    told = capfd.readouterr().err
    assert told.count("no luck") == 3
    assert "monitor exited with code 9, 3 times in a row, before it served" in told


async def test_a_stop_before_anything_serves_is_a_clean_end(house: House) -> None:
    mute = house.tiny("registry", "registry_grpc", "import time; time.sleep(60)")
    async with house.running(mute, *house.pair()[1:], wait=False) as task:
        await until(lambda: mute.process_id, "started")
        house.supervisor.stop()
        assert await asyncio.wait_for(task, 20) == 0


ORPHANING_SUPERVISOR = """
import asyncio, pathlib, sys
from tests.unit.tron_cli.test_process_supervisor import House
async def main():
    house = House(pathlib.Path(sys.argv[1]))
    async with house.running(*house.pair()) as task:
        await task
asyncio.run(main())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the tether is the kernel's, and Linux's only")
def test_children_die_with_a_supervisor_that_is_killed(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    house = House(tmp_path)
    supervisor = subprocess.Popen(
        [sys.executable, "-c", ORPHANING_SUPERVISOR, str(tmp_path)], cwd=pytestconfig.rootpath
    )
    try:
        wait_until(lambda: house.document, 20, "ready")
        pids = house.document["pids"].values()
        assert all(is_alive(pid) for pid in pids)
    finally:
        supervisor.kill()
        supervisor.wait()
    wait_until(lambda: not any(is_alive(pid) for pid in pids), 5, "children are gone")
