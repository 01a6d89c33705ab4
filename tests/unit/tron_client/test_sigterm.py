"""Programs that hold an agent, ended by a signal: a goodbye, and the end that the signal would have had anyway."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support.canned_registry import Canned, canned_registry
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

TERM, HUP, INT = signal.SIGTERM, signal.SIGHUP, signal.SIGINT

BEGIN = """
import asyncio, contextlib, ctypes, os, signal, sys, threading, time
from tron_client import Agent
def agent(id="a", **options):
    return Agent(id, heartbeat_interval=0.2, **options)
def caught(number):
    line = next(line for line in open("/proc/self/status") if line.startswith("SigCgt"))
    return bool(int(line.split()[1], 16) >> (number - 1) & 1)
def ready(*words):
    print("ready", *words, flush=True)
def wait():
    while True: time.sleep(0.05)  # a signal that comes just before one long sleep is handled only after it
"""
ASYNCIO = """
async def main():
    async with agent() as one:
        ready()
        async for alert in one.alerts():
            alert.acknowledge()
    print("left the block", file=sys.stderr)
with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main())
"""
WITH = """
with contextlib.suppress(KeyboardInterrupt), agent():
    ready()
    wait()
"""
IN_C = """
with agent():
    ready()
    ctypes.CDLL(None).pause()
    while True:
        ctypes.CDLL(None).sleep(60)
"""
IN_A_LOCK = """
agent().start()
ready()
threading.Lock().acquire() and threading.Event().wait()
"""
THREAD = """
threading.Thread(target=agent().start).start()
while not caught(signal.SIGTERM): time.sleep(0.01)
one = agent("b"); one.start(); ready(); wait()
"""


@pytest.fixture(scope="module")
def registry() -> Iterator[Canned]:
    """A registry that answers from a script."""
    with canned_registry() as canned:
        yield canned


@contextmanager
def program(registry: Canned, script: str, *before: str) -> Iterator[subprocess.Popen[str]]:
    """Run a program until it says that it is ready, and kill it when the block ends."""
    registry.requests.clear()
    process = subprocess.Popen(
        [*before, sys.executable, "-c", BEGIN + script],
        env={**os.environ, "TRON_REGISTRY": registry.address},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("ready"), line + process.communicate()[1]
        yield process
    finally:
        process.kill()
        process.communicate()


def goodbyes(registry: Canned) -> dict[str, str]:
    """The services that said goodbye, and why."""
    said = [
        each.goodbye
        for each in list(registry.requests)
        if getattr(each, "WhichOneof", lambda _: "")("kind") == "goodbye"
    ]
    return {each.service_id: each.reason for each in said}


@pytest.mark.parametrize("number", [TERM, HUP])
@pytest.mark.parametrize("script", [ASYNCIO, WITH, IN_C, IN_A_LOCK], ids=["asyncio", "with", "in C", "in a lock"])
def test_a_signal_that_nobody_handles_is_a_goodbye_and_then_the_end(registry: Canned, script: str, number: int) -> None:
    with program(registry, script) as process:
        process.send_signal(number)
        _, said = process.communicate(timeout=20)
    assert process.returncode == -number
    assert goodbyes(registry) == {"a": f"ended by {signal.Signals(number).name}"}
    assert said == ""


@pytest.mark.parametrize("script", [ASYNCIO, WITH], ids=["asyncio", "with"])
def test_ctrl_c_is_a_goodbye_without_a_traceback(registry: Canned, script: str) -> None:
    with program(registry, script) as process:
        process.send_signal(INT)
        _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (0, "")  # the block is left by the interrupt, not by its end
    assert list(goodbyes(registry)) == ["a"]


def test_all_agents_of_a_program_leave_but_those_that_refuse(registry: Canned) -> None:
    script = "each = [agent('a'), agent('b'), agent('c', handle_sigterm=False)]\n[one.start() for one in each]\n"
    with program(registry, script + "ready(); wait()") as process:
        process.send_signal(TERM)
        process.communicate(timeout=20)
    assert process.returncode == -TERM
    assert set(goodbyes(registry)) == {"a", "b"}


def test_it_is_heard_where_agents_were_started_in_threads(registry: Canned) -> None:
    with program(registry, THREAD) as process:
        process.send_signal(TERM)
        process.communicate(timeout=20)
    assert process.returncode == -TERM
    assert set(goodbyes(registry)) == {"a", "b"}


@pytest.mark.parametrize(
    "script",
    [
        "one = agent(); one.start(); signal.signal(signal.SIGTERM, lambda *_: sys.exit(3)); ready(); wait()",
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(3)); one = agent(); one.start(); ready(); wait()",
        """
