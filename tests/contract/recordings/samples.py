"""One filled example of each message of the wire, and of each alternative of its oneofs."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, OneofDescriptor
from google.protobuf.message import Message

STUBS = Path(__file__).resolve().parents[3] / "clients" / "python" / "grid"

DEEPEST = 5
"""Levels of messages in messages that are filled."""

STRUCT = {"text": "ä", "number": 1.5, "flag": True, "nothing": None, "list": ["a", 2], "nested": {"key": "value"}}


def message_types() -> list[Descriptor]:
    """Every message below `grid`, in the order of their full names."""
    found: dict[str, Descriptor] = {}
    for path in STUBS.rglob("*_pb2.py"):
        module = importlib.import_module(".".join(path.relative_to(STUBS.parent).with_suffix("").parts))
        for each in module.DESCRIPTOR.message_types_by_name.values():
            found[each.full_name] = each
    return [found[name] for name in sorted(found)]


def samples() -> Iterator[tuple[str, Message]]:
    """Name and example: `grid.x.v1.Message`, or `grid.x.v1.Message/alternative` for each member of a oneof."""
    for kind in message_types():
        choices = [oneof for oneof in kind.oneofs if len(oneof.fields) > 1]
        for choice, member in [(oneof, field) for oneof in choices for field in oneof.fields]:
            yield f"{kind.full_name}/{member.name}", _filled(kind, 0, {choice.name: member.name})
        if not choices:
            yield kind.full_name, _filled(kind, 0, {})


def new_message(full_name: str) -> Message:
    """An empty message of a type. Raises KeyError if there is no such type."""
    message_types()
    return message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(full_name))()


def _filled(kind: Descriptor, depth: int, chosen: dict[str, str]) -> Message:
    message = new_message(kind.full_name)
    for field in kind.fields:
        oneof: OneofDescriptor | None = field.containing_oneof
        if oneof is not None and field.name != chosen.get(oneof.name, oneof.fields[0].name):
            continue
        _fill(message, field, depth)
    return message


def _fill(message: Message, field: FieldDescriptor, depth: int) -> None:
    kind = field.message_type
    if kind is None:
        if field.is_repeated:
            getattr(message, field.name).extend([_scalar(field, 0), _scalar(field, 1)])
        else:
            setattr(message, field.name, _scalar(field, 0))
    elif kind.GetOptions().map_entry:
        _fill_map(getattr(message, field.name), kind)
    elif depth < DEEPEST:
        for example in (_example(kind, depth + 1),) * (2 if field.is_repeated else 1):
            target = getattr(message, field.name)
            (target.add() if field.is_repeated else target).CopyFrom(example)


def _fill_map(target: Any, kind: Descriptor) -> None:
    key, value = kind.fields_by_name["key"], kind.fields_by_name["value"]
    if value.message_type is None:
        target[_scalar(key, 0)] = _scalar(value, 0)
    else:
        target[_scalar(key, 0)].CopyFrom(_example(value.message_type, DEEPEST))


def _example(kind: Descriptor, depth: int) -> Message:
    message: Any = new_message(kind.full_name)
    if kind.full_name == "google.protobuf.Struct":
        message.update(STRUCT)
    elif kind.full_name == "google.protobuf.Timestamp":
        message.FromMilliseconds(1_700_000_000_250)
    elif kind.full_name == "google.protobuf.Duration":
        message.FromMilliseconds(2300)
    else:
        return _filled(kind, depth, {})
    return message  # type: ignore[no-any-return]


def _scalar(field: FieldDescriptor, nth: int) -> Any:
    if field.enum_type is not None:
        return field.enum_type.values[-1 - nth % (len(field.enum_type.values))].number
    if field.cpp_type in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return 0.5 + nth
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return True
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return f"{field.name} {nth}" if field.type == FieldDescriptor.TYPE_STRING else f"{field.name}".encode()
    return field.number + 100 * nth
