"""The messages of a heartbeat stream to protobuf and back: a mapping, no decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grid.registry.v1 import heartbeat_pb2, service_pb2
from grid_model import wire

from tron_client import words
from tron_client.errors import InvalidRequest, Superseded, TronError
from tron_client.models import Event, Service
from tron_client.protocol import messages
from tron_client.protocol.messages import Beat, StreamError

if TYPE_CHECKING:
    from tron_client.protocol.messages import Incoming, Outgoing

_STATUS_NUMBERS = {words.STATUSES.word(number): number for number in service_pb2.ServiceStatus.values()} | {None: 0}
"""The numbers of statuses as the session spells them."""


def encode(message: Outgoing, loop_lag: float | None = None) -> heartbeat_pb2.HeartbeatRequest:
    """What goes up. `loop_lag`: seconds by which the program's event loop is late, for a beat."""
    if isinstance(message, Beat):
        return _beats(message, loop_lag)
    match message:
        case messages.AlertAck():
            return heartbeat_pb2.HeartbeatRequest(ack=heartbeat_pb2.AlertAck(alert_ids=message.alert_ids))
        case messages.Register():
            return heartbeat_pb2.HeartbeatRequest(register=_register(message))
        case messages.Goodbye():
            goodbye = heartbeat_pb2.Goodbye(service_id=message.service_id, reason=message.reason)
            return heartbeat_pb2.HeartbeatRequest(goodbye=goodbye)


def decode(response: heartbeat_pb2.HeartbeatResponse) -> Incoming | None:
    """What came down; None for a kind of message that this SDK does not know."""
    match response.WhichOneof("kind"):
        case "ack":
            return messages.BeatAck(response.ack.sequence)
        case "registered":
            told = response.registered
            service = Service.from_proto(told.service)
            observed_at = wire.moment(told.observed_at) if told.HasField("observed_at") else None
            return messages.Registered(service.service_id, service.incarnation, service, observed_at)
        case "alert":
            event = Event.from_proto(response.alert.event)
            return messages.Alert(event.alert_id, event)
        case "unknown_service":
            return messages.UnknownService()
        case "superseded":
            return messages.Superseded(response.superseded.incarnation)
        case "declared_down":
            return messages.DeclaredDown(Event.from_proto(response.declared_down.event))
        case "drain":
            return messages.Drain(wire.seconds(response.drain.reconnect_after))
        case "rejected":
            return messages.Rejected(response.rejected.field, response.rejected.description)
    return None


def stream_error(error: TronError | None) -> StreamError | None:
    """Why a stream ended, as the session reads it."""
    if error is None:
        return None
    incarnation = error.incarnation if isinstance(error, Superseded) else 0
    refused = error.fields if isinstance(error, InvalidRequest) else ()
    fields = tuple((each.field, each.description) for each in refused)
    return StreamError(error.reason, error.message, incarnation, fields)


def _register(message: messages.Register) -> heartbeat_pb2.Register:
    service = service_pb2.Service()
    service.CopyFrom(message.declared)
    service.service_id, service.incarnation = message.service_id, message.incarnation
    return heartbeat_pb2.Register(service=service, instance_id=message.instance_id)


def _beats(message: Beat, loop_lag: float | None) -> heartbeat_pb2.HeartbeatRequest:
    request = heartbeat_pb2.HeartbeatRequest()
    beats, figures = request.beats, message.figures
    if message.ack_requested:
        beats.ack_requested = True
    beat = beats.beats.add(
        service_id=message.service_id,
        incarnation=message.incarnation,
        sequence=message.sequence,
        status=_STATUS_NUMBERS[figures.status],
    )
    if figures.p95_ms is not None:
        beat.p95_ms = figures.p95_ms
    if figures.queue_depth is not None:
        beat.queue_depth = figures.queue_depth
    if figures.load is not None:
        beat.load = figures.load
    if figures.message is not None:
        beat.message = figures.message
    if figures.progress is not None:
        beat.progress = figures.progress
    if message.activity is not None:
        beat.activity = message.activity
    if loop_lag is not None:
        beat.loop_lag.CopyFrom(wire.duration(loop_lag))
    if message.busy_until is not None:
        beat.busy_until.CopyFrom(wire.timestamp(message.busy_until))
    return request
