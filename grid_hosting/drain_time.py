"""Decides when a client is asked to open its next stream, because the credential of the present one ends. Pure.

Thousands of streams may have the same credential, or credentials that were issued in the same minute. Each of them
moves at a random time of a window before the end, so that the handshakes are spread; the last part of the window is
left free, so that a client whose renewed credential comes late, or cannot connect at once, tries again in time.
"""

from __future__ import annotations

LONGEST = 600.0
"""Seconds before the end at which the window begins for a credential of a month, unless very many streams are open."""

SHARE = 1 / 3
"""Of the time that the stream may last: the longest window of a short credential. A credential of one minute has 20
seconds; programs that renew credentials commonly do it once two thirds of their time have passed."""

LARGEST_SHARE = 1 / 2
"""Of the time that the stream may last: the longest window, however many streams are open."""

EACH_SECOND = 50
"""Streams that move in one second if the window may be as long as that needs. Each costs the server a few milliseconds:
a handshake with client certificates, and a registration."""

FREE = 1 / 4
"""Of the window: its last part, in which no client is asked for the first time."""

LEAST = 1.0
"""Seconds before the end at which the last client is asked: streams are looked at twice a second."""


def drain_before(lasts: float, streams: int, draw: float) -> float:
    """Return how many seconds before its end the client of a stream is asked to open the next one.

    `lasts`: the seconds from the opening of the stream to the end of its credential; `streams`: the open streams of the
    server whose credentials end; `draw`: a random number of the stream, 0 to 1.
    """
    longest = lasts * LARGEST_SHARE
    window = min(max(min(LONGEST, lasts * SHARE), streams / EACH_SECOND), longest)
    return max(window * (FREE + (1 - FREE) * draw), min(LEAST, longest))
