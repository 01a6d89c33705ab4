"""Converts principals and grants to protobuf and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grid.access.v1 import access_pb2

from grid_model import wire
from grid_model.access import Grant, Principal, Role

if TYPE_CHECKING:
    from collections.abc import Iterable


def encode_grant(grant: Grant) -> access_pb2.Grant:
    """Return the protobuf message for a grant."""
    return access_pb2.Grant(role=grant.role.value, pattern=grant.pattern)  # type: ignore[arg-type]


def decode_grants(field: str, grants: Iterable[access_pb2.Grant]) -> tuple[Grant, ...]:
    """Return the grants in these protobuf messages. Raises InvalidRequest for an unknown role; the error is about the
    field `FIELD.role`, and the argument `field` is FIELD."""
    return tuple(Grant(wire.known(f"{field}.role", Role, each.role), each.pattern) for each in grants)


def encode_principal(principal: Principal) -> access_pb2.Principal:
    """Return the protobuf message for a principal."""
    return access_pb2.Principal(
        name=principal.name,
        group=principal.group,
        grants=[encode_grant(each) for each in principal.grants],
        ends_at=wire.timestamp(principal.ends_at),
    )


def decode_principal(message: access_pb2.Principal) -> Principal:
    """Return the principal in a protobuf message. Raises InvalidRequest if one of its grants has an unknown role."""
    ends_at = wire.moment(message.ends_at) if message.HasField("ends_at") else None
    return Principal(message.name, decode_grants("grants", message.grants), message.group, ends_at)
