"""The SDK and TRON as clients: what a registry sends them, through the real codecs, sessions and judge."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2
from grid.events.v1 import event_pb2
from grid.registry.v1 import error_reason_pb2, heartbeat_pb2, observation_pb2, registry_service_pb2, service_pb2
from grid_model import wire
from grid_model.errors import InvalidRequest
from grid_model.observer_codec import decode_frame
from tron_client.errors import from_rpc_error
from tron_client.models import Event, GoneService, Service
from tron_client.protocol import codec
from tron_client.protocol.session import AgentSession
from tron_client.protocol.shared_stream import SharedStream

from grid_hosting.status import to_error
from tests.fuzz.alarms import raised
from tests.fuzz.cases import Case
from tests.fuzz.messages import parsed, serialized
from tests.fuzz.registry_targets import DOWN, EVENT, SERVICE
from tests.fuzz.targets import Target, sequences, step
from tron.judge import Judge
from tron.policy import Policies, Policy
from tron.session import Session

H, OBS = heartbeat_pb2, observation_pb2
ANSWERS = (
    H.HeartbeatResponse(registered=H.Registered(service=service_pb2.Service(service_id="a", incarnation=1))),
    H.HeartbeatResponse(registrations=H.Registrations(registered=[H.Registered(service=SERVICE)])),
    H.HeartbeatResponse(ack=H.BeatAck(sequence=1)),
    H.HeartbeatResponse(alert=H.Alert(event=EVENT)),
    H.HeartbeatResponse(unknown_service=H.UnknownService(service_id="a", incarnation=1)),
    H.HeartbeatResponse(superseded=H.Superseded(service_id="a", incarnation=2)),
    H.HeartbeatResponse(declared_down=H.DeclaredDown(service_id="a", event=DOWN)),
    H.HeartbeatResponse(drain=H.Drain(reconnect_after=wire.duration(1.0))),
    H.HeartbeatResponse(
        rejected=H.Rejected(
            service_id="a", field="f", description="d", reason=error_reason_pb2.ERROR_REASON_INVALID_REQUEST
        )
    ),
    H.HeartbeatResponse(left=H.Left(service_id="a", incarnation=1)),
)
OBSERVATION = OBS.Observation(
    service_id="a",
    name="a",
    incarnation=1,
    observation=1,
    heartbeat_interval=wire.duration(2.0),
    connected=True,
    streamed=True,
)
FRAMES = (
    OBS.ObserveLivenessResponse(now=wire.duration(1.0), observations=[OBSERVATION], snapshot_complete=True),
    OBS.ObserveLivenessResponse(
        now=wire.duration(20.0),
        hearing_since=wire.duration(0.5),
        beat_incarnations=[1],
        beat_observations=[2],
        beat_ages_ms=[3],
    ),
    OBS.ObserveLivenessResponse(now=wire.duration(60.0), removed=["a"], takes_deadlines=True),
    OBS.ObserveLivenessResponse(now=wire.duration(3.0), deliveries=[OBS.Delivery(event=DOWN)]),
)
STATUS = status_pb2.Status(code=3, message="m")
STATUS.details.add().Pack(error_details_pb2.ErrorInfo(reason="ERROR_REASON_SUPERSEDED", metadata={"incarnation": "5"}))
STATUS.details.add().Pack(
    error_details_pb2.BadRequest(field_violations=[error_details_pb2.BadRequest.FieldViolation(field="f")])
)
MODELS: dict[str, tuple[type[Any], Any]] = {
    "Service": (service_pb2.Service, Service.from_proto),
    "Event": (event_pb2.Event, Event.from_proto),
    "GoneService": (registry_service_pb2.GoneService, GoneService.from_proto),
}


class AgentRig:
    """Two agents on one shared stream, whose registry answers as it likes; a new pair for each case."""

    def run(self, case: Case) -> None:
        """Receive each message as the stream does."""
        now = 1.0
        stream = SharedStream("process")
        for service_id in ("a", "b"):
            declared = service_pb2.Service(service_id=service_id, name=service_id)
            stream.join(AgentSession(declared, service_id, 1.0, lambda: "instance", "ok"))
        stream.stream_opened()
        for _, data in case:
            now += 0.5
            self._send(stream, now)
            response = parsed(H.HeartbeatResponse, data)
            if response is None:
                continue  # gRPC ends the stream
            for message in codec.decode_all(response):
                stream.receive(message, now, 0.5)
            stream.deadline(now)
            self._send(stream, now)

    def _send(self, stream: SharedStream, now: float) -> None:
        for _ in range(10):
            message = stream.next_message(now)
            if message is None:
                return
            for request in codec.encode_all(message):
                request.SerializeToString()


class ObserverRig:
    """TRON's session and judge, whose registry sends frames as it likes; a new pair for each case."""

    def run(self, case: Case) -> None:
        """Read each frame, and decide on it. A frame that is invalid ends the stream."""
        judge = Judge(Policies(Policy(), {}), "tron")
        session = Session(judge)
        for _, data in case:
            message = parsed(OBS.ObserveLivenessResponse, data)
            if message is None:
                return
            try:
                frame = decode_frame(message)
            except InvalidRequest:
                return
            if session.read(frame):
                for _part in session.decide(1e9):
                    pass
                session.take()


class _FailedCall(grpc.RpcError):
    """A call that failed, with the details that some server sent."""

    def __init__(self, details: bytes) -> None:
        self._details = details

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.INVALID_ARGUMENT

    def details(self) -> str:
        return "m"

    def trailing_metadata(self) -> Any:
        return (("grpc-status-details-bin", self._details),)


class ModelRig:
    """The values that the SDK makes of messages and of errors."""

    def run(self, case: Case) -> None:
        """Read each message or error."""
        for name, data in case:
            if name == "status":
                from_rpc_error(_FailedCall(data))
                to_error(_FailedCall(data))  # type: ignore[arg-type]  # grpc.aio's error has the same methods
                continue
            kind, read = MODELS[name]
            message = parsed(kind, data)
            if message is not None:
                with suppress(InvalidRequest):
                    read(message).to_dict()


@contextmanager
def _one(rig: Any) -> Iterator[Any]:
    with raised() as alarms:
        yield rig
        alarms.check()


AGENT_TARGET = Target(
    "sdk heartbeat", sequences(step("answer", serialized(H.HeartbeatResponse, *ANSWERS))), lambda: _one(AgentRig())
)
OBSERVER_TARGET = Target(
    "tron frames",
    sequences(step("frame", serialized(OBS.ObserveLivenessResponse, *FRAMES))),
    lambda: _one(ObserverRig()),
)
MODEL_TARGET = Target(
    "sdk models",
    sequences(
        step("Service", serialized(service_pb2.Service, SERVICE)),
        step("Event", serialized(event_pb2.Event, EVENT)),
        step("GoneService", serialized(registry_service_pb2.GoneService)),
        step("status", serialized(status_pb2.Status, STATUS)),
        most=2,
    ),
    lambda: _one(ModelRig()),
)
