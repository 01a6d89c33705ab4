"""A notice to operators, and its text for storage on disk. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from typing import Any

from grid_model.event import Severity

LAST_MOMENT = 253_402_300_799.0
"""The last second of the year 9999, in seconds since the epoch. The formats of timestamps have no later time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorNotice:
    """One notice to operators. Raises ValueError, naming the field, if it cannot be sent."""

    alert_id: str
    """The id of the alert. It is the same for every delivery to every sink, so that receivers recognize repetitions."""
    type: str
    severity: Severity
    message: str
    """The text for people."""
    occurred_at: float
    """The time of the reported event, in seconds since the epoch."""
    service_id: str = ""
    """The service that the notice is about; empty if there is none."""
    service_name: str = ""
    cause: str = ""
    recipient: str = ""
    """The original recipient of the alert."""
    why: str = ""
    """Why operators are notified: "no parent", "parent down", "not acknowledged in 30 s"."""
    details: dict[str, Any] = field(default_factory=dict, hash=False)
    """The evidence for the alert, as a JSON object."""
    resolved: bool = False
    """Whether this notice resolves earlier notices about the service."""

    def __post_init__(self) -> None:
        for name in ("alert_id", "type"):
            if not getattr(self, name):
                raise ValueError(f"{name}: is empty")
        if not 0 <= self.occurred_at < LAST_MOMENT:
            raise ValueError(f"occurred_at: {self.occurred_at!r} is not a time in seconds since the epoch")
        try:
            json.dumps(self.details, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"details: {error}") from error

    @property
    def key(self) -> tuple[str, str, str]:
        """The values that identify a notice: alert, type and recipient."""
        return self.alert_id, self.type, self.recipient

    @property
    def subject(self) -> str:
        """The name of the service, or its id if the service has no name; empty if the notice is about no service."""
        return self.service_name or self.service_id

    def to_json(self) -> str:
        """Return one line of ASCII that `from_json` reads."""
        document = {each.name: getattr(self, each.name) for each in fields(self)}
        return json.dumps({**document, "severity": self.severity.name.lower()}, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> OperatorNotice:
        """Return the notice in a text that `to_json` created. Unknown fields are ignored. Raises ValueError for any
        other text."""
        try:
            document = json.loads(text)
        except RecursionError as error:
            raise ValueError("is nested too deeply") from error
        if not isinstance(document, dict):
            raise ValueError("is not a JSON object")
        known = {each.name: document[each.name] for each in fields(cls) if each.name in document}
        for name, value in known.items():
            if not isinstance(value, _KINDS.get(name, str)):
                raise ValueError(f"{name}: must not have the type {type(value).__name__}")
        try:
            return cls(**{**known, "severity": Severity[known["severity"].upper()]})
        except (KeyError, TypeError) as error:
            raise ValueError(f"a field is missing or invalid: {error}") from error


_KINDS: dict[str, type | tuple[type, ...]] = {"occurred_at": (int, float), "details": dict, "resolved": bool}
