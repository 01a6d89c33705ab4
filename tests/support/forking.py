"""A program that holds objects of the SDK and forks, many times over: `python -m tests.support.forking STORY REGISTRY`.

Each story runs `TIMES` times, each time with a child that must end well within `PATIENCE` seconds; the program exits
with 1 and says what was wrong otherwise. "Well" is what the story returned in the child.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

import pytest
from tron_client import (
    Agent,
    AsyncRegistryClient,
    RegistryClient,
    Supervisor,
    start_registry_heartbeat,
    stop_registry_heartbeat,
)

TIMES = int(os.environ.get("TIMES", "6"))
PATIENCE = 10.0
FORK = multiprocessing.get_context("fork")


def in_child(story: Callable[[], object], *, end: Callable[[int], object] = os._exit) -> None:
    """Run a story in a forked child, and wait for its end."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            began = time.monotonic()
            story()
            took = time.monotonic() - began
            assert took < PATIENCE / 2, f"took {took:.1f} s"
            code = 0
        except BaseException as error:
            print(f"in the child: {error!r}", flush=True)
        finally:
            end(code)
    deadline = time.monotonic() + PATIENCE
    while (ended := os.waitpid(pid, os.WNOHANG))[0] == 0:
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise AssertionError("the child hangs")
        time.sleep(0.005)
    assert ended[1] == 0, f"the child ended with {ended[1]}"


@contextmanager
def parent(registry: str) -> Iterator[Agent]:
    """An agent of the parent that must not be disturbed."""
    with Agent("parent", registry=registry, heartbeat_interval=0.1, on_alert=print) as agent:
        held = agent.incarnation
        yield agent
        assert (agent.state, agent.incarnation) == ("connected", held), f"the parent is {agent.state}"


def leaving_the_block(registry: str) -> None:
    """The child leaves the `with` block that it was forked in."""
    agent = Agent("parent", registry=registry, heartbeat_interval=0.1)
    with agent:
        parent_pid, held = os.getpid(), agent.incarnation
        for number in range(TIMES):
            in_child(lambda: _leave(agent), end=os._exit if number % 2 else _end_the_interpreter)
        assert (agent.state, agent.incarnation, os.getpid()) == ("connected", held, parent_pid)


def _leave(agent: Agent) -> None:
    assert (agent.state, agent.healthy) == ("stopped", False)
    agent.report("running", message="not for me")
    agent.advance()
    assert agent.take_alert(1) is None
    assert list(agent.alerts_blocking()) == []
    assert not agent.wait_registered(1)
    agent.start()
    agent.__exit__(None, None, None)
    agent.abandon()
    asyncio.run(agent.__aexit__(None, None, None))
    assert agent.state == "stopped"


def _end_the_interpreter(code: int) -> None:
    """As at the end of a script: exit handlers and all."""
    sys.exit(code)


def under_load(registry: str) -> None:
    """Other threads of the parent use the agent at the moment of the fork, so that its locks are held."""
    over = threading.Event()
    with parent(registry) as agent:

        def work() -> None:
            while not over.is_set():
                agent.report(load=1.0)
                agent.advance()
                assert agent.state == "connected"

        workers = [threading.Thread(target=work) for _ in range(3)]
        for each in workers:
            each.start()
        try:
            for _ in range(TIMES):
                in_child(lambda: _leave(agent))
        finally:
            over.set()
            for each in workers:
                each.join()


def an_agent_of_its_own(registry: str) -> None:
    """The child starts an agent, and says goodbye."""
    with parent(registry):
        for number in range(TIMES):
            in_child(lambda number=number: _be(registry, f"child-{number}").stop())  # type: ignore[misc]


def _be(registry: str, service_id: str) -> Agent:
    agent = Agent(service_id, registry=registry, heartbeat_interval=0.1)
    agent.start()
    assert agent.state == "connected", agent.state
    return agent


def agents_on_one_stream(registry: str) -> None:
    """The child inherits three agents that share a stream, and starts two that share one of their own."""
    with parent(registry) as first, _be(registry, "parent-2") as second, _be(registry, "parent-3") as third:
        held = [agent.incarnation for agent in (first, second, third)]
        for number in range(TIMES):
            in_child(lambda number=number: _share_again(registry, (first, second, third), number))  # type: ignore[misc]
            assert [agent.incarnation for agent in (first, second, third)] == held
            assert [agent.state for agent in (first, second, third)] == ["connected"] * 3


def _share_again(registry: str, inherited: tuple[Agent, ...], number: int) -> None:
    assert [agent.state for agent in inherited] == ["stopped"] * 3
    with _be(registry, f"child-{number}-1") as one, _be(registry, f"child-{number}-2") as other:
        assert (one.healthy, other.healthy) == (True, True)
        for agent in inherited:
            agent.stop()
            agent.abandon()


