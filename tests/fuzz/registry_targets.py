"""The registry: its unary calls, its streams of answers, and its heartbeat streams, on the real loop and store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from google.protobuf.message_factory import GetMessageClass
from grid.access.v1 import access_pb2, access_service_pb2, access_service_pb2_grpc
from grid.events.v1 import event_pb2, event_service_pb2, event_service_pb2_grpc
from grid.liveness.v1 import liveness_pb2
from grid.registry.v1 import (
    heartbeat_pb2,
    observation_pb2,
    registry_service_pb2,
    registry_service_pb2_grpc,
    service_pb2,
)
from grid_model import wire
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hypothesis import strategies as st

from grid_hosting.access.trail import AuditTrail
from grid_hosting.health import HealthService
from registry_server.config import Config
from registry_server.io.access import Access
from registry_server.io.callers import Callers
from registry_server.io.grpc_access import AccessService
from registry_server.io.grpc_events import EventService
from registry_server.io.grpc_health import RegistryHealth
from registry_server.io.grpc_heartbeat import HeartbeatStreams
from registry_server.io.grpc_registry import RegistryService
from registry_server.io.loop import RegistryLoop
from registry_server.io.store.sqlite import SqliteStore
from tests.fuzz.alarms import Alarms, raised
from tests.fuzz.cases import Case
from tests.fuzz.doors import Doors, OpenStream
from tests.fuzz.messages import field, nested_labels, serialized
from tests.fuzz.targets import Target, sequences, step
from tests.support.hostile_details import VALUES, everywhere

HEARTBEAT = "/grid.registry.v1.RegistryService/Heartbeat"
BYSTANDER = "the bystander of the fuzzer"

SERVICE = service_pb2.Service(
    service_id="a", name="a", caps=["work"], parent="parent", heartbeat_interval=wire.duration(60.0)
)
CHILD = service_pb2.Service(service_id="b", name="worker 1", parent="a", labels=wire.struct({"tier": 1, "parent": "a"}))
EVENT = event_pb2.Event(type="note", service_id="a", recipient="b", message="m", details=wire.struct({"a": [1, None]}))
DOWN = event_pb2.Event(
    type="service_down", alert_id="1", service_id="a", recipient="operators", severity=event_pb2.SEVERITY_CRITICAL
)
HOSTILE = [
    event_pb2.Event(
        type=kind,
        alert_id=f"{kind} {number}",
        service_id="a",
        recipient=recipient,
        severity=event_pb2.SEVERITY_CRITICAL,
        occurred_at=wire.timestamp_at((-1e12, 1e12)[number % 2]),
        details=wire.struct(everywhere(value)),
    )
    for number, value in enumerate(VALUES)
    for kind in ("note", "service_down", "heartbeat_restored")
    for recipient in ("operators", "parent")
]
"""Alerts that the registry accepts from an observer, or that an earlier version stored, but not from other clients."""

GRANT = access_pb2.Grant(role=access_pb2.ROLE_AGENT, pattern="a*")

R, E, A = registry_service_pb2, event_service_pb2, access_service_pb2
PUBLISHED = [E.PublishEventRequest(event=each) for each in HOSTILE[::7]]
VALID: dict[type[Any], tuple[Any, ...]] = {
    R.RegisterRequest: (R.RegisterRequest(service=SERVICE), R.RegisterRequest(service=CHILD, as_sent=True)),
    R.DeregisterRequest: (R.DeregisterRequest(service_id="a"), R.DeregisterRequest(service_id="b", reason="r")),
    R.GetServiceRequest: (R.GetServiceRequest(service_id="a"),),
    R.ListServicesRequest: (R.ListServicesRequest(), R.ListServicesRequest(page_size=1)),
    R.ListGoneServicesRequest: (R.ListGoneServicesRequest(),),
    R.PromoteRequest: (
        R.PromoteRequest(
            name="a", from_role=service_pb2.SERVICE_ROLE_PRODUCTION, to_role=service_pb2.SERVICE_ROLE_CANARY
        ),
    ),
    R.WatchServicesRequest: (R.WatchServicesRequest(), R.WatchServicesRequest(batches=True, heartbeats=True)),
    R.RecordMaintenanceRequest: (
        R.RecordMaintenanceRequest(service_id="a", enabled=True, duration=wire.duration(60.0)),
        R.RecordMaintenanceRequest(service_id="a"),
    ),
    R.ListMaintenanceRequest: (R.ListMaintenanceRequest(),),
    observation_pb2.ObserveLivenessRequest: (observation_pb2.ObserveLivenessRequest(observer="tron"),),
    observation_pb2.GetObservationRequest: (observation_pb2.GetObservationRequest(service_id="a"),),
    observation_pb2.ApplyVerdictsRequest: (
        observation_pb2.ApplyVerdictsRequest(
            observer="tron",
            verdicts=[
                observation_pb2.Verdict(
                    service_id="a",
                    incarnation=number,
                    observation=1,
                    kind=kind,
                    cause=liveness_pb2.LIVENESS_CAUSE_SILENT,
                    alert=DOWN,
                )
                for number in (1, 2, 3)
                for kind in observation_pb2.VerdictKind.values()[1:]
            ],
        ),
        observation_pb2.ApplyVerdictsRequest(
            observer="tron", notices=[observation_pb2.Notice(event=each) for each in HOSTILE]
        ),
        observation_pb2.ApplyVerdictsRequest(
            observer="tron",
            judged_until=wire.duration(1.0),
            notices=[observation_pb2.Notice(event=DOWN)],
            standing=[observation_pb2.StandingSuspicion(service_id="a", incarnation=2, alert=DOWN)],
            report_deadlines=observation_pb2.ReportDeadlines(
                incarnations=[2], due_seconds=[5.0], silence_seconds=[5.0], inactivity_seconds=[5.0]
            ),
        ),
    ),
    E.PublishEventRequest: (E.PublishEventRequest(event=EVENT), E.PublishEventRequest(event=DOWN), *PUBLISHED),
    E.AcknowledgeEventRequest: (E.AcknowledgeEventRequest(alert_id="1", recipient="operators"),),
    E.AcknowledgeEventsRequest: (E.AcknowledgeEventsRequest(all=True), E.AcknowledgeEventsRequest(service_id="a")),
    E.ListEventsRequest: (E.ListEventsRequest(), E.ListEventsRequest(newest=True, limit=5)),
    E.SubscribeEventsRequest: (E.SubscribeEventsRequest(), E.SubscribeEventsRequest(only_new=True)),
    A.CreateTokenRequest: (A.CreateTokenRequest(principal="token:a", grants=[GRANT]),),
    A.RevokeTokenRequest: (A.RevokeTokenRequest(token_id="a"),),
    A.PutPrincipalRequest: (A.PutPrincipalRequest(principal=access_pb2.Principal(name="token:a", grants=[GRANT])),),
    A.ChangeGrantsRequest: (A.ChangeGrantsRequest(principal="token:a", add=[GRANT]),),
    A.GetPrincipalRequest: (A.GetPrincipalRequest(name="token:a"),),
    A.DeletePrincipalRequest: (A.DeletePrincipalRequest(name="token:a"),),
    A.IdentifyRequest: (A.IdentifyRequest(spiffe_id="spiffe://tron/a", peer="ipv4:127.0.0.1:1"),),
    A.ListAuditRecordsRequest: (A.ListAuditRecordsRequest(newest=True),),
    health_pb2.HealthCheckRequest: (health_pb2.HealthCheckRequest(), health_pb2.HealthCheckRequest(service="a")),
}

H = heartbeat_pb2
BEAT = H.Beat(
    service_id="a", status=service_pb2.SERVICE_STATUS_OK, p95_ms=1.0, load=0.5, queue_depth=1, activity=3, progress=0.5
)
MESSAGES = (
    H.HeartbeatRequest(register=H.Register(service=SERVICE)),
    H.HeartbeatRequest(register=H.Register(service=CHILD, shared="process", instance_id="one")),
    H.HeartbeatRequest(registers=H.Registers(registers=[H.Register(service=SERVICE), H.Register(service=CHILD)])),
    H.HeartbeatRequest(beats=H.Beats(beats=[BEAT], ack_requested=True)),
    H.HeartbeatRequest(beats=H.Beats(beats=[BEAT, H.Beat(service_id="b")], relayed=True, replaces_figures=True)),
    H.HeartbeatRequest(beats=H.Beats(columns=H.BeatColumns(incarnations=[1, 2, 3], activity=[1, 2, 3]))),
    H.HeartbeatRequest(ack=H.AlertAck(alert_ids=["1"])),
    H.HeartbeatRequest(goodbye=H.Goodbye(service_id="a", reason="r")),
    H.HeartbeatRequest(abandoned=H.Abandoned(service_id="b")),
)


class RegistryRig:
    """A registry without a port, with an agent that nobody may disturb."""

    def __init__(self, runner: asyncio.Runner, folder: Path, alarms: Alarms) -> None:
        self._runner = runner
        self.alarms = alarms
        self._folder = folder
        self._beats = 0
        self.doors = Doors()
        runner.run(self._start())

    def run(self, case: Case) -> None:
        """Run one case, and look after the bystander."""
        self._runner.run(self.run_case(case))
        self.alarms.check()

    async def run_case(self, case: Case) -> None:
        """Make the calls and send the messages; streams that the case opens end with it."""
        streams: dict[str, OpenStream] = {}
        try:
            for name, data in case:
                kind, _, number = name.partition("#")
                if kind == "stream":
                    if number not in streams:
                        streams[number] = OpenStream(await self.doors.handler(HEARTBEAT))
                    await streams[number].send(data)
                elif kind == "close":
                    if number in streams:
                        await streams.pop(number).close()
                else:
                    await self.doors.call(name, data)
        finally:
            for stream in streams.values():
                await stream.close()
        await self.check_bystander()

    async def check_bystander(self) -> None:
        """The bystander's heartbeat is acknowledged, and nothing else was sent to it."""
        self._beats += 1
        beat = H.Beat(service_id=BYSTANDER, sequence=self._beats)
        heard = self._bystander.context.answers
        await self._bystander.send(
            H.HeartbeatRequest(beats=H.Beats(beats=[beat], ack_requested=True)).SerializeToString()
        )
        async with asyncio.timeout(10):
            while not any(each.ack.sequence >= self._beats for each in heard):
                await asyncio.sleep(0)
        kinds = {each.WhichOneof("kind") for each in heard}
        assert kinds == {"ack"}, f"the bystander received {kinds}"
        heard.clear()
        registry = self.loop.registry
        assert registry.view(registry.get(BYSTANDER)).connected, "the bystander lost its stream"

    async def _start(self) -> None:
        self.loop = RegistryLoop(SqliteStore(self._folder), event_retention=60)
        await self.loop.start()
        self._running = asyncio.create_task(self.loop.run())
        self.callers = Callers(self.loop)
        self.streams = HeartbeatStreams(self.loop, Config(data_dir=self._folder), self.callers)
        server: Any = self.doors
        services = RegistryService(self.loop, self.streams, self.callers)
        events = EventService(self.loop, self.callers)
        registry_service_pb2_grpc.add_RegistryServiceServicer_to_server(services, server)
        event_service_pb2_grpc.add_EventServiceServicer_to_server(events, server)
        self._access = Access(self._folder)
        self._accessing = asyncio.create_task(self._access.run())
        rights = AccessService(self._access, self.loop, AuditTrail(self._access.append_audit))
        access_service_pb2_grpc.add_AccessServiceServicer_to_server(rights, server)
        health_pb2_grpc.add_HealthServicer_to_server(HealthService(RegistryHealth(self.loop, self.callers)), server)
        self._bystander = OpenStream(await self.doors.handler(HEARTBEAT))
        service = service_pb2.Service(service_id=BYSTANDER, name=BYSTANDER, heartbeat_interval=wire.duration(3600.0))
        await self._bystander.send(H.HeartbeatRequest(register=H.Register(service=service)).SerializeToString())
        await self.loop.flushed()
        async with asyncio.timeout(10):
            while not self._bystander.context.answers:
                await asyncio.sleep(0)
        self._bystander.context.answers.clear()

    async def stop(self) -> None:
        """End the loop, and close the store."""
        await self._bystander.close()
        await self._access.open()
        self._accessing.cancel()
        await asyncio.wait({self._accessing})
        self._running.cancel()
        with suppress(asyncio.CancelledError):
            await self._running
        await self.loop.close()


