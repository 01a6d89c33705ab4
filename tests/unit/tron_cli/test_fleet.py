"""The demo's fleet with real processes, but tiny ones: they say that they are registered, and wait for words."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tron_cli.control import ControlError, NoDemo, ask, control_path
from tron_cli.fleet import Fleet, FleetError
from tron_cli.fleet_file import FleetFile, parse
from tron_cli.orders import take_orders

from tests.support.processes import is_alive
from tests.support.waiting import wait_until

# Notes who it was told to be and every word after that; leaves when it is asked to.
TINY_AGENT = """
import json, signal, sys
diary = sys.argv[1]
def note(*words):
    with open(diary, "a") as pages:
        print(*words, file=pages)
order = json.loads(sys.stdin.readline())
name = order["service"]["service_id"]
if name == "broken":
    sys.exit(3)
def leave(*_):
    note("left", name)
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
note("started", name, "supervises" if order["supervises"] else "alone", order["registry"])
print("{}", flush=True)
for line in sys.stdin:
    note(line.strip(), name)
"""

FAMILY = """
[[service]]
service_id = "boss"
name = "The Boss"
[[service]]
service_id = "worker"
name = "The Worker"
parent = "boss"
[[service]]
service_id = "program"
name = "A Program"
system = true
"""


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for sockets; their paths must be short, and those of pytest are not."""
    with tempfile.TemporaryDirectory(prefix="tron-") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        yield Path(folder)


class House:
    """A fleet in a folder, and what is known of it."""

    def __init__(self, folder: Path, text: str = FAMILY) -> None:
        self.diary_file = folder / "diary"
        self.said: list[str] = []
        self.control = control_path("127.0.0.1:6122")
        self.catalogue: FleetFile = parse(text, "family")
        command = [sys.executable, "-I", "-S", "-c", TINY_AGENT, str(self.diary_file)]
        self.fleet = Fleet(self.catalogue, "127.0.0.1:6122", self.control, command, self.said.append)

    @property
    def diary(self) -> list[str]:
        """What the agents noted, in order."""
        return self.diary_file.read_text().splitlines() if self.diary_file.exists() else []

    def pid(self, service_id: str) -> int:
        """The pid of an agent now; 0 without one."""
        return next(member.pid for member in self.fleet.members if member.service_id == service_id)

    async def order(self, what: str, service_id: str) -> dict[str, Any]:
        """Ask over the socket, as another process would."""
        return await asyncio.to_thread(ask, self.control, {"do": what, "id": service_id}, 10.0)


@pytest.fixture
def house(tmp_path: Path, runtime: Path) -> House:
    """A family of two, and a program of the system."""
    return House(tmp_path)


async def until(predicate: Callable[[], object], what: str) -> None:
    """Wait for a condition without blocking the event loop that runs the fleet."""
    await asyncio.to_thread(wait_until, predicate, 10, what)


async def test_every_row_but_those_of_the_system_is_a_process_of_its_own_and_leaves_at_the_end(house: House) -> None:
    async with house.fleet.running():
        assert sorted(house.diary) == [
            "started boss supervises 127.0.0.1:6122",
            "started worker alone 127.0.0.1:6122",
        ]
        pids = [member.pid for member in house.fleet.members]
        assert len(set(pids)) == 2
        assert all(is_alive(pid) and os.getsid(pid) == pid for pid in pids)
    assert sorted(house.diary[2:]) == ["left boss", "left worker"]
    assert not any(is_alive(pid) for pid in pids)
    assert not house.control.exists()
    assert house.said == []


async def test_a_killed_agent_is_killed_again_at_each_restart_until_it_is_resumed(house: House) -> None:
    async with house.fleet.running():
        before = house.pid("worker")
        assert (await house.order("kill", "worker"))["name"] == "The Worker"
        assert not is_alive(before)
        for _ in range(2):
            with pytest.raises(ControlError, match="worker was killed again before it registered"):
                await house.order("restart", "worker")
            assert not house.pid("worker")
        await house.order("resume", "worker")
        assert is_alive(house.pid("worker"))
        await house.order("restart", "worker")
        assert is_alive(house.pid("worker"))
    assert house.said[0] == "worker was killed"


async def test_killed_once_it_comes_back_at_the_first_restart(house: House) -> None:
    async with house.fleet.running():
        await house.order("kill-once", "The Worker")
        assert not house.pid("worker")
        assert (await house.order("restart", "worker"))["pid"] == house.pid("worker") != 0


async def test_one_that_hangs_is_stopped_and_goes_on_when_it_is_resumed(house: House) -> None:
    def state() -> str:
        return Path(f"/proc/{house.pid('worker')}/stat").read_text().rpartition(")")[2].split()[0]

    async with house.fleet.running():
        await house.order("hang", "worker")
        await until(lambda: state() == "T", "it is stopped")
        await house.order("resume", "worker")
        await until(lambda: state() != "T", "it goes on")
        await house.order("hang", "worker")  # and one that hangs at the end is let go


