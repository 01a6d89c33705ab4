"""Formats timestamps as text, and adds seconds to timestamps that other programs sent.

A timestamp in a message can be any time between the years 1 and 9999. If a sum is outside these years, `later` returns
the first or the last time of this range. Python alone would raise OverflowError, and this error would end the thread of
an agent.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_FIRST = datetime.min.replace(tzinfo=UTC)
_LAST = datetime.max.replace(tzinfo=UTC)


def later(moment: datetime, seconds: float) -> datetime:
    """Return the time that is this many seconds after `moment`, or before it if `seconds` is negative; in UTC. A time
    outside the years 1 to 9999 becomes the nearest time in that range. `moment` must be aware; `seconds` must be
    finite."""
    left = (_LAST - moment).total_seconds()
    if seconds >= left:
        return _LAST
    if seconds <= (_FIRST - moment).total_seconds():
        return _FIRST
    return moment.astimezone(UTC) + timedelta(seconds=seconds)


def rfc3339(at: float) -> str:
    """Return a time in seconds since the epoch as RFC 3339 text in UTC, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
