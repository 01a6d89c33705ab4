"""The least that a server of the contract must do: `python -m benchmarks._bare`. It parses, counts and answers.

With `--noting` it also keeps for each id, or each incarnation of a column, when it was heard last. With `--when-asked`
it answers only messages that ask for it. The same channel
options, the same event loop and the same messages as the registry's; no records, no disk, no alerts. grpc.aio is as it
comes, unless `--wakeups-at-once` is given (see `grid_hosting.wakeups`).
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from typing import Any, cast

import grpc
import structlog
from grid.registry.v1 import heartbeat_pb2, registry_service_pb2

from grid_hosting.options import server_options
from grid_hosting.program import run

SERVICE = registry_service_pb2.DESCRIPTOR.services_by_name["RegistryService"].full_name

_incarnations = itertools.count(1)


NOTING = "--noting" in sys.argv
WHEN_ASKED = "--when-asked" in sys.argv

_heard_at: dict[str | int, float] = {}


def beats_heard(beats: Any) -> int:
    """Count the beats of a message, in both forms; note when each was heard if that is asked for."""
    incarnations = beats.columns.incarnations
    if NOTING:
        now, heard_at = time.monotonic(), _heard_at
        for beat in beats.beats:
            heard_at[beat.service_id] = now
        for incarnation in incarnations[:]:
            heard_at[incarnation] = now
    return len(beats.beats) + len(incarnations)


def registered(register: Any) -> heartbeat_pb2.Registered:
    """The answer to a registration."""
    service = register.service
    service.incarnation = next(_incarnations)
    return heartbeat_pb2.Registered(service=service)


async def heartbeat(_: object, context: grpc.aio.ServicerContext[Any, Any]) -> None:
    """One stream: answer each registration, and each message of beats."""
    heard = 0
    response = heartbeat_pb2.HeartbeatResponse
    while (request := cast(Any, await context.read())) is not grpc.aio.EOF:
        kind = request.WhichOneof("kind")
        if kind == "register":
            await context.write(response(registered=registered(request.register)))
        elif kind == "registers":
            answers = heartbeat_pb2.Registrations(registered=map(registered, request.registers.registers))
            await context.write(response(registrations=answers))
        elif kind == "beats":
            heard += beats_heard(request.beats)
            if WHEN_ASKED and not request.beats.ack_requested:
                continue
            await context.write(response(ack=heartbeat_pb2.BeatAck(sequence=heard)))


async def serve(stop: asyncio.Event) -> None:
    """Serve on a free port, print it, and go on until told to stop."""
    server = grpc.aio.server(options=server_options(1 << 20))
    handler = grpc.stream_stream_rpc_method_handler(
        heartbeat,
        request_deserializer=heartbeat_pb2.HeartbeatRequest.FromString,
        response_serializer=heartbeat_pb2.HeartbeatResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Heartbeat": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"127.0.0.1:{port}", flush=True)
    await stop.wait()
    await server.stop(0)


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout is for the address
    run(serve, plain_grpc="--wakeups-at-once" not in sys.argv)
