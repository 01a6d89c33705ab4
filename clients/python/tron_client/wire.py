"""Words and units of Python on one side, enums and well-known types of the contract on the other."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import ListValue, Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp
from grid.events.v1 import event_pb2
from grid.liveness.v1 import liveness_pb2
from grid.registry.v1 import service_pb2

from tron_client.errors import FieldError, InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

JsonObject = dict[str, Any]
"""A JSON object: strings, numbers, booleans, None, lists and objects."""


class Words:
    """The names of an enum as people write them: without the prefix, the unspecified one as an empty word."""

    def __init__(self, field: str, enum: Any, prefix: str, *, lower: bool = False) -> None:
        self._field = field
        spell = str.lower if lower else str.upper
        self._words = {number: "" if number == 0 else spell(name.removeprefix(prefix)) for name, number in enum.items()}
        self._numbers = {word.lower(): number for number, word in self._words.items()}

    def number(self, word: str) -> Any:
        """The number of a word in any case; raises InvalidRequest for one that does not exist."""
        try:
            return self._numbers[word.lower()]
        except (KeyError, AttributeError):
            known = ", ".join(word for word in self._numbers if word)
            wrong = FieldError(self._field, f"{word!r} is none of {known}")
            raise InvalidRequest(f"{self._field}: {wrong.description}", fields=(wrong,)) from None

    def word(self, number: int) -> str:
        """The word of a number; one from a newer contract is given in digits."""
        return self._words.get(number, str(number))


TYPES = Words("type", service_pb2.ServiceType, "SERVICE_TYPE_", lower=True)
ROLES = Words("role", service_pb2.ServiceRole, "SERVICE_ROLE_", lower=True)
STATUSES = Words("status", service_pb2.ServiceStatus, "SERVICE_STATUS_", lower=True)
LIVENESS = Words("liveness", liveness_pb2.Liveness, "LIVENESS_")
CAUSES = Words("cause", liveness_pb2.LivenessCause, "LIVENESS_CAUSE_")
SEVERITIES = Words("severity", event_pb2.Severity, "SEVERITY_")


def duration(seconds: float | None) -> Duration | None:
    """Seconds as a Duration, to the nearest nanosecond; None stays unset."""
    if seconds is None:
        return None
    nanos = round(seconds * 1e9)
    sign = -1 if nanos < 0 else 1
    whole, rest = divmod(abs(nanos), 1_000_000_000)
    return Duration(seconds=sign * whole, nanos=sign * rest)


def seconds(message: Duration) -> float:
    """A Duration in seconds."""
    return message.seconds + message.nanos / 1e9


def timestamp(moment: datetime | None) -> Timestamp | None:
    """An aware datetime as a Timestamp; None stays unset. Raises ValueError for a naive one."""
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise ValueError("a datetime without a time zone is not a moment")
    message = Timestamp()
    message.FromDatetime(moment.astimezone(UTC))
    return message


def moment(message: Timestamp) -> datetime:
    """A Timestamp as an aware datetime in UTC, to the microsecond."""
    return message.ToDatetime(tzinfo=UTC)


def rfc3339(moment: datetime | None) -> str | None:
    """A moment as text, with `Z` for UTC."""
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def struct(value: Mapping[str, Any] | None) -> Struct | None:
    """A JSON object as a Struct; None stays unset. Raises ValueError or TypeError for what JSON can not say."""
    if value is None:
        return None
    message = Struct()
    message.update(dict(value))
    return message


def json_object(message: Struct) -> JsonObject:
    """A Struct as a JSON object; whole numbers come back as int, for the wire knows only one kind of number."""
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
