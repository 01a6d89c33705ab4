"""Checks the keyword arguments that declare a service, for the agent and for both clients."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, TypeVar

from grid.registry.v1 import service_pb2
from grid_model import wire
from grid_model.declaration import Declared

from tron_client import arguments, words

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack

    from google.protobuf.duration_pb2 import Duration

F = TypeVar("F", bound="Callable[..., object]")

_DEFAULTS: dict[str, Any] = {"type": "agent", "role": "production", "caps": (), "refused_children": ()}


def declare(service_id: str, name: str = "", **declared: Unpack[Declared]) -> service_pb2.Service:
    """Return a protobuf message Service with the values that a client declares. Raises InvalidRequest, with the name of
    the field, for an invalid value, and TypeError for an unknown keyword."""
    for unknown in declared.keys() - _CHECKS.keys():
        raise TypeError(f"got an unexpected keyword argument {unknown!r}")
    fields: dict[str, Any] = {
        "service_id": arguments.text("service_id", service_id),
        "name": arguments.text("name", name),
    }
    given: dict[str, Any] = {**_DEFAULTS, **declared}
    fields |= {field: check(field, given[field]) for field, check in _CHECKS.items() if field in given}
    return service_pb2.Service(**fields)


def declares(**defaults: object) -> Callable[[F], F]:
    """Decorate a function that accepts `**declared`, so that help() and editors show the keywords of a declaration with
    their defaults; `defaults` overrides some of these defaults."""

    def show(function: F) -> F:
        signature = inspect.signature(function)
        parameters = [each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
        at = 1 + next(index for index, each in enumerate(parameters) if each.name == "name")
        parameters[at:at] = [
            inspect.Parameter(
                field,
                inspect.Parameter.KEYWORD_ONLY,
                default=({**_DEFAULTS, **defaults}).get(field, "" if _CHECKS[field] is arguments.text else None),
                annotation=hint,
            )
            for field, hint in Declared.__annotations__.items()
        ]
        function.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        return function

    return show


def _labels(field: str, value: object) -> Any:
    return wire.struct(arguments.json_object(field, value))


def _count(field: str, value: object) -> int | None:
    return None if value is None else arguments.whole(field, value)


def _duration(field: str, value: object) -> Duration | None:
    return wire.duration(arguments.optional_seconds(field, value))


def _grace(field: str, value: object) -> Duration | None:
    return wire.duration(arguments.optional_seconds(field, value, positive=False))


_SPECIAL: dict[str, Callable[[str, Any], Any]] = {
    "type": lambda _, word: words.TYPES.number(word),
    "role": lambda _, word: words.ROLES.number(word),
    "caps": arguments.texts,
    "labels": _labels,
    "ctx_limit": _count,
    "cost_hint": arguments.amounts,
    "heartbeat_interval": _duration,
    "ttl": _duration,
    "reconnect_grace": _grace,
    "stall_after": _duration,
    "refused_children": arguments.texts,
}
_CHECKS = {field: _SPECIAL.get(field, arguments.text) for field in Declared.__annotations__}
"""For each keyword, the function that checks its value and converts it to a field of the message."""