@contextmanager
def open_registry() -> Iterator[RegistryRig]:
    """Run a registry until the block ends."""
    with (
        raised() as alarms,
        TemporaryDirectory(prefix="fuzz-", dir=memory_folder()) as folder,
        asyncio.Runner() as runner,
    ):
        alarms.watch_loop(runner.get_loop())
        rig = RegistryRig(runner, Path(folder), alarms)
        try:
            yield rig
        finally:
            runner.run(rig.stop())
        alarms.check()


def memory_folder() -> str | None:
    """Return a folder in memory, because commits wait for a disk; None if the system has none."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _calls() -> list[Any]:
    services = (
        registry_service_pb2.DESCRIPTOR.services_by_name["RegistryService"],
        event_service_pb2.DESCRIPTOR.services_by_name["EventService"],
        access_service_pb2.DESCRIPTOR.services_by_name["AccessService"],
        health_pb2.DESCRIPTOR.services_by_name["Health"],
    )
    steps = []
    for service in services:
        for method in service.methods:
            if method.name == "Heartbeat":
                continue
            kind: Any = GetMessageClass(method.input_type)
            # A type without an entry is a new method: it needs valid messages, or nothing but refusals is tested.
            steps.append(step(f"/{service.full_name}/{method.name}", serialized(kind, *VALID.get(kind, ()))))
    return steps


CALLS = _calls()
_NESTED = st.integers(0, 200).map(
    lambda levels: field(1, field(1, b"deep") + field(2, b"deep") + field(7, nested_labels(levels)))
)
_APPLY = serialized(observation_pb2.ApplyVerdictsRequest, *VALID[observation_pb2.ApplyVerdictsRequest])
_SENT = serialized(H.HeartbeatRequest, *MESSAGES)
_STREAMS = ("stream#0", "stream#1", "stream#2")

CALL_TARGET = Target(
    "registry calls", sequences(*CALLS, step("/grid.registry.v1.RegistryService/Register", _NESTED)), open_registry
)
STREAM_TARGET = Target(
    "heartbeat streams",
    sequences(
        *(step(name, _SENT) for name in _STREAMS),
        *(step(name.replace("stream", "close"), st.just(b"")) for name in _STREAMS[:2]),
        step("/grid.registry.v1.RegistryService/ApplyVerdicts", _APPLY),
        most=12,
    ),
    open_registry,
)
