"""The least that a server of the contract must do: `python -m benchmarks._bare`. It parses, counts and answers.

The same channel options, the same event loop and the same messages as the registry's; no records, no disk, no alerts.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from typing import Any, cast

import grpc
import structlog
from grid.registry.v1 import heartbeat_pb2, registry_service_pb2

from grid_hosting.options import server_options
from grid_hosting.program import run

SERVICE = registry_service_pb2.DESCRIPTOR.services_by_name["RegistryService"].full_name

_incarnations = itertools.count(1)


async def heartbeat(_: object, context: grpc.aio.ServicerContext[Any, Any]) -> None:
    """One stream: answer each registration, and each message of beats."""
    heard = 0
    while (request := cast(Any, await context.read())) is not grpc.aio.EOF:
        kind = request.WhichOneof("kind")
        if kind == "register":
            service = request.register.service
            service.incarnation = next(_incarnations)
            registered = heartbeat_pb2.Registered(service=service)
            await context.write(heartbeat_pb2.HeartbeatResponse(registered=registered))
        elif kind == "beats":
            heard += len(request.beats.beats)
            await context.write(heartbeat_pb2.HeartbeatResponse(ack=heartbeat_pb2.BeatAck(sequence=heard)))


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
    run(serve)
