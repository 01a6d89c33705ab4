"""The simulation itself: the same seed is the same run, its store is the real store, what it shrinks still fails."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from registry_server.core.effects import Write
from registry_server.io.store.sqlite import SqliteStore
from tests.simulation.cluster import Cluster
from tests.simulation.loop import Loop, Process
from tests.simulation.minimise import broken_promise, fewest
from tests.simulation.mutants import mutated
from tests.simulation.network import DOWN, UP, Connection
from tests.simulation.network import Path as Link
from tests.simulation.plan import plan_of
from tests.simulation.replay import main, smallest


def test_the_same_seed_is_the_same_run() -> None:
    traces = []
    for _ in range(2):
        cluster = Cluster(plan_of(7), trace=True)
        cluster.run()
        traces.append(cluster.observer.trace)
    assert traces[0] == traces[1]
    assert traces[0]


@pytest.mark.parametrize("seed", range(12))
def test_the_modelled_store_keeps_what_the_real_one_keeps(seed: int, tmp_path: Path) -> None:
    """Every commit of a run is made on both; after each of them, the registry would start from the same."""
    cluster = Cluster(plan_of(seed))
    modelled = cluster.store
    with closing(SqliteStore(tmp_path)) as real:

        def both(writes: Sequence[Write]) -> None:
            modelled.commit(writes)
            real.commit(writes)
            assert real.load() == modelled.load()

        cluster.registry.write = both
        cluster.run()
    assert modelled.commits > 3


def test_a_failing_seed_is_made_small_and_its_command_still_fails(capsys: pytest.CaptureFixture[str]) -> None:
    with mutated("end_of_stream_is_goodbye"):
        seed = next(seed for seed in range(50) if len(plan_of(seed).faults) > 3 and broken_promise(plan_of(seed)))
        failure = smallest(seed, "fleet", "end_of_stream_is_goodbye")
    assert failure is not None
    assert len(failure.plan.faults) <= 2
    assert len(failure.plan.fleet) <= 2
    command = failure.command.split("tests.simulation.replay ")[1].split()
    assert main(command) == 1
    assert "removed as if it had left" in capsys.readouterr().out
    assert broken_promise(failure.plan) == ""


def test_the_fewest_that_fail_are_found() -> None:
    assert fewest(list(range(20)), lambda kept: {3, 11} <= set(kept)) == [3, 11]
    assert fewest(list(range(5)), lambda kept: True) == []


def test_a_link_keeps_the_order_and_holds_what_is_sent_while_it_is_blocked() -> None:
    loop = Loop()
    client, server = Process(loop, "client"), Process(loop, "server")
    client.up = server.up = True
    link = Link(loop, Random(1), (0.0, 0.5))
    connection = Connection(link, client, server)
    read: list[int] = []
    connection.on_message[UP] = read.append
    for number in range(20):
        connection.up(number)
    loop.run(1.0)
    assert read == list(range(20))
    link.block(UP)
    connection.up(20)
    connection.close(DOWN)
    loop.run(5.0)
    assert read == list(range(20))
    assert connection.open[UP]
    link.unblock(UP)
    loop.run(10.0)
    assert read == list(range(21))
    assert not connection.open[UP]


def test_the_client_of_a_blocked_link_finds_out_by_keepalive_and_the_registry_when_the_end_arrives() -> None:
    loop = Loop()
    client, server = Process(loop, "client"), Process(loop, "server")
    client.up = server.up = True
    connection = Connection(Link(loop, Random(1), (0.0, 0.1)), client, server)
    connection.path.block(UP)
    loop.run(9.9)
    assert connection.open == [True, True]
    loop.run(40.1)
    assert connection.open == [True, False]
    loop.run(7000.0)
    assert connection.open == [True, False]
    connection.path.unblock(UP)
    loop.run(7002.0)
    assert connection.open == [False, False]


def test_a_stopped_process_reads_before_its_timers_fire() -> None:
    loop = Loop()
    process = Process(loop, "process")
    process.up = True
    did: list[str] = []
    process.later(1.0, lambda: did.append("timer"))
    process.pause()
    loop.run(5.0)
    process.receive(lambda: did.append("input"))
    process.resume()
    assert did == ["input", "timer"]
