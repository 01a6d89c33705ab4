"""Reads the details of events. Pure; no function here raises an exception, whatever the details contain.

Any client may publish an event with any JSON object as its details, and an event log may contain events of earlier
versions. So a program must not index, iterate or parse a value in the details itself, but read it with these functions:
a value that does not have the expected shape counts as missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeGuard

ID_LISTS = ("affected", "escalated_from")
"""The details that TRON and the registry set to a list of ids or names."""

TEXTS = ("escalated_because", "held_for", "was_held_for", "down_at", "restored_at", "first_down_at")
"""The details that TRON and the registry set to a text."""

COUNTS = ("affected_count", "orphan_count", "missed_deaths", "incarnation")
"""The details that TRON and the registry set to a whole number that is not negative."""

MAX_COUNT = 2**63 - 1
"""The largest number that `count_in` returns: incarnations and counts are 64-bit numbers in other languages."""


def texts_in(details: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Return the list of texts under a key; an empty tuple if the value is not a list that contains only texts."""
    value = details.get(key)
    return tuple(value) if _is_texts(value) else ()


def text_in(details: Mapping[str, Any], key: str) -> str:
    """Return the text under a key; an empty text if the value is not a text."""
    value = details.get(key)
    return value if _is_text(value) else ""


def count_in(details: Mapping[str, Any], key: str) -> int:
    """Return the whole number under a key; 0 if the value is not a whole number from 0 to MAX_COUNT."""
    value = details.get(key)
    return value if _is_count(value) else 0


def moment_in(details: Mapping[str, Any], key: str) -> float | None:
    """Return the time under a key, which is an RFC 3339 text, in seconds since the epoch; None if the value is not such
    a text."""
    try:
        moment = datetime.fromisoformat(text_in(details, key))
    except ValueError:
        return None
    # A time without a zone is in UTC: `timestamp` would convert it from local time, which fails near the year 1.
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


def misshapen(details: Mapping[str, Any]) -> dict[str, str]:
    """Return the keys of the details that have another shape than TRON and the registry give them, and for each the
    shape that it must have; an empty dict if there are none."""
    shapes = (
        (ID_LISTS, _is_texts, "must be a list of texts"),
        (TEXTS, _is_text, "must be a text"),
        (COUNTS, _is_count, "must be a whole number that is not negative"),
    )
    return {key: why for keys, fits, why in shapes for key in keys if key in details and not fits(details[key])}


def _is_texts(value: Any) -> TypeGuard[list[str] | tuple[str, ...]]:
    return isinstance(value, (list, tuple)) and all(isinstance(each, str) for each in value)


def _is_text(value: Any) -> TypeGuard[str]:
    return isinstance(value, str)


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT
