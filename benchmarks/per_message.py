"""What does a message cost the registry, beside a bare server? `python -m benchmarks.per_message`; needs no Go.

A client in this process sends heartbeats to a registry that TRON watches, and the same to a server that only parses,
counts and answers: single heartbeats with an acknowledgement for each, single ones without, and columns of 100 that
are relayed (there the yardstick also notes when each incarnation was heard). The cost is the processor time of the
servers, TRON included, so the speed of the client does not matter. The servers take turns within each round.

With `--gate` it ends with 1 if a ratio is below its bound in each of up to `--rounds` rounds. Continuous integration
runs it so: the bounds show a regression, they are not the goals.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from statistics import median
from typing import Any

import grpc
from grid.registry.v1 import heartbeat_pb2, registry_service_pb2_grpc, service_pb2
from grid_model.wire import duration

from benchmarks._report import Figure, arguments, conclude, table
from benchmarks._servers import bare, on_processor, ours
from tests.support.waiting import eventually

STREAMS = 50
RELAYS = 4
COLUMN = 100
FEWEST = 50
"""Minimum number of messages in a measurement: on a busy machine it lasts longer."""
PATIENCE = 100.0
"""Seconds for all registrations, and again for the measurement. A registration waits for the disk of the registry, and
on a slow one the hundred of a relay take seconds."""
ACK_EVERY = 20
"""If not each heartbeat asks for an acknowledgement, one of this many does: no more of a stream are on their way."""

GOALS = {"acknowledged": 0.80, "unacknowledged": 0.85, "columns": 0.50}
"""Messages for each second of processor time, as a share of the yardstick's."""

BOUNDS = {"acknowledged": 0.55, "unacknowledged": 0.40, "columns": 0.35}
"""What no change may fall below, on any machine: about a third less than what was measured when they were set."""


def register(service_id: str) -> heartbeat_pb2.HeartbeatRequest:
    """One registration."""
    service = service_pb2.Service(service_id=service_id, name=service_id, heartbeat_interval=duration(30.0))
    return heartbeat_pb2.HeartbeatRequest(register=heartbeat_pb2.Register(service=service))


class Client:
    """Streams that send until it is over, and the messages that they sent."""

    def __init__(self) -> None:
        self.attached = 0
        """Streams on which all are registered."""
        self.sent = 0
        self.over = False

    async def single(self, stream: Any, number: int, *, acknowledged: bool) -> None:
        """One agent that sends one heartbeat after the other."""
        await stream.write(register(f"agent-{number}"))
        await stream.read()
        self.attached += 1
        beat = heartbeat_pb2.Beat(service_id=f"agent-{number}")
        asking = heartbeat_pb2.HeartbeatRequest(beats=heartbeat_pb2.Beats(beats=[beat], ack_requested=True))
        plain = heartbeat_pb2.HeartbeatRequest(beats=heartbeat_pb2.Beats(beats=[beat]))
        own = 0
        while not self.over:
            own += 1
            asks = acknowledged or own % ACK_EVERY == 0
            await stream.write(asking if asks else plain)
            if asks:
                await stream.read()
            self.sent += 1

    async def columns(self, stream: Any, number: int) -> None:
        """One relay that sends one column after the other."""
        incarnations = []
        for each in range(COLUMN):
            await stream.write(register(f"relayed-{number}-{each}"))
            incarnations.append((await stream.read()).registered.service.incarnation)
        relayed = heartbeat_pb2.BeatColumns(incarnations=incarnations)
        beats = heartbeat_pb2.Beats(columns=relayed, ack_requested=True, relayed=True)
        request = heartbeat_pb2.HeartbeatRequest(beats=beats)
        self.attached += 1
        while not self.over:
            await stream.write(request)
            await stream.read()
            self.sent += 1

    async def per_second(
        self, sends: list[Coroutine[Any, Any, None]], cost: Callable[[], float], seconds: float
    ) -> float:
        """Messages for each second of `cost`, over `seconds` from the moment when all streams have sent something.

        Raises what a stream raised, and AssertionError if the streams send too little for `PATIENCE` seconds.
        """
        async with asyncio.TaskGroup() as streams:
            for each in sends:
                streams.create_task(each)
            await eventually(lambda: self.attached == len(sends) <= self.sent, PATIENCE, "all streams send")
            before, sent = cost(), self.sent
            await asyncio.sleep(seconds)
            await eventually(lambda: self.sent - sent >= FEWEST, PATIENCE, f"{FEWEST} messages were sent")
            spent, sent = cost() - before, self.sent - sent
            self.over = True
        return sent / spent


async def flood(address: str, pids: dict[str, int], what: str, seconds: float) -> float:
    """Messages for each second of the servers' processor time."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub = registry_service_pb2_grpc.RegistryServiceStub(channel)
        client = Client()
        sends = [
            client.columns(stub.Heartbeat(), number)
            if what == "columns"
            else client.single(stub.Heartbeat(), number, acknowledged=what == "acknowledged")
            for number in range(RELAYS if what == "columns" else STREAMS)
        ]
        return await client.per_second(sends, lambda: sum(map(on_processor, pids.values())), seconds)


def main() -> None:
    """Measure, print, write."""
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--gate", action="store_true", help="fail below the bounds, not below the goals")
    chosen = parser.parse_args()
    limits = BOUNDS if chosen.gate else GOALS
    ratios: dict[str, list[float]] = {what: [] for what in GOALS}
    rates: dict[str, list[tuple[float, float]]] = {what: [] for what in GOALS}
    for _ in range(chosen.rounds):
        for what in GOALS:
            if chosen.gate and max(ratios[what], default=0.0) >= limits[what]:
                continue
            pair = []
            flags = ("--when-asked", "--noting") if what == "columns" else ("--when-asked",)
            for server in (ours(), bare(*flags)):
                with server as (address, pids):
                    pair.append(asyncio.run(flood(address, pids, what, chosen.seconds)))
            rates[what].append((pair[0], pair[1]))
            ratios[what].append(pair[0] / pair[1])
    rows = {
        what: {
            "ours / CPU-s": median(each for each, _ in rates[what]),
            "yardstick / CPU-s": median(each for _, each in rates[what]),
            "ratio": median(found),
            "from": min(found),
            "to": max(found),
            "goal": GOALS[what],
        }
        for what, found in ratios.items()
    }
    table("Messages for each second of the servers' processor time", rows)
    reached = {what: max(found) if chosen.gate else median(found) for what, found in ratios.items()}
    figures = [
        Figure(
            f"per message: {what}",
            rows[what]["ours / CPU-s"],
            "messages/CPU-s",
            "noting" if what == "columns" else "bare",
            rows[what]["yardstick / CPU-s"],
            goal=limits[what],
            paired=ratio,
        )
        for what, ratio in reached.items()
    ]
    conclude("per_message", chosen.out, figures, {"figures": rows, "ratios": ratios})


if __name__ == "__main__":
    main()
