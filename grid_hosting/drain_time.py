"""Decides when a client is asked to open its next stream, because the credential of its present stream expires. Pure.

Thousands of streams may have the same credential, or credentials that were issued in the same minute. Each client is
asked at a random time in a window before its credential expires, so that the handshakes are spread. No client is asked
for the first time in the last part of the window. So a client that receives its renewed credential late, or cannot
connect immediately, has time to try again.
"""

from __future__ import annotations

LONGEST = 600.0
"""Maximum length of the window in seconds, unless very many streams are open."""

SHARE = 1 / 3
"""Maximum length of the window, as a share of the time that the stream may last, unless very many streams are open. A
credential of one minute has a window of 20 seconds. Programs commonly renew credentials after two thirds of their
lifetime."""

LARGEST_SHARE = 1 / 2
"""Maximum length of the window, as a share of the time that the stream may last, even if very many streams are open."""

EACH_SECOND = 50
"""Number of clients that are asked in one second if the window may be long enough for that. Each new stream costs the
server a few milliseconds: a handshake with client certificates, and a registration."""

FREE = 1 / 4
"""The last part of the window, as a share of it, in which no client is asked for the first time."""

LEAST = 1.0
"""Minimum number of seconds before the end at which a client is asked, because streams are checked only twice a
second."""


def drain_before(lasts: float, streams: int, draw: float) -> float:
    """Return how long before the end of a stream its client is asked to open the next stream, in seconds.

    `lasts`: the seconds from the opening of the stream to the end of its credential. `streams`: the number of open
    streams of the server whose credentials end. `draw`: a random number from 0 to 1, which the stream keeps.
    """
    longest = lasts * LARGEST_SHARE
    window = min(max(min(LONGEST, lasts * SHARE), streams / EACH_SECOND), longest)
    return max(window * (FREE + (1 - FREE) * draw), min(LEAST, longest))
