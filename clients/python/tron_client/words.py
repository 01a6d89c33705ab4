"""Converts between the numbers of protobuf enums and their names as people write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grid_model.event import Severity
from grid_model.liveness import Liveness, LivenessCause
from grid_model.service import ServiceRole, ServiceStatus, ServiceType

from tron_client import arguments

if TYPE_CHECKING:
    from collections.abc import Mapping


class Words:
    """The names of an enum's members, and their numbers. The number 0 (unspecified) has the empty name."""

    def __init__(self, field: str, numbers: Mapping[str, int], *, lower: bool = False) -> None:
        self._field = field
        self._words = {int(number): name.lower() if lower else name for name, number in numbers.items()} | {0: ""}
        self._numbers = {word.lower(): number for number, word in self._words.items()}

    def number(self, word: str, field: str = "") -> Any:
        """Return the number of the member with this name; the name may be in upper or lower case. Raises InvalidRequest
        for an unknown name; `field` is the name of the field for that error."""
        named = field or self._field
        number = self._numbers.get(arguments.text(named, word).lower())
        if number is None:
            arguments.refuse(named, f"{word!r} is not one of {', '.join(word for word in self._numbers if word)}")
        return number

    def word(self, number: int) -> str:
        """Return the name of a number. A number that this SDK does not know, because the registry is newer, is returned
        as digits."""
        return self._words.get(number, str(number))


TYPES = Words("type", ServiceType.__members__, lower=True)
ROLES = Words("role", ServiceRole.__members__, lower=True)
STATUSES = Words("status", ServiceStatus.__members__, lower=True)
LIVENESS = Words("liveness", Liveness.__members__)
CAUSES = Words("cause", LivenessCause.__members__)
SEVERITIES = Words("severity", Severity.__members__)
