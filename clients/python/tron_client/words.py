"""The names of enums as people write them, and their numbers on the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grid_model.event import Severity
from grid_model.liveness import Liveness, LivenessCause
from grid_model.service import ServiceRole, ServiceStatus, ServiceType

from tron_client import arguments

if TYPE_CHECKING:
    from collections.abc import Mapping


class Words:
    """The words of an enum, from its names and numbers; the unspecified number is the empty word."""

    def __init__(self, field: str, numbers: Mapping[str, int], *, lower: bool = False) -> None:
        self._field = field
        self._words = {int(number): name.lower() if lower else name for name, number in numbers.items()} | {0: ""}
        self._numbers = {word.lower(): number for number, word in self._words.items()}

    def number(self, word: str, field: str = "") -> Any:
        """The number of a word in any case; raises InvalidRequest, naming `field`, for one that does not exist."""
        named = field or self._field
        number = self._numbers.get(arguments.text(named, word).lower())
        if number is None:
            arguments.refuse(named, f"{word!r} is none of {', '.join(word for word in self._numbers if word)}")
        return number

    def word(self, number: int) -> str:
        """The word of a number; one from a newer contract is given in digits."""
        return self._words.get(number, str(number))


TYPES = Words("type", ServiceType.__members__, lower=True)
ROLES = Words("role", ServiceRole.__members__, lower=True)
STATUSES = Words("status", ServiceStatus.__members__, lower=True)
LIVENESS = Words("liveness", Liveness.__members__)
CAUSES = Words("cause", LivenessCause.__members__)
SEVERITIES = Words("severity", Severity.__members__)
