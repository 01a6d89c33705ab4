"""The thresholds of TRON as people write them: the type, unit and range of each. This module does no I/O.

The CLI, the SDK and TRON share this one table, so that each of them refuses a wrong value with the same words.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

DAY = 86_400.0

_UNITS = {"ms": 0.001, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}
_TIME = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+) ?(ms|s|min|m|h)")


@dataclass(frozen=True, slots=True)
class Threshold:
    """The values that one threshold accepts. If `at_most` is None, there is no upper limit."""

    kind: str
    """The type of the value: seconds, count, ratio, switch or word."""
    at_least: float = 0.0
    at_most: float | None = None
    above: bool = False
    """Whether the value must be above `at_least`, and not equal to it."""
    words: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        """The values that the threshold accepts, in words."""
        match self.kind:
            case "switch":
                return "true or false"
            case "word":
                return f"one of {', '.join(self.words)}"
        noun = {"seconds": "a number of seconds", "count": "a whole number", "ratio": "a number"}[self.kind]
        if self.at_most is None:
            return f"{noun}, {'above' if self.above else 'at least'} {self.at_least:g}"
        start = f"above {self.at_least:g} and at most" if self.above else f"from {self.at_least:g} to"
        return f"{noun} {start} {self.at_most:g}"

    def admits(self, value: float) -> bool:
        """Return whether a number is in the range."""
        low = value > self.at_least if self.above else value >= self.at_least
        return low and (self.at_most is None or value <= self.at_most) and math.isfinite(value)


def _seconds() -> Threshold:
    return Threshold("seconds", 0.0, DAY)


THRESHOLDS = {
    "tolerance_ratio": Threshold("ratio", 0.0, 10.0),
    "tolerance_min": _seconds(),
    "misses_before_warning": Threshold("count", 1.0, 1000.0),
    "misses_before_down": Threshold("count", 1.0, 1000.0),
    "misses_before_deregister": Threshold("count", 1.0, 1000.0),
    "keep_down": _seconds(),
    "deregister": Threshold("switch"),
    "reconnect_grace": _seconds(),
    "reattach_window": _seconds(),
    "escalate_after": _seconds(),
    "busy_cap": _seconds(),
    "orphan_policy": Threshold("word", words=("keep", "stop", "adopt")),
    "confirm_by_probe": Threshold("switch"),
    "flap_count": Threshold("count", 2.0, 10_000.0),
    "flap_window": _seconds(),
    "guard_ratio": Threshold("ratio", 0.0, 1.0, above=True),
    "guard_min": Threshold("count", 2.0, 1_000_000.0),
    "guard_burst": _seconds(),
    "guard_window": _seconds(),
}
"""The thresholds by name. A threshold that is missing here, because TRON is newer, is checked by TRON alone."""

FOR_EVERYONE = frozenset({"guard_ratio", "guard_min", "guard_burst", "guard_window"})
"""Thresholds that cannot be set for one service, because they concern all services together."""


def checked(name: str, value: Any) -> Any:
    """Return the value of a threshold in the type that TRON expects. Text is converted; a time may have a unit (`1.5s`,
    `2min`). The value of a threshold that is not in the table is returned unchanged.

    Raises ValueError, whose text says what is wrong, and which values are allowed.
    """
    threshold = THRESHOLDS.get(name)
    if threshold is None:
        return value
    read = _read(threshold, value)
    if read is None:
        given = "nothing is given" if value in ("", None) else f"{value!r} is given"
        raise ValueError(f"{given}; the value must be {threshold.allowed}")
    if threshold.kind in ("seconds", "count", "ratio") and not threshold.admits(read):
        unit = " s" if threshold.kind == "seconds" else ""
        raise ValueError(f"{read:g}{unit} is out of range; the value must be {threshold.allowed}")
    return read


def _read(threshold: Threshold, value: Any) -> Any:
    """Return the value in the type of the threshold; None if it is not of that type."""
    text = value.strip() if isinstance(value, str) else None
    if threshold.kind == "switch":
        if text is not None:
            return {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}.get(text.lower())
        return value if isinstance(value, bool) else None
    if threshold.kind == "word":
        return text.lower() if text is not None and text.lower() in threshold.words else None
    if isinstance(value, bool):
        return None
    if text is not None:
        if threshold.kind == "seconds" and (found := _TIME.fullmatch(text)):
            return float(found[1]) * _UNITS[found[2]]
        try:
            value = float(text)
        except ValueError:
            return None
    if not isinstance(value, (int, float)):
        return None
    if threshold.kind == "count":
        return int(value) if math.isfinite(value) and value == int(value) else None
    return float(value)
