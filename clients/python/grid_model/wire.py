"""Converts Python's seconds, timestamps and JSON objects to the well-known types of protobuf, and back. No other module
does this."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import TYPE_CHECKING, Any, TypeVar, overload

from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import ListValue, Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp

from grid_model.errors import FieldError, InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

E = TypeVar("E", bound=IntEnum)

JsonObject = dict[str, Any]
"""A JSON object: strings, numbers, booleans, None, lists and objects."""


NANOS = 1_000_000_000
"""Nanoseconds in a second."""

LONGEST_DURATION = 315_576_000_000
"""The longest time that a Duration can express, in seconds."""

_FIRST_SECOND = -62_135_596_800  # year 1
_LAST_SECOND = 253_402_300_799  # year 9999
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@overload
def duration(seconds: float) -> Duration: ...


@overload
def duration(seconds: float | None) -> Duration | None: ...


def duration(seconds: float | None) -> Duration | None:
    """Return a number of seconds as a protobuf Duration, rounded to the nanosecond, or None for None. If the number has
    at most nine decimals, `seconds()` converts the Duration to exactly the same number. Raises ValueError for a number
    that a Duration cannot express."""
    if seconds is None:
        return None
    if not -LONGEST_DURATION <= seconds <= LONGEST_DURATION:  # nor is NaN
        raise ValueError(f"is {seconds:g}; a duration is a finite number of seconds, at most {LONGEST_DURATION}")
    whole = int(seconds)
    nanos = round((seconds - whole) * NANOS)  # the difference is exact, so no digit is lost in a large number
    if nanos in (NANOS, -NANOS):
        whole, nanos = whole + nanos // NANOS, 0
    return Duration(seconds=whole, nanos=nanos)


def seconds(message: Duration) -> float:
    """Return the length of a protobuf Duration as a float: seconds, rounded to the nearest float."""
    return (message.seconds * NANOS + message.nanos) / NANOS


def checked_seconds(field: str, message: Duration) -> float:
    """Return the length of a Duration from another program, in seconds. Raises InvalidRequest if the Duration is not
    valid; `field` is the name of the field for that error."""
    nanos, whole = message.nanos, message.seconds
    if abs(nanos) >= NANOS or whole * nanos < 0 or abs(whole) > LONGEST_DURATION:
        raise InvalidRequest.of(FieldError(field, "is not a valid duration"))
    return seconds(message)


def timestamp_at(epoch: float) -> Timestamp:
    """Return a time in seconds since the epoch as a protobuf Timestamp, rounded to the microsecond (the precision of a
    float for current times). A time outside the range of a Timestamp becomes the nearest time in the range."""
    micros = min(max(round(epoch * 1e6), _FIRST_SECOND * 1_000_000), _LAST_SECOND * 1_000_000 + 999_999)
    return Timestamp(seconds=micros // 1_000_000, nanos=micros % 1_000_000 * 1000)


def epoch(message: Timestamp) -> float:
    """Return the time in a protobuf Timestamp as a float: the seconds since the epoch, rounded to the nearest float."""
    return (message.seconds * NANOS + message.nanos) / NANOS


def checked_epoch(field: str, message: Timestamp) -> float:
    """Return the time in a Timestamp from another program, as seconds since the epoch. Raises InvalidRequest if the
    Timestamp is not valid; `field` is the name of the field for that error."""
    if not (_FIRST_SECOND <= message.seconds <= _LAST_SECOND) or not 0 <= message.nanos < NANOS:
        raise InvalidRequest.of(FieldError(field, "is not a valid timestamp"))
    return epoch(message)


@overload
def timestamp(moment: datetime) -> Timestamp: ...


@overload
def timestamp(moment: datetime | None) -> Timestamp | None: ...


def timestamp(moment: datetime | None) -> Timestamp | None:
    """Return an aware datetime as a protobuf Timestamp, or None for None. Raises ValueError for a datetime without a
    time zone."""
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise ValueError("a datetime must have a time zone")
    message = Timestamp()
    message.FromDatetime(moment.astimezone(UTC))
    return message


def moment(message: Timestamp) -> datetime:
    """Return a protobuf Timestamp as an aware datetime in UTC, to the microsecond. A time outside the years 1 to 9999
    becomes the nearest time in that range."""
    return moment_at_micros(message.seconds * 1_000_000 + message.nanos // 1000)


def moment_at_micros(micros: int) -> datetime:
    """Return microseconds since the epoch as an aware datetime in UTC. A time outside the years 1 to 9999 becomes the
    nearest time in that range."""
    micros = min(max(micros, _FIRST_SECOND * 1_000_000), _LAST_SECOND * 1_000_000 + 999_999)
    return _EPOCH + timedelta(microseconds=micros)


def rfc3339(moment: datetime | None) -> str | None:
    """Return an aware datetime as RFC 3339 text in UTC, ending in `Z`; None for None."""
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def known(field: str, kind: type[E], number: int, default: E | None = None) -> E:
    """Return the member of an enum that has this number. The number 0 means unspecified; for 0, return `default` if it
    is given. Raises InvalidRequest, which lists the valid members, if no member has this number."""
    if number == 0 and default is not None:
        return default
    try:
        return kind(number)
    except ValueError:
        names = ", ".join(each.name for each in kind)
        raise InvalidRequest.of(FieldError(field, f"{number} is not known; use one of {names}")) from None


def struct(value: Mapping[str, Any] | None) -> Struct | None:
    """Return a JSON object as a protobuf Struct, or None for None. Raises ValueError or TypeError for a value that JSON
    cannot express."""
    if value is None:
        return None
    message = Struct()
    message.update(dict(value))
    return message


def json_object(message: Struct) -> JsonObject:
    """Return a protobuf Struct as a JSON object. Whole numbers become int, because a Struct does not distinguish int
    and float."""
    return {key: _json(value) for key, value in message.fields.items()}


def _json(value: Value) -> Any:
    match value.WhichOneof("kind"):
        case "struct_value":
            return json_object(value.struct_value)
        case "list_value":
            return _json_list(value.list_value)
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() and abs(number) < 2**53 else number
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
    return None


def _json_list(message: ListValue) -> list[Any]:
    return [_json(value) for value in message.values]
