"""Divides the large messages of an agent's stream into parts, so that other work can run between two parts. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from grid_model.errors import FieldError, InvalidRequest

from registry_server.core.columns import PATH
from registry_server.core.stream_messages import AgentMessage, AlertAck, Beats, Invalid, Registers
from registry_server.core.validation import too_many_elements

MAX_REGISTERS = 1000
"""Maximum number of registrations in one message."""

MAX_BEATS = 10_000
"""Maximum number of heartbeats in one message."""

MAX_ALERT_IDS = 1000
"""Maximum number of alerts that one message acknowledges: more than can be in flight to one service."""

PART = 200
"""Maximum number of heartbeats, or of acknowledged alerts, that are handled without a pause. Each takes up to 15
microseconds, so a part takes up to 3 ms."""


def registrations_of(message: Registers) -> Iterator[AgentMessage]:
    """Yield the registrations of one message. If there are too many, yield a single Invalid instead."""
    if message.count > MAX_REGISTERS:
        yield Invalid(InvalidRequest.of(too_many_elements("registers.registers", message.count, MAX_REGISTERS)))
    else:
        yield from message.registers


def parts_of_beats(message: Beats) -> Iterator[Beats]:
    """Yield the heartbeats of one message in parts of at most PART, in their order. `more` is set in all parts but the
    last one, and only the last one requests an acknowledgement. Raises InvalidRequest, before the first part, if there
    are too many heartbeats."""
    beats, columns = message.beats, message.columns
    in_columns = 0 if columns is None else len(columns.incarnations)
    if len(beats) + in_columns > MAX_BEATS:
        path = f"{PATH}.incarnations" if in_columns else "beats.beats"
        beside = f", and beats.beats has {len(beats)}" if in_columns and beats else ""
        raise too_many_beats(path, in_columns or len(beats), beside)
    return _parts(message, len(beats) + in_columns)


def _parts(message: Beats, left: int) -> Iterator[Beats]:
    asked = message.ack_requested
    for first in range(0, len(message.beats), PART):
        beats = message.beats[first : first + PART]
        left -= len(beats)
        yield message._replace(beats=beats, columns=None, ack_requested=asked and not left, more=left > 0)
    for columns in () if message.columns is None else message.columns.parts(PART):
        left -= len(columns.incarnations)
        yield message._replace(beats=(), columns=columns, ack_requested=asked and not left, more=left > 0)


def parts_of_acks(alert_ids: Sequence[str]) -> Iterator[AlertAck]:
    """Yield the acknowledgements of one message in parts of at most PART, each alert once. Raises InvalidRequest,
    before the first part, if there are too many."""
    if len(alert_ids) > MAX_ALERT_IDS:
        raise InvalidRequest.of(too_many_elements("ack.alert_ids", len(alert_ids), MAX_ALERT_IDS))
    each = tuple(dict.fromkeys(alert_ids))
    return (AlertAck(each[first : first + PART]) for first in range(0, len(each), PART))


def too_many_beats(path: str, count: int, beside: str = "") -> InvalidRequest:
    """Return the error for a message with more than MAX_BEATS heartbeats, of which `count` are in the field `path`;
    `beside` says where the others are."""
    why = f"has {count} elements{beside}; at most {MAX_BEATS} heartbeats are allowed"
    return InvalidRequest.of(FieldError(path, why))
