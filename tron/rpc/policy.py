"""Converts thresholds to protobuf and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from grid.tron.v1 import policy_pb2
from grid_model.policy import OrphanPolicy
from grid_model.wire import checked_seconds, duration, known

from tron.policy import POLICY_FIELDS, Policy

_MESSAGES = frozenset(each.name for each in policy_pb2.Policy.DESCRIPTOR.fields if each.message_type is not None)


def from_policy(policy: Policy) -> policy_pb2.Policy:
    """Return the message with all thresholds of a policy."""
    return from_changes({name: getattr(policy, name) for name in POLICY_FIELDS})


def from_changes(changes: Mapping[str, Any]) -> policy_pb2.Policy:
    """Return a message with some thresholds; the others are unset."""
    message = policy_pb2.Policy()
    for name, value in changes.items():
        if name in _MESSAGES:
            getattr(message, name).CopyFrom(duration(value))
        else:
            setattr(message, name, value)
    return message


def to_changes(message: policy_pb2.Policy) -> dict[str, Any]:
    """Return the thresholds that are set in a message. Raises InvalidRequest for an unknown value."""
    changes: dict[str, Any] = {}
    for name in POLICY_FIELDS:
        if name == "orphan_policy":
            if message.orphan_policy:
                changes[name] = known("policy.orphan_policy", OrphanPolicy, message.orphan_policy)
        elif message.HasField(name):  # type: ignore[arg-type]
            value = getattr(message, name)
            changes[name] = checked_seconds(f"policy.{name}", value) if name in _MESSAGES else value
    return changes
