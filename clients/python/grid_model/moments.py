"""Formats timestamps as text, and computes with timestamps from other programs. Pure.

A timestamp in a message can be any moment of the calendar. A sum that would leave the calendar ends at its edge,
because OverflowError would end the program that adds.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_FIRST = datetime.min.replace(tzinfo=UTC)
_LAST = datetime.max.replace(tzinfo=UTC)


def later(moment: datetime, seconds: float) -> datetime:
    """Return the moment that is this many seconds later, or earlier if `seconds` is negative; in UTC, and clamped to
    the years 1 to 9999. `moment` must be aware; `seconds` must be finite."""
    left = (_LAST - moment).total_seconds()
    if seconds >= left:
        return _LAST
    if seconds <= (_FIRST - moment).total_seconds():
        return _FIRST
    return moment.astimezone(UTC) + timedelta(seconds=seconds)


def rfc3339(at: float) -> str:
    """Return a time in seconds since the epoch as RFC 3339 text in UTC, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
