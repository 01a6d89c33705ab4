"""TRON: its calls, on a real TRON that watches a real registry in the same process."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc
from google.protobuf.message_factory import GetMessageClass
from grid.events.v1 import event_service_pb2_grpc
from grid.registry.v1 import registry_service_pb2_grpc
from grid.tron.v1 import policy_pb2, tron_service_pb2
from grid_model import wire
from grpc_health.v1 import health_pb2

from grid_hosting.grpc_server import build_server
from registry_server.io.grpc_events import EventService
from registry_server.io.grpc_registry import RegistryService
from tests.fuzz.alarms import Alarms, raised
from tests.fuzz.cases import Case
from tests.fuzz.doors import ANSWERED_WITHIN, FORBIDDEN
from tests.fuzz.messages import serialized
from tests.fuzz.registry_targets import CALLS, RegistryRig, memory_folder
from tests.fuzz.targets import Target, sequences, step
from tron.config import Config
from tron.server import serve

T = tron_service_pb2
VALID: dict[type[Any], tuple[Any, ...]] = {
    T.GetStatsRequest: (T.GetStatsRequest(),),
    T.ListAlertsRequest: (T.ListAlertsRequest(limit=5),),
    T.GetPolicyRequest: (T.GetPolicyRequest(), T.GetPolicyRequest(service_id="a")),
    T.SetPolicyRequest: (
        T.SetPolicyRequest(policy=policy_pb2.Policy(misses_before_down=2), allow_unknown=True),
        T.SetPolicyRequest(policy=policy_pb2.Policy(keep_down=wire.duration(5.0)), service_id="a", allow_unknown=True),
        T.SetPolicyRequest(unset=["keep_down"], service_id="a", allow_unknown=True),
    ),
    T.ListPolicyOverridesRequest: (T.ListPolicyOverridesRequest(),),
    T.SetMaintenanceRequest: (
        T.SetMaintenanceRequest(service_id="a", enabled=True, duration=wire.duration(60.0)),
        T.SetMaintenanceRequest(service_id="a"),
    ),
    T.ListMaintenanceRequest: (T.ListMaintenanceRequest(),),
    T.ExplainRequest: (T.ExplainRequest(service_id="a"), T.ExplainRequest(service_id="service-registry")),
    health_pb2.HealthCheckRequest: (health_pb2.HealthCheckRequest(),),
}


class TronRig(RegistryRig):
    """A registry on a port, and a TRON that watches it."""

    def __init__(self, runner: asyncio.Runner, folder: Path, alarms: Alarms) -> None:
        super().__init__(runner, folder / "registry", alarms)
        runner.run(self._start_tron(folder))

    async def run_case(self, case: Case) -> None:
        """Make the calls of TRON over gRPC, and those of the registry as `RegistryRig` does."""
        for each in case:
            if each.name.startswith("/grid.tron."):
                await self._call(each.name, each.data)
            else:
                await super().run_case((each,))
        await self.check_bystander()
        assert not self._tron.done(), f"TRON ended: {self._tron!r}"

    async def _call(self, method: str, data: bytes) -> None:
        call: Any = self._channel.unary_unary(method)
        try:
            await call(data, timeout=ANSWERED_WITHIN)
        except grpc.aio.AioRpcError as error:
            code = error.code()
            assert code not in FORBIDDEN, f"{method}: {code.name} {error.details()}"
            assert code is not grpc.StatusCode.DEADLINE_EXCEEDED, f"{method}: no answer"

    async def _start_tron(self, folder: Path) -> None:
        services = RegistryService(self.loop, self.streams, self.callers)
        events = EventService(self.loop, self.callers)

        def register(server: grpc.aio.Server) -> None:
            registry_service_pb2_grpc.add_RegistryServiceServicer_to_server(services, server)
            event_service_pb2_grpc.add_EventServiceServicer_to_server(events, server)

        bound = build_server("127.0.0.1:0", register=register, services=(), max_message_bytes=1 << 20)
        self.registry_address = bound.address
        self._server = bound.server
        await self._server.start()
        ready = folder / "tron.json"
        config = Config(
            listen="127.0.0.1:0",
            registry=bound.address,
            data_dir=folder / "tron",
            ready_file=ready,
            metrics_listen="off",
            self_register=False,
        )
        self._stop = asyncio.Event()
        self._tron = asyncio.create_task(serve(config, self._stop))
        async with asyncio.timeout(20):
            while not ready.exists():
                await asyncio.sleep(0.01)
            self.tron_address = str(json.loads(ready.read_text())["tron_grpc"])
            while not self.loop.registry.watched:
                await asyncio.sleep(0.01)
        self._channel = grpc.aio.insecure_channel(self.tron_address)

    async def stop(self) -> None:
        """End TRON, the server, and the registry."""
        self._stop.set()
        await self._tron
        await self._channel.close()
        self.loop.draining = True
        self.loop.revisions.wake()
        self.loop.sequences.wake()
        await self._server.stop(0)
        await self.streams.all_ended(2.0)
        await super().stop()
        # A server of gRPC that is collected after its loop ended complains.
        del self._server, self._channel, self._tron
        gc.collect()
        await asyncio.sleep(0)


@contextmanager
def open_tron() -> Iterator[TronRig]:
    """Run a registry and a TRON until the block ends."""
    with (
        raised() as alarms,
        TemporaryDirectory(prefix="fuzz-", dir=memory_folder()) as folder,
        asyncio.Runner() as runner,
    ):
        alarms.watch_loop(runner.get_loop())
        rig = TronRig(runner, Path(folder), alarms)
        try:
            yield rig
        finally:
            with suppress(grpc.aio.UsageError):
                runner.run(rig.stop())
        alarms.check()


def _calls() -> list[Any]:
    service = tron_service_pb2.DESCRIPTOR.services_by_name["TronService"]
    steps = []
    for method in service.methods:
        kind: Any = GetMessageClass(method.input_type)
        steps.append(step(f"/{service.full_name}/{method.name}", serialized(kind, *VALID.get(kind, ()))))
    return steps


TRON_CALLS = _calls()
TRON_TARGET = Target("tron calls", sequences(*TRON_CALLS, *TRON_CALLS, *CALLS, most=5), open_tron)