async def test_a_restart_ends_one_that_hangs_and_starts_another(house: House) -> None:
    async with house.fleet.running():
        await house.order("hang", "worker")
        before = house.pid("worker")
        await house.order("restart", "worker")
        assert not is_alive(before)
        assert is_alive(house.pid("worker"))


async def test_one_that_stalls_is_told_so_and_beats_on(house: House) -> None:
    async with house.fleet.running():
        before = house.pid("worker")
        await house.order("stall", "worker")
        await until(lambda: "freeze worker" in house.diary, "it froze")
        await house.order("resume", "worker")
        await until(lambda: "thaw worker" in house.diary, "it thawed")
        assert house.pid("worker") == before
        assert (await house.order("resume", "worker"))["did"] == "left as it is, because it runs normally"


async def test_one_that_ends_by_itself_is_said_and_not_started_again(house: House) -> None:
    async with house.fleet.running():
        os.kill(house.pid("worker"), signal.SIGKILL)
        await until(lambda: "worker was ended by signal 9" in house.said, "it was said")
        assert not house.pid("worker")


@pytest.mark.parametrize(
    ("what", "service_id", "told"),
    [
        ("kill", "wroker", r"no agent 'wroker' in this fleet; did you mean worker\?"),
        ("kill", "nobody", "no agent 'nobody' in this fleet; see: tron services"),
        ("kill", "program", "program is part of the system, not of the demo"),
        (
            "explode",
            "worker",
            "'explode' is not a valid order; the orders are kill, kill-once, hang, stall, resume, restart",
        ),
    ],
)
async def test_what_can_not_be_done_is_said(house: House, what: str, service_id: str, told: str) -> None:
    async with house.fleet.running():
        with pytest.raises(ControlError, match=told):
            await house.order(what, service_id)


@pytest.mark.parametrize("what", ["kill", "kill-once", "hang", "stall"])
async def test_nothing_can_be_done_to_one_that_does_not_run(house: House, what: str) -> None:
    async with house.fleet.running():
        await house.order("kill-once", "worker")
        with pytest.raises(ControlError, match="worker is not running; start it with: tron demo --resume 'worker'"):
            await house.order(what, "worker")
        await house.order("restart", "worker")  # nobody doomed it


async def test_an_agent_that_never_registers_ends_the_demo_and_all_others(tmp_path: Path, runtime: Path) -> None:
    house = House(tmp_path, FAMILY.replace("worker", "broken"))
    with pytest.raises(FleetError, match="broken exited with code 3 before it was registered"):
        async with house.fleet.running():
            pytest.fail("it must not run")
    assert not any(member.running for member in house.fleet.members)
    with pytest.raises(NoDemo):
        ask(house.control, {})


async def test_a_second_demo_at_the_same_registry_is_refused(house: House, tmp_path: Path) -> None:
    second = tmp_path / "second"
    second.mkdir()
    async with house.fleet.running():
        with pytest.raises(ControlError, match="another demo is running at this registry"):
            async with House(second).fleet.running():
                pytest.fail("it must not run")
        assert (await house.order("resume", "boss"))["did"] == "left as it is, because it runs normally"


@asynccontextmanager
async def deaf(path: Path) -> AsyncIterator[None]:
    """Somebody who takes orders and never answers."""

    async def obey(_: dict[str, Any]) -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    async with take_orders(path, obey):
        yield


async def test_a_demo_that_does_not_answer_is_said(runtime: Path) -> None:
    async with deaf(runtime / "s"):
        with pytest.raises(ControlError, match=r"the demo did not answer within 0.1 s"):
            await asyncio.to_thread(ask, runtime / "s", {}, 0.1)


async def test_callers_that_talk_nonsense_are_told_and_disturb_nobody(house: House) -> None:
    def talk(words: bytes) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(house.control))
            connection.sendall(words)
            answer: dict[str, Any] = json.loads(connection.makefile("rb").readline())
        return answer

    async with house.fleet.running():
        for words in (b"hello\n", b"[1]\n", b"\xff\n", b"x" * 100_000 + b"\n"):
            assert not (await asyncio.to_thread(talk, words))["ok"]
        assert (await house.order("resume", "boss"))["id"] == "boss"


@pytest.mark.parametrize("address", ["127.0.0.1:6122", "localhost:6122", "0.0.0.0:6122", "[::]:6122"])
def test_one_registry_by_several_names_is_one_place(runtime: Path, address: str) -> None:
    assert control_path(address) == runtime / "tron" / "demo-127.0.0.1-6122.sock"


def test_another_registry_is_another_place(runtime: Path) -> None:
    places = {control_path(address) for address in ("127.0.0.1:1", "127.0.0.1:2", "host:1", "[fe80::1]:1")}
    assert len(places) == 4


def test_a_folder_that_others_can_open_is_refused(runtime: Path) -> None:
    (runtime / "tron").mkdir()
    (runtime / "tron").chmod(0o777)
    with pytest.raises(ControlError, match="other users have access to"):
        control_path("127.0.0.1:6122")


def test_a_path_that_no_socket_can_have_is_refused(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime / ("x" * 100)))
    with pytest.raises(ControlError, match="is too long for a socket"):
        control_path("127.0.0.1:6122")
