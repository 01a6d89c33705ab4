"""Encodes audit records for the wire."""

from __future__ import annotations

from grid.access.v1 import access_pb2
from grid_model import wire

from grid_hosting.access.audit import AuditRecord


def encode(record: AuditRecord) -> access_pb2.AuditRecord:
    """Return the protobuf message for an audit record."""
    return access_pb2.AuditRecord(
        number=record.number,
        at=wire.timestamp_at(record.at),
        kind=record.kind.value,  # type: ignore[arg-type]
        actor=record.actor,
        via=record.via,
        method=record.method,
        target=record.target,
        outcome=record.outcome,
        peer=record.peer,
        count=record.count,
    )
