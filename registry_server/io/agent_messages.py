"""The messages of a Heartbeat stream, between the wire and the core."""

from __future__ import annotations

import time

from grid.registry.v1 import heartbeat_pb2
from tron_client.wire import duration, timestamp_at

from grid_hosting.status import decoded
from registry_server.core import effects
from registry_server.core.agent_stream import AgentMessage, AlertAck, BeatAck, Beats, Drain, Goodbye, Invalid, Register
from registry_server.core.errors import DomainError, FieldError, InvalidRequest
from registry_server.io import translate


def to_agent_message(request: heartbeat_pb2.HeartbeatRequest) -> AgentMessage:
    """What an agent said; Invalid if it cannot be read."""
    service_id = ""
    try:
        kind = decoded(request).WhichOneof("kind")
        if kind == "beats":
            beats = request.beats
            return Beats(beats.beats, beats.ack_requested, beats.relayed, beats.replaces_figures)
        if kind == "register":
            register = request.register
            service_id = register.service.service_id
            return Register(translate.to_spec(register.service), register.service.incarnation, register.instance_id)
        if kind == "ack":
            return AlertAck(request.ack.alert_ids)
        if kind == "goodbye":
            return Goodbye(request.goodbye.service_id, request.goodbye.reason)
    except DomainError as error:
        return Invalid(error, service_id)
    return Invalid(InvalidRequest(FieldError("kind", "the first message must be register or beats")))


def from_output(output: effects.Message | BeatAck | Drain) -> heartbeat_pb2.HeartbeatResponse:
    """What an agent is sent."""
    response = heartbeat_pb2.HeartbeatResponse
    match output:
        case BeatAck(sequence, revision, heard_at):
            ack = heartbeat_pb2.BeatAck(sequence=sequence)
            if revision is not None and heard_at is not None:
                ack.revision = revision
                ack.heard_at.CopyFrom(timestamp_at(heard_at))
            return response(ack=ack)
        case effects.Registered(service):
            observed_at = timestamp_at(time.time())
            registered = heartbeat_pb2.Registered(service=translate.from_service(service), observed_at=observed_at)
            return response(registered=registered)
        case effects.Alert(event):
            return response(alert=heartbeat_pb2.Alert(event=translate.from_event(event)))
        case effects.UnknownService(service_id):
            return response(unknown_service=heartbeat_pb2.UnknownService(service_id=service_id))
        case effects.SupersededBy(service_id, incarnation):
            return response(superseded=heartbeat_pb2.Superseded(service_id=service_id, incarnation=incarnation))
        case effects.DeclaredDown(service_id, event):
            down = heartbeat_pb2.DeclaredDown(service_id=service_id, event=translate.from_event(event))
            return response(declared_down=down)
        case effects.Rejected(service_id, field, description):
            rejected = heartbeat_pb2.Rejected(service_id=service_id, field=field, description=description)
            return response(rejected=rejected)
        case Drain(reconnect_after):
            return response(drain=heartbeat_pb2.Drain(reconnect_after=duration(reconnect_after)))
