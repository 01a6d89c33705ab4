"""What do TLS, authentication and rights cost? `python -m benchmarks.security_cost`; needs Go.

The same load meets a registry that TRON watches in plaintext, with TLS and tokens, and with mutual TLS, in each round.
With both kinds of TLS every caller authenticates, and has rights.

- Sparse: 10,000 agents with a connection each, which beat every 5 s (the driver in Go, `benchmarks/driver`), beside as
  many of another registry in plaintext, so that both meet the machine as it is then.
- Dense: 50 streams that send one heartbeat after the other, each of which is acknowledged (a client in this process).
- Storm: the registry is killed with SIGKILL under the sparse agents, which then all connect at once.

The cost is the processor time of the servers, TRON included, so the speed of the clients does not matter; the time of a
storm is that of both, on one machine. With root's rights the driver has a higher priority than the servers, so that the
heartbeats of its agents are in time; how many were late is printed. The memory is that of the registry, for each agent
with its connection.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from grid.registry.v1 import registry_service_pb2_grpc
from tron_client import RegistryClient
from tron_client.endpoint import Endpoint

from benchmarks._driver import AHEAD, Driver, is_built
from benchmarks._report import Figure, arguments, conclude, table
from benchmarks._secured import MUTUAL, PLAINTEXT, TLS, Way, secured
from benchmarks._servers import Servers, memory, on_processor
from benchmarks.canaries import JUDGEMENTS
from benchmarks.per_message import STREAMS, Client

WAYS = (PLAINTEXT, TLS, MUTUAL)
GOALS = {"sparse": 0.9, "dense": 0.8}
"""Heartbeats for each second of processor time, as a share of those in plaintext."""

STORM_GOAL = 2.0
"""The time of a storm, as a multiple of that in plaintext."""

INTERVAL = 5.0
PEACE = 5.0
"""Seconds from when all are attached until the measurement, and after a storm until events are counted."""

WITHIN = 300.0


@contextmanager
def running(name: str) -> Iterator[tuple[Way, Servers]]:
    """The servers, secured in one way."""
    with tempfile.TemporaryDirectory() as folder:
        way = secured(name, Path(folder))
        with Servers(Path(folder), whole=False, env=way.env) as servers:
            yield way, servers


def spent(servers: Servers) -> float:
    """The processor time of the servers so far."""
    return sum(map(on_processor, servers.pids.values()))


@contextmanager
def attached(name: str, agents: int, ramp: float) -> Iterator[tuple[Way, Servers, Driver, float]]:
    """The servers, secured in one way, with agents that are all attached; and the memory of the registry before."""
    with running(name) as (way, servers):
        before = memory(servers.pids["registry"])
        flags: dict[str, int | str] = {
            "agents": agents,
            "per_connection": 1,
            "ramp": f"{ramp:g}s",
            "interval": f"{INTERVAL:g}s",
        }
        with Driver(servers.address, AHEAD, **flags, **way.flags()) as driver:
            if not driver.wait(lambda: driver.heard("attached"), WITHIN, "all to attach"):
                raise RuntimeError(f"{name}: not all attached: {driver.ask('totals')}")
            time.sleep(PEACE)
            yield way, servers, driver, before


def sparse(name: str, agents: int, seconds: float, ramp: float) -> dict[str, Any]:
    """Measure the sparse load in one way and in plaintext at the same time: the speed of a virtual machine changes by
    more than the difference, from one minute to the next."""
    with attached(PLAINTEXT, agents, ramp) as plain, attached(name, agents, ramp) as secured_one:
        both = {PLAINTEXT: plain, name: secured_one}
        costs = {each: spent(servers) for each, (_, servers, _, _) in both.items()}
        time.sleep(seconds)
        beats = agents * seconds / INTERVAL
        rates = {each: beats / (spent(servers) - costs[each]) for each, (_, servers, _, _) in both.items()}
        return {
            "beats_per_cpu_s": rates,
            "ratio": rates[name] / rates[PLAINTEXT],
            "false_events": sum(_false(servers, way) for way, servers, _, _ in both.values()),
        }


def storm(name: str, agents: int, ramp: float) -> dict[str, Any]:
    """Measure the memory of the registry for each agent, and a storm."""
    with attached(name, agents, ramp) as (way, servers, driver, before):
        found = {"memory_kB_per_agent": round((memory(servers.pids["registry"]) - before) / agents, 1)}
        return {**found, **_storm(servers, driver), "false_events": _false(servers, way)}


def _storm(servers: Servers, driver: Driver) -> dict[str, Any]:
    seen = len(driver.heard("attached"))
    cost, killed_at = sum(on_processor(servers.pids[name]) for name in ("monitor",)), time.time()
    servers.kill_registry()
    serving_at = time.time()
    driver.wait(lambda: len(driver.heard("attached")) > seen, WITHIN, "all to come back")
    back = driver.heard("attached")[seen:]
    time.sleep(PEACE)
    return {
        "storm_s": round(back[0]["at"] - serving_at, 2) if back else None,
        "killed_s": round(serving_at - killed_at, 2),
        "storm_cpu_s": round(spent(servers) - cost, 2),
        "late_heartbeats": driver.ask("totals").get("beats"),
    }


def _false(servers: Servers, way: Way) -> int:
    """How many events there are about agents, none of which has died."""
    files: dict[str, Any] = {} if way.client is None else {"ca": way.client.ca}
    if way.client is not None and way.token is None:
        files = way.client.arguments
    with RegistryClient(Endpoint(servers.address, **files, token_file=way.token)) as client:
        return len(client.list_events(types=JUDGEMENTS, limit=1000).events)


def dense(name: str, seconds: float) -> float:
    """Heartbeats for each second of processor time, of a few streams that send as many as they can."""

    async def flood(way: Way, servers: Servers) -> float:
        async with way.channel(servers.address) as channel:
            stub = registry_service_pb2_grpc.RegistryServiceStub(channel)
            client = Client()
            sends = [
                client.single(stub.Heartbeat(metadata=way.metadata()), number, acknowledged=True)
                for number in range(STREAMS)
            ]
            return await client.per_second(sends, lambda: spent(servers), seconds)

    with running(name) as (way, servers):
        return asyncio.run(flood(way, servers))


def row(name: str, paced: list[dict[str, Any]], storms: list[dict[str, Any]], flooded: list[float]) -> dict[str, Any]:
    """One way as it is printed: medians of the rounds."""

    def middle(values: list[Any]) -> float | str:
        found = [each for each in values if each is not None]
        return median(found) if found else "-"

    return {
        "sparse / CPU-s": middle([each["beats_per_cpu_s"].get(name) for each in paced]),
        "dense / CPU-s": median(flooded) if flooded else "-",
        **{
            title: middle([each.get(key) for each in storms])
            for title, key in (
                ("storm [s]", "storm_s"),
                ("storm [CPU-s]", "storm_cpu_s"),
                ("kB / agent", "memory_kB_per_agent"),
            )
        },
        "false events": sum(each["false_events"] for each in (*storms, *(() if name == PLAINTEXT else paced))),
    }


def main() -> None:
    """Measure, print, write."""
    parser = arguments(__doc__)
    parser.add_argument("--agents", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each measurement of the sparse load")
    parser.add_argument("--dense-seconds", type=float, default=4.0, help="of each measurement of the dense load")
    parser.add_argument("--ramp", type=float, default=30.0, help="seconds over which the agents connect first")
    parser.add_argument("--no-storm", action="store_true")
    chosen = parser.parse_args()
    if not is_built():
        return
    paced: dict[str, list[dict[str, Any]]] = {name: [] for name in (TLS, MUTUAL)}
    storms: dict[str, list[dict[str, Any]]] = {name: [] for name in WAYS}
    flooded: dict[str, list[float]] = {name: [] for name in WAYS}
    for number in range(chosen.rounds):
        for name, of_way in paced.items():
            of_way.append(sparse(name, chosen.agents, chosen.seconds, chosen.ramp))
            print(f"round {number + 1}, sparse, {name}: {of_way[-1]}", flush=True)
        for name in WAYS:
            if not chosen.no_storm:
                storms[name].append(storm(name, chosen.agents, chosen.ramp))
            flooded[name].append(dense(name, chosen.dense_seconds))
            print(f"round {number + 1}, {name}: {storms[name][-1:]} dense {flooded[name][-1]:.0f}", flush=True)
    all_paced = [each for of_way in paced.values() for each in of_way]
    rows = {name: row(name, paced.get(name, all_paced), storms[name], flooded[name]) for name in WAYS}
    table(f"{chosen.agents:,} agents with a connection each; medians of {chosen.rounds} rounds", rows)
    ratios = {
        "sparse": {name: [each["ratio"] for each in of_way] for name, of_way in paced.items()},
        "dense": {
            name: [ours / plain for ours, plain in zip(flooded[name], flooded[PLAINTEXT], strict=True)]
            for name in (TLS, MUTUAL)
        },
    }

    def figure(name: str, column: str, unit: str, goal: float, paired: float | None = None) -> Figure:
        value, plain = (
            each if isinstance(each, float) else None for each in (rows[name][column], rows[PLAINTEXT][column])
        )
        what = f"security: {column.partition(' ')[0]}, {name}"
        return Figure(what, value, unit, PLAINTEXT, plain, goal=goal, at_least=paired is not None, paired=paired)

    figures = [
        figure(name, f"{kind} / CPU-s", "heartbeats/CPU-s", GOALS[kind], median(found))
        for kind, ways in ratios.items()
        for name, found in ways.items()
    ]
    if not chosen.no_storm:
        figures += [figure(name, "storm [s]", "s", STORM_GOAL) for name in (TLS, MUTUAL)]
    false = sum(each["false events"] for each in rows.values())
    figures.append(Figure("security: events about agents", false, "events", goal=0, at_least=False))
    result = {"figures": rows, "ratios": ratios, "sparse": paced, "storms": storms, "dense": flooded}
    conclude("security_cost", chosen.out, figures, result)


if __name__ == "__main__":
    main()
