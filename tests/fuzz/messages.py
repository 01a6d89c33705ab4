"""Serialized messages of any protobuf type: valid ones, fields with unusual values on top, and bytes that are no
message.

Fields are written by hand, so that a message may also have what no library would write: text that is not UTF-8, numbers
of enums that do not exist, unknown fields, wrong kinds of fields. Later fields override earlier ones, so a valid
message followed by a few fields is a message that differs from a valid one in these fields.
"""

from __future__ import annotations

import struct
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st

from tests.fuzz.mutation import sometimes_changed

WORDS = (
    "a",
    "b",
    "worker 1",
    "PAS Root",
    "parent",
    "operators",
    "service-registry",
    "tron-heartbeat-monitor",
    "tron",
    "",
    " ",
    "a/b",
    "..",
    "*",
    "a*",
    "ä",
    "\u00e4\u0308",
    "\u202e",
    "\x00",
    "\n",
    "\x1b[31m",
    "{}",
    "null",
    "x" * 101,
    "x" * 513,
    "y" * 2049,
    "service_down",
    "service_deregistered",
    "heartbeat_miss",
    "child_escalated",
    "1",
    "-1",
    "1e999",
)
"""Texts: some are ids of services that a target has, some are limits, some are what terminals or parsers mistake."""

INTEGERS = (0, 1, 2, 3, 5, 99, 2**31 - 1, 2**31, 2**32 - 1, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, -1 & 2**64 - 1)
SECONDS = (0, 1, 2, 60, 86_400, 253_402_300_799, 253_402_300_800, 315_576_000_000, 2**63 - 1, -62_135_596_800, -1)
NUMBERS = (0.0, -0.0, 0.5, 1.0, -1.0, 1e-320, 1e308, 2.0**53 + 2, float("nan"), float("inf"), float("-inf"))
NANOS = (0, 1, 999_999_999, 1_000_000_000, -1)

_VARINTS = frozenset(
    {
        FieldDescriptor.TYPE_INT32,
        FieldDescriptor.TYPE_INT64,
        FieldDescriptor.TYPE_UINT32,
        FieldDescriptor.TYPE_UINT64,
        FieldDescriptor.TYPE_SINT32,
        FieldDescriptor.TYPE_SINT64,
        FieldDescriptor.TYPE_BOOL,
        FieldDescriptor.TYPE_ENUM,
    }
)
_DEPTH = 4


def varint(number: int) -> bytes:
    """Return a number as protobuf writes it; a negative one with 64 bits."""
    number &= 2**64 - 1
    written = bytearray()
    while number > 127:
        written.append(number & 127 | 128)
        number >>= 7
    return bytes([*written, number])


def field(number: int, payload: bytes) -> bytes:
    """Return a field with a length: a text, bytes, or a message."""
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def serialized(kind: type[Message], *valid: Message) -> st.SearchStrategy[bytes]:
    """Return serialized messages of this type; `valid`: messages that a target accepts."""
    fields = _fields(kind.DESCRIPTOR, _DEPTH)
    bases = st.sampled_from([b"", *(each.SerializeToString() for each in valid)])
    return sometimes_changed(st.builds(bytes.__add__, bases, fields) | bases)


@cache
def _fields(kind: Descriptor, depth: int) -> st.SearchStrategy[bytes]:
    """Return up to four fields of a message."""
    if kind.full_name == "google.protobuf.Duration" or kind.full_name == "google.protobuf.Timestamp":
        return st.builds(
            lambda whole, nanos: varint(1 << 3) + varint(whole) + varint(2 << 3) + varint(nanos),
            st.sampled_from(SECONDS) | st.integers(0, 100),
            st.sampled_from(NANOS),
        )
    each = [_field(one, depth) for one in kind.fields]
    stray = st.binary(max_size=8)
    return st.lists(st.one_of(*each, stray) if each else stray, max_size=4).map(b"".join)


def _field(one: FieldDescriptor, depth: int) -> st.SearchStrategy[bytes]:
    number, kind = one.number, one.type
    if kind == FieldDescriptor.TYPE_MESSAGE:
        assert one.message_type is not None
        content = _deferred(one.message_type, depth - 1) if depth else st.binary(max_size=6)
        return content.map(lambda payload: field(number, payload))
    if kind in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES):
        texts = st.sampled_from([word.encode() for word in WORDS])
        return (texts | texts | st.binary(max_size=12)).map(lambda payload: field(number, payload))
    if kind == FieldDescriptor.TYPE_DOUBLE:
        return _packed_or_not(one, st.sampled_from(NUMBERS).map(lambda value: struct.pack("<d", value)), 1)
    if kind == FieldDescriptor.TYPE_FLOAT:
        return _packed_or_not(one, st.sampled_from(NUMBERS[:5]).map(lambda value: struct.pack("<f", value)), 5)
    if kind in _VARINTS:
        known = [] if one.enum_type is None else [value.number for value in one.enum_type.values]
        return _packed_or_not(one, st.sampled_from([*known, *INTEGERS]).map(varint), 0)
    return st.binary(max_size=8).map(lambda payload: field(number, payload))


def _packed_or_not(one: FieldDescriptor, values: st.SearchStrategy[bytes], wire_type: int) -> st.SearchStrategy[bytes]:
    number = one.number
    single = values.map(lambda value: varint(number << 3 | wire_type) + value)
    if not one.is_repeated:
        return single
    return single | st.lists(values, max_size=4).map(lambda several: field(number, b"".join(several)))


def _deferred(kind: Descriptor, depth: int) -> st.SearchStrategy[bytes]:
    # Built only when it is drawn: types contain each other, and one that contains itself would have no end.
    return st.deferred(lambda: _fields(kind, depth))


def nested_labels(levels: int) -> bytes:
    """Return a Struct of this many levels, which no library of Python would build."""
    inner = b""
    for _ in range(levels):
        inner = field(1, field(1, b"a") + field(2, field(5, inner)))
    return inner


def parsed(kind: type[Message], data: bytes) -> Any:
    """Return the message in some bytes; None if they are no message."""
    try:
        return kind.FromString(data)
    except Exception:
        return None
