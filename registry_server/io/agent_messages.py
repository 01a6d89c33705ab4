"""Converts the messages of a Heartbeat stream between the wire and the core."""

from __future__ import annotations

import time

from grid.registry.v1 import error_reason_pb2, heartbeat_pb2
from grid_model import event_codec
from grid_model.errors import FieldError, InvalidRequest, TronError
from grid_model.wire import duration, timestamp_at

from grid_hosting.status import decoded
from registry_server.core import effects
from registry_server.core.columns import PATH, Columns
from registry_server.core.message_parts import MAX_BEATS, too_many_beats
from registry_server.core.stream_messages import (
    Abandoned,
    AgentMessage,
    AlertAck,
    BeatAck,
    Beats,
    Drain,
    Goodbye,
    Invalid,
    Output,
    Register,
    Registers,
    Registrations,
)
from registry_server.io import translate


def to_agent_message(request: heartbeat_pb2.HeartbeatRequest) -> AgentMessage:
    """Convert a message from an agent for the core; return Invalid if it cannot be parsed."""
    service_id = instance_id = shared = ""
    try:
        kind = decoded(request).WhichOneof("kind")
        if kind == "beats":
            beats = request.beats
            columns = _to_columns(beats.columns) if beats.HasField("columns") else None
            return Beats(
                beats.beats, beats.ack_requested, beats.relayed, beats.replaces_figures, columns, beats.on_behalf_of
            )
        if kind == "register":
            register = request.register
            service_id, instance_id, shared = register.service.service_id, register.instance_id, register.shared
            spec = translate.to_declaration(register.service)
            incarnation, on_behalf_of = register.service.incarnation, register.on_behalf_of
            return Register(spec, incarnation, instance_id, shared, on_behalf_of=on_behalf_of)
        if kind == "registers":
            registers = request.registers
            each = (_to_registration(each, relayed=registers.relayed) for each in registers.registers)
            return Registers(each, len(registers.registers))
        if kind == "ack":
            return AlertAck(request.ack.alert_ids)
        if kind == "goodbye":
            goodbye = request.goodbye
            return Goodbye(goodbye.service_id, goodbye.reason, goodbye.incarnation)
        if kind == "abandoned":
            return Abandoned(request.abandoned.service_id, request.abandoned.incarnation)
    except TronError as error:
        return Invalid(error, service_id, instance_id, shared)
    return Invalid(
        InvalidRequest.of(FieldError("kind", "is not set; the first message must be register, registers or beats"))
    )


def _to_columns(columns: heartbeat_pb2.BeatColumns) -> Columns:
    # Only the columns that are there are looked at; and each is read in one go, for to ask the message for each element
    # would cost as much as all the rest.
    figures = {field.name: column for field, column in columns.ListFields()}
    incarnations, sequence = figures.pop("incarnations", ()), figures.pop("sequence", 0)
    if len(incarnations) > MAX_BEATS:
        raise too_many_beats(f"{PATH}.incarnations", len(incarnations))
    incarnations = incarnations[:]
    return Columns(incarnations, sequence, figures)


def _to_registration(register: heartbeat_pb2.Register, *, relayed: bool) -> Register | Invalid:
    """Convert one of the registrations that arrived in one message."""
    service, instance_id, shared = register.service, register.instance_id, register.shared
    try:
        spec = translate.to_declaration(service)
    except TronError as error:
        return Invalid(error, service.service_id, instance_id, shared, among=True)
    return Register(
        spec,
        service.incarnation,
        instance_id,
        shared,
        among=True,
        relayed=relayed,
        on_behalf_of=register.on_behalf_of,
    )


def from_output(output: Output) -> heartbeat_pb2.HeartbeatResponse:
    """Return the wire message for a message from the core to an agent."""
    response = heartbeat_pb2.HeartbeatResponse
    match output:
        case BeatAck(sequence, revision, heard_at):
            message = response()  # a message that is filled in place costs half of one that is copied into another
            ack = message.ack
            ack.sequence = sequence
            if revision is not None and heard_at is not None:
                ack.revision = revision
                ack.batches = True
                ack.heard_at.CopyFrom(timestamp_at(heard_at))
            return message
        case effects.Registered():
            return response(registered=_registered(output))
        case Registrations(registered):
            answers = heartbeat_pb2.Registrations(registered=map(_registered, registered))
            return response(registrations=answers)
        case effects.Alert(event):
            return response(alert=heartbeat_pb2.Alert(event=event_codec.encode(event)))
        case effects.UnknownService(service_id, incarnation):
            unknown = heartbeat_pb2.UnknownService(service_id=service_id, incarnation=incarnation)
            return response(unknown_service=unknown)
        case effects.SupersededBy(service_id, incarnation, superseded):
            newer = heartbeat_pb2.Superseded(
                service_id=service_id, incarnation=incarnation, superseded_incarnation=superseded
            )
            return response(superseded=newer)
        case effects.DeclaredDown(service_id, event):
            down = heartbeat_pb2.DeclaredDown(service_id=service_id, event=event_codec.encode(event))
            return response(declared_down=down)
        case effects.Rejected(service_id, field, description, reason, instance_id, _):
            rejected = heartbeat_pb2.Rejected(
                service_id=service_id,
                field=field,
                description=description,
                reason=error_reason_pb2.ErrorReason.Value(reason),
                instance_id=instance_id,
            )
            return response(rejected=rejected)
        case effects.Left(service_id, incarnation):
            return response(left=heartbeat_pb2.Left(service_id=service_id, incarnation=incarnation))
        case Drain(reconnect_after, ends_after, reason):
            drain = heartbeat_pb2.Drain(reconnect_after=duration(reconnect_after))
            if ends_after is not None:
                drain.ends_after.CopyFrom(duration(ends_after))
                drain.reason = error_reason_pb2.ErrorReason.Value(reason)
            return response(drain=drain)


def _registered(answer: effects.Registered) -> heartbeat_pb2.Registered:
    return heartbeat_pb2.Registered(
        service=translate.shared_message(answer.service),
        instance_id=answer.instance_id,
        batches=True,
        observed_at=timestamp_at(time.time()),
    )
