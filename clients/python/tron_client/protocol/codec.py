"""Converts the messages of a heartbeat stream to protobuf and back; it makes no decisions."""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING

from grid.registry.v1 import error_reason_pb2, heartbeat_pb2, service_pb2
from grid_model import wire

from tron_client import words
from tron_client.errors import InvalidRequest, Superseded, TronError
from tron_client.models import Event, Service
from tron_client.protocol import answers, messages
from tron_client.protocol.answers import StreamError
from tron_client.protocol.messages import Beat

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tron_client.protocol.answers import Incoming
    from tron_client.protocol.messages import OutgoingShared

_STATUS_NUMBERS = {words.STATUSES.word(number): number for number in service_pb2.ServiceStatus.values()} | {None: 0}
"""The numbers of the statuses, by their names in lower case; 0 for None."""

_MOST_BYTES = 256 << 10
"""The greatest size of the registrations in one message, in bytes; the registry accepts a megabyte."""

LONGEST_RECONNECT = 300.0
"""The most seconds over which a draining registry spreads the agents that connect again. A longer time would keep
agents away for longer than any of them is missed."""

_UNSET_ACTIVITY = 2**64 - 1
"""The element of the column `activity` for an agent that does not report its activity."""

_REASONS = {number: name for name, number in error_reason_pb2.ErrorReason.items()} | {0: ""}
"""The names of error reasons by number; empty for the number 0, which a registry sends that gives no reason."""


def encode(message: OutgoingShared, loop_lags: Sequence[float | None] = ()) -> heartbeat_pb2.HeartbeatRequest:
    """Return the protobuf message for an outgoing message. `loop_lags` has one entry for each beat of the message, with
    the beats in columns last: the seconds by which the program's event loop is late, or None. If `loop_lags` is empty,
    no lag is reported."""
    match message:
        case messages.Beats():
            request = _beats(message.beats, loop_lags)
            if message.alive:
                _add_columns(request.beats, message.alive, loop_lags[len(message.beats) :])
            return request
        case messages.Beat():
            return _beats((message,), loop_lags)
        case messages.AlertAck():
            return heartbeat_pb2.HeartbeatRequest(ack=heartbeat_pb2.AlertAck(alert_ids=message.alert_ids))
        case messages.Register():
            return heartbeat_pb2.HeartbeatRequest(register=_register(message))
        case messages.Registers():
            registers = heartbeat_pb2.Registers(registers=map(_register, message.registers))
            return heartbeat_pb2.HeartbeatRequest(registers=registers)
        case messages.Goodbye():
            goodbye = heartbeat_pb2.Goodbye(
                service_id=message.service_id, reason=message.reason, incarnation=message.incarnation
            )
            return heartbeat_pb2.HeartbeatRequest(goodbye=goodbye)
        case messages.Abandoned():
            abandoned = heartbeat_pb2.Abandoned(service_id=message.service_id, incarnation=message.incarnation)
            return heartbeat_pb2.HeartbeatRequest(abandoned=abandoned)


def encode_all(
    message: OutgoingShared, loop_lags: Sequence[float | None] = ()
) -> Iterator[heartbeat_pb2.HeartbeatRequest]:
    """Yield the protobuf messages for an outgoing message: one, or several if the registrations are too large for
    one."""
    if not isinstance(message, messages.Registers):
        yield encode(message, loop_lags)
        return
    request, size = heartbeat_pb2.HeartbeatRequest(), 0
    for each in map(_register, message.registers):
        if size and size + each.ByteSize() > _MOST_BYTES:
            yield request
            request, size = heartbeat_pb2.HeartbeatRequest(), 0
        request.registers.registers.append(each)
        size += each.ByteSize()
    yield request


def decode_all(response: heartbeat_pb2.HeartbeatResponse) -> Iterator[Incoming]:
    """Yield the incoming messages in a protobuf message: none if this SDK does not know this kind of message, and
    several if it contains several answers."""
    if response.WhichOneof("kind") == "registrations":
        for registered in response.registrations.registered:
            yield _registered(registered)
    elif (message := decode(response)) is not None:
        yield message