async def main():
    over = asyncio.Event()
    async with agent():
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
        ready()
        await over.wait()
    sys.exit(3)
asyncio.run(main())
""",
    ],
    ids=["after the start", "before it", "in asyncio"],
)
def test_a_handler_of_the_program_takes_the_place_of_ours(registry: Canned, script: str) -> None:
    with program(registry, script) as process:
        process.send_signal(TERM)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 3, said
    assert list(goodbyes(registry)) == ["a"]
    assert "SIGTERM" not in goodbyes(registry)["a"]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (
            "one = agent(); one.start(); a = caught(15), caught(1); one.stop(); ready(*a, caught(15), caught(1))",
            "True True False False",
        ),
        ("one = agent(handle_sigterm=False); one.start(); ready(caught(15), caught(1))", "False False"),
        ("one = agent(); one.start(); ready(signal.getsignal(15) is signal.SIG_DFL)", "True"),
        ("signal.signal(15, signal.SIG_IGN); one = agent(); one.start(); ready(caught(15))", "False"),
        # A handler below Python is somebody's too.
        (
            "import faulthandler; faulthandler.register(15, file=sys.stderr); "
            "one = agent(); one.start(); one.stop(); ready(caught(15))",
            "True",
        ),
        # The program's own handler outlives our stop, and after it was taken away ours is there for the next agent.
        (
            "one = agent(); one.start(); h = lambda *_: None; signal.signal(15, h); one.stop(); "
            "a = signal.getsignal(15) is h, caught(15); signal.signal(15, signal.SIG_DFL); "
            "two = agent('b'); two.start(); b = caught(15); two.stop(); ready(*a, b, caught(15))",
            "True True True False",
        ),
        # What the program starts finds nothing of it.
        (
            "import subprocess; one = agent(); one.start(); "
            "out = subprocess.run(['grep', 'SigCgt', '/proc/self/status'], capture_output=True, text=True).stdout; "
            "ready(int(out.split()[1], 16) >> 14 & 1)",
            "0",
        ),
    ],
    ids=["stop", "refused", "unseen", "ignored", "below Python", "twice", "exec"],
)
def test_signals_are_as_they_were(registry: Canned, script: str, expected: str) -> None:
    code = f"{BEGIN}\n{script}"
    environ = {**os.environ, "TRON_REGISTRY": registry.address}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.stdout.strip() == f"ready {expected}", done.stderr


def test_a_forked_child_that_is_terminated_does_not_end_its_parent(registry: Canned) -> None:
    script = """
import multiprocessing
one = agent(); one.start()
context = multiprocessing.get_context("fork")
children = [context.Process(target=time.sleep, args=(60,)) for _ in range(5)]
for each in children: each.start()
for each in children: each.terminate(); each.join(20)
ready(*(each.exitcode for each in children))
wait()
"""
    registry.requests.clear()
    with program(registry, script) as process:
        assert process.poll() is None
        seen = len(registry.requests)
        wait_until(lambda: len(registry.requests) > seen + 2, 20, "it goes on beating")
        assert goodbyes(registry) == {}
        process.send_signal(TERM)
        process.communicate(timeout=20)
    assert process.returncode == -TERM
    assert list(goodbyes(registry)) == ["a"]


def test_without_a_registry_the_end_is_not_held_up() -> None:
    code = BEGIN + "one = agent(registry='127.0.0.1:9', register_timeout=0.1); one.start(); ready(); wait()"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(TERM)
    assert process.wait(5) == -TERM
    process.communicate()
