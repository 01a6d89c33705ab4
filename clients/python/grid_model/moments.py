"""Formats timestamps that other programs sent as text, adds seconds to them, and converts them to local time.

A timestamp in a message can be any time between the years 1 and 9999. If a result is outside these years, `later` and
`rfc3339` use the first or the last time of this range, and `local` stays in UTC. Python alone would raise OverflowError
or ValueError, and this error would end the thread of an agent, or a task of a server.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
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
    """Return a time in seconds since the epoch as RFC 3339 text in UTC, to the millisecond. A time outside the years 1
    to 9999 becomes the nearest time in that range. `at` must not be NaN."""
    return later(_EPOCH, at).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def local(moment: datetime) -> datetime:
    """Return an aware time in the time zone of this machine; in UTC if its local time is outside the years 1 to
    9999."""
    try:
        return moment.astimezone()
    except (OverflowError, ValueError, OSError):
        return moment.astimezone(UTC)