def multiprocessing_child(registry: str) -> None:
    """The child of multiprocessing starts an agent and returns: with an agent in the parent, and without."""
    with parent(registry):
        for number in range(TIMES // 2):
            _in_multiprocessing(registry, f"child-{number}")
    for number in range(TIMES // 2, TIMES):
        _in_multiprocessing(registry, f"child-{number}")


def _in_multiprocessing(registry: str, service_id: str) -> None:
    child = FORK.Process(target=_be, args=(registry, service_id))
    child.start()
    child.join(PATIENCE)
    if child.exitcode is None:
        child.kill()
    assert child.exitcode == 0, f"the child ended with {child.exitcode}"


def pool_of_processes(registry: str) -> None:
    """Each worker of a pool starts an agent; all say goodbye when the pool is shut down."""
    with ProcessPoolExecutor(3, mp_context=FORK) as pool:
        list(pool.map(_work_in_pool, [registry] * 3, range(3)))


_barrier = FORK.Barrier(3)


def _work_in_pool(registry: str, number: int) -> None:
    _barrier.wait(PATIENCE)  # so that each worker has one
    globals()["kept"] = _be(registry, f"child-{number}")


def clients(registry: str) -> None:
    """The child goes on with the client of the parent, over a connection of its own."""
    with RegistryClient(registry) as client:
        assert client.list_services().services
        for number in range(TIMES):
            in_child(lambda: _use(client), end=os._exit if number % 2 else _end_the_interpreter)
            assert client.list_services().services


def _use(client: RegistryClient) -> None:
    assert client.get_service("other").service_id == "other"
    assert client.list_services().services
    client.close()


async def _asyncio_client(registry: str) -> None:
    client = AsyncRegistryClient(registry)
    assert (await client.get_service("other")).connected
    for _ in range(TIMES):
        in_child(lambda: asyncio.run(_refused(client)))
        assert (await client.get_service("other")).connected
    await client.close()


async def _refused(client: AsyncRegistryClient) -> None:
    with pytest.raises(RuntimeError, match="belongs to the parent process"):
        await client.get_service("other")
    await client.close()


def asyncio_client(registry: str) -> None:
    """A client of an event loop is refused in the child, and disturbs nobody."""
    # No agent runs here: gRPC may crash in a child that is forked while threads are inside it (docs/sdk.md).
    asyncio.run(_asyncio_client(registry))


def supervisor(registry: str) -> None:
    """The child leaves the block of a supervisor that it was forked in."""
    with Agent("parent", registry=registry) as agent, Supervisor(agent, print, on_alert=print) as guard:
        for _ in range(TIMES):
            in_child(guard.stop)
            in_child(lambda: asyncio.run(guard.__aexit__(None, None, None)))
        assert agent.healthy


def made_before(registry: str) -> None:
    """An agent that was made, and not started, before the fork is started on both sides: two incarnations."""
    for _ in range(TIMES):
        agent = Agent("parent", registry=registry, heartbeat_interval=0.1)
        in_child(lambda agent=agent: _start_first(agent))  # type: ignore[misc]
        agent.start()
        assert agent.state == "connected"
        agent.stop()


def _start_first(agent: Agent) -> None:
    agent.start()
    assert agent.state == "connected"
    agent.abandon()


def standby(registry: str) -> None:
    """The child of a holder does not hold the id, though it lives on."""
    for _ in range(TIMES):
        agent = Agent("parent", registry=registry, heartbeat_interval=0.1, standby=True)
        agent.start()
        assert agent.state == "connected", agent.state
        other = Agent("parent", registry=registry, heartbeat_interval=0.1, standby=True)
        other.start()
        assert other.state == "standby"
        in_child(lambda agent=agent: _leave(agent))  # type: ignore[misc]
        in_child(lambda other=other: _leave(other))  # type: ignore[misc]
        assert (agent.state, other.state) == ("connected", "standby")
        other.stop()
        pid = os.fork()
        if pid == 0:
            signal.pause()
            os._exit(0)
        agent.stop()
        with Agent("parent", registry=registry, heartbeat_interval=0.1, standby=True) as after:
            assert after.state == "connected", after.state
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def drop_in(registry: str) -> None:
    """What the drop-in started in the parent is not stopped by the child."""
    os.environ["TRON_REGISTRY"] = registry

    async def story() -> None:
        assert await start_registry_heartbeat("parent", "P", "agent", "production", "", [], heartbeat_interval_s=0.1)
        for _ in range(TIMES):
            in_child(lambda: asyncio.run(stop_registry_heartbeat()))
        with RegistryClient() as client:
            assert client.get_service("parent").connected
        await stop_registry_heartbeat()

    asyncio.run(story())


def without_fork_support(registry: str) -> None:
    """gRPC is configured not to support forks: reported, instead of an end without a message."""
    with parent(registry):
        in_child(lambda: _must_say(registry))


def _must_say(registry: str) -> None:
    with pytest.raises(RuntimeError, match="GRPC_ENABLE_FORK_SUPPORT"):
        Agent("child", registry=registry).start()
    with pytest.raises(RuntimeError, match="GRPC_ENABLE_FORK_SUPPORT"):
        RegistryClient(registry)


STORIES = {
    story.__name__: story
    for story in (
        leaving_the_block,
        under_load,
        an_agent_of_its_own,
        agents_on_one_stream,
        multiprocessing_child,
        pool_of_processes,
        clients,
        asyncio_client,
        supervisor,
        made_before,
        standby,
        drop_in,
        without_fork_support,
    )
}

if __name__ == "__main__":
    STORIES[sys.argv[1]](sys.argv[2])
    print("well")
