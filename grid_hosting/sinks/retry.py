"""Decides when to retry, what an answer means, and when to stop. Pure: `now` and random numbers are arguments."""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum

FIRST_PAUSE = 0.5
"""Maximum number of seconds before the first retry. It doubles with each further failure."""

LONGEST_ASKED = 3600.0
"""The longest pause, in seconds, that a receiver may ask for; a longer one is reduced to this."""


@dataclass(frozen=True, slots=True)
class Retry:
    """The timeouts and pauses of a sink. All times are in seconds."""

    timeout: float = 10.0
    """Timeout of one attempt."""
    longest_pause: float = 60.0
    """The longest pause between two attempts, unless the receiver asks for more."""
    give_up_after: float = 259_200.0
    """A notice that has waited longer than this is not tried again. The time is long, so that notices survive a
    weekend, but finite, so that one notice that a receiver always fails to handle cannot block the others forever."""

    def pause(self, failures: int, draw: float, asked: float | None = None) -> float:
        """Return the seconds to wait after a number of consecutive failures, at least 1. `draw` is a random number from
        0 to 1 (full jitter); `asked` is the pause that the receiver asked for."""
        # Above 2**32 nothing changes any more, and a float could not hold it.
        ceiling = min(self.longest_pause, FIRST_PAUSE * 2.0 ** min(failures - 1, 32))
        return max(draw * ceiling, min(asked or 0.0, LONGEST_ASKED))

    def is_over(self, queued_at: float, now: float) -> bool:
        """Return whether a notice has waited too long. Both times are in seconds since the epoch, so that they remain
        valid across restarts."""
        return now - queued_at > self.give_up_after


class Answer(Enum):
    """The meaning of an HTTP status for the notice that was sent."""

    DELIVERED = "delivered"
    REFUSED = "refused"
    UNAVAILABLE = "unavailable"


_ABOUT_THE_NOTICE = frozenset({400, 406, 410, 411, 413, 414, 415, 422, 431})


def answer_of(status: int) -> Answer:
    """Return the meaning of an HTTP status for a notice.

    A status counts as refused only if it is about the notice itself, or if it is 410, with which a receiver declares
    that it wants no more notices. A wrong token, a wrong path, or a login page in between (401, 403, 404, 3xx) concerns
    the receiver: the cause can be repaired, and queued notices must then still be sent.
    """
    if 200 <= status < 300:
        return Answer.DELIVERED
    return Answer.REFUSED if status in _ABOUT_THE_NOTICE else Answer.UNAVAILABLE


def asked_pause(retry_after: str | None, now: float) -> float | None:
    """Return the pause that a `Retry-After` header asks for, in seconds; None if it asks for none, or is invalid."""
    if not retry_after:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - now)
    except (ValueError, OverflowError):
        return None
