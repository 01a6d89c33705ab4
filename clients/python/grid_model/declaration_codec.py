"""Converts declarations to protobuf and back."""

from __future__ import annotations

import uuid
from typing import Any

from grid.registry.v1 import service_pb2

from grid_model import wire
from grid_model.declaration import DEFAULT_INTERVAL, DEFAULT_TTL_INTERVALS, Declaration
from grid_model.service import ServiceRole, ServiceType


def encode(declaration: Declaration, **more: Any) -> service_pb2.Service:
    """Return the protobuf message Service for a declaration; `more` sets further fields of the message."""
    message = service_pb2.Service(
        service_id=declaration.service_id,
        name=declaration.name,
        type=declaration.type.value,  # type: ignore[arg-type]
        role=declaration.role.value,  # type: ignore[arg-type]
        url=declaration.url,
        caps=declaration.caps,
        parent=declaration.parent,
        ctx_limit=declaration.ctx_limit,
        cost_hint=declaration.cost_hint,
        heartbeat_interval=wire.duration(declaration.heartbeat_interval),
        ttl=wire.duration(declaration.ttl),
        refused_children=declaration.refused_children,
        **more,
    )
    if declaration.reconnect_grace is not None:
        message.reconnect_grace.CopyFrom(wire.duration(declaration.reconnect_grace))
    if declaration.stall_after is not None:
        message.stall_after.CopyFrom(wire.duration(declaration.stall_after))
    if declaration.labels:
        message.labels.update(declaration.labels)
    return message


def decode(message: service_pb2.Service) -> Declaration:
    """Return the declaration in a protobuf message Service, with defaults for fields that are not set; a missing id is
    replaced by a random one. Raises InvalidRequest for a malformed field; the registry checks the bounds elsewhere."""
    interval = _seconds(message, "heartbeat_interval")
    interval = DEFAULT_INTERVAL if interval is None else interval
    ttl = _seconds(message, "ttl")
    return Declaration(
        service_id=message.service_id or str(uuid.uuid4()),
        name=message.name,
        type=wire.known("service.type", ServiceType, message.type, ServiceType.AGENT),
        role=wire.known("service.role", ServiceRole, message.role, ServiceRole.PRODUCTION),
        url=message.url,
        caps=tuple(message.caps),
        labels=wire.json_object(message.labels),
        parent=message.parent,
        ctx_limit=message.ctx_limit if message.HasField("ctx_limit") else None,
        cost_hint=dict(message.cost_hint),
        heartbeat_interval=interval,
        ttl=DEFAULT_TTL_INTERVALS * interval if ttl is None else ttl,
        reconnect_grace=_seconds(message, "reconnect_grace"),
        stall_after=_seconds(message, "stall_after"),
        refused_children=tuple(message.refused_children),
    )


def _seconds(message: service_pb2.Service, name: str) -> float | None:
    if not message.HasField(name):  # type: ignore[arg-type]
        return None
    return wire.checked_seconds(f"service.{name}", getattr(message, name))