def decode(response: heartbeat_pb2.HeartbeatResponse) -> Incoming | None:
    """Return the incoming message in a protobuf message; None if this SDK does not know this kind of message."""
    match response.WhichOneof("kind"):
        case "ack":
            return answers.BeatAck(response.ack.sequence)
        case "registered":
            return _registered(response.registered)
        case "alert":
            event = Event.from_proto(response.alert.event)
            return answers.Alert(event.alert_id, event, event.recipient)
        case "unknown_service":
            return answers.UnknownService(response.unknown_service.service_id, response.unknown_service.incarnation)
        case "superseded":
            return answers.Superseded(response.superseded.incarnation, response.superseded.service_id)
        case "declared_down":
            declared = response.declared_down
            return answers.DeclaredDown(Event.from_proto(declared.event), declared.service_id)
        case "drain":
            return _drain(response.drain)
        case "rejected":
            refused = response.rejected
            reason = _REASONS.get(refused.reason, f"ERROR_REASON_{refused.reason}")
            return answers.Rejected(refused.field, refused.description, refused.service_id, reason, refused.instance_id)
        case "left":
            return answers.Left(response.left.service_id, response.left.incarnation)
    return None


def stream_error(error: TronError | None) -> StreamError | None:
    """Return the error that ended a stream as a StreamError, which the session handles; None for None."""
    if error is None:
        return None
    incarnation = error.incarnation if isinstance(error, Superseded) else 0
    refused = error.fields if isinstance(error, InvalidRequest) else ()
    fields = tuple((each.field, each.description) for each in refused)
    return StreamError(error.reason, error.message, incarnation, fields)


def _drain(told: heartbeat_pb2.Drain) -> answers.Drain:
    ends_after = wire.seconds(told.ends_after) if told.HasField("ends_after") else None
    renews = told.reason == error_reason_pb2.ERROR_REASON_CREDENTIAL_EXPIRED
    return answers.Drain(min(wire.seconds(told.reconnect_after), LONGEST_RECONNECT), ends_after, renews)


def _registered(told: heartbeat_pb2.Registered) -> answers.Registered:
    service = Service.from_proto(told.service)
    observed_at = wire.moment(told.observed_at) if told.HasField("observed_at") else None
    return answers.Registered(
        service.service_id, service.incarnation, service, observed_at, told.instance_id, told.batches
    )


def _register(message: messages.Register) -> heartbeat_pb2.Register:
    service = service_pb2.Service()
    service.CopyFrom(message.declared)
    service.service_id, service.incarnation = message.service_id, message.incarnation
    return heartbeat_pb2.Register(service=service, instance_id=message.instance_id, shared=message.shared)


def _beats(beats: Sequence[Beat], loop_lags: Sequence[float | None]) -> heartbeat_pb2.HeartbeatRequest:
    request = heartbeat_pb2.HeartbeatRequest()
    if any(beat.ack_requested for beat in beats):
        request.beats.ack_requested = True
    for beat in beats:
        _add_beat(request.beats, beat)
    for encoded, loop_lag in zip(request.beats.beats, loop_lags, strict=False):
        if loop_lag is not None:
            encoded.loop_lag.CopyFrom(wire.duration(loop_lag))
    return request


def _add_columns(beats: heartbeat_pb2.Beats, alive: Sequence[Beat], loop_lags: Sequence[float | None]) -> None:
    columns = beats.columns
    columns.incarnations.extend(beat.incarnation for beat in alive)
    columns.sequence = alive[-1].sequence
    if any(beat.ack_requested for beat in alive):
        beats.ack_requested = True
    if any(beat.activity is not None for beat in alive):
        columns.activity.extend(_UNSET_ACTIVITY if beat.activity is None else beat.activity for beat in alive)
    if any(loop_lag is not None for loop_lag in loop_lags):
        columns.loop_lag_seconds.extend(nan if loop_lag is None else loop_lag for loop_lag in loop_lags)


def _add_beat(beats: heartbeat_pb2.Beats, message: Beat) -> None:
    figures = message.figures
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
    if message.busy_until is not None:
        beat.busy_until.CopyFrom(wire.timestamp(message.busy_until))
