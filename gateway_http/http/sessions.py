"""The sessions of browsers: a random number in a cookie represents the credential with which a person logged in. Pure:
the caller draws the numbers, and brings the time in monotonic seconds.

A session ends IDLE after its last use, and LONGEST after its login. Sessions are lost when the gateway stops.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from grid_hosting.credential import Credential

IDLE = 3600.0
"""Seconds without a request, and without an open stream, after which a session ends."""

LONGEST = 12 * 3600.0
"""Seconds after which a session ends, however much it is used."""

MOST_SESSIONS = 1000
"""Sessions of all principals. Overflow rule: the one that was not used for the longest time ends."""

MOST_OF_PRINCIPAL = 20
"""Sessions of one principal, so that one token cannot end the sessions of others. Overflow rule: the one of its
sessions that was not used for the longest time ends."""


@dataclass(eq=False, slots=True)
class Session:
    """One login."""

    key: str
    """The SHA-256 of the number in the cookie: a copy of the memory shows no number that a browser could send."""
    principal: str
    """The name of its principal."""
    credential: Credential = field(repr=False)
    """What the person logged in with, for calls in the name of the person."""
    began_at: float
    used_at: float


class Sessions:
    """All open sessions, in the order of their last use."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, Session] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, number: str, principal: str, credential: Credential, now: float) -> tuple[Session, list[Session]]:
        """Open a session for a random number; return it, and the sessions that ended for it."""
        ended = []
        own = [each for each in self._open.values() if each.principal == principal]
        if len(own) >= MOST_OF_PRINCIPAL:
            ended.append(own[0])
        elif len(self._open) >= MOST_SESSIONS:
            ended.append(next(iter(self._open.values())))
        for each in ended:
            self.end(each)
        session = Session(key_of(number), principal, credential, now, now)
        self._open[session.key] = session
        return session, ended

    def find(self, number: str, now: float) -> Session | None:
        """Return the open session of a number, and record its use; None if there is none."""
        session = self.of_key(key_of(number), now)
        if session is not None:
            self.use(session, now)
        return session

    def of_key(self, key: str, now: float) -> Session | None:
        """Return the open session with a key; None if there is none."""
        session = self._open.get(key)
        return None if session is None or _has_ended(session, now) else session

    def is_open(self, session: Session, now: float) -> bool:
        """Return whether a session has not ended."""
        return session.key in self._open and not _has_ended(session, now)

    def use(self, session: Session, now: float) -> None:
        """Record that an open session is used."""
        if session.key in self._open:
            session.used_at = now
            self._open.move_to_end(session.key)

    def end(self, session: Session) -> None:
        """End a session."""
        self._open.pop(session.key, None)

    def expire(self, now: float, in_use: Iterable[Session] = ()) -> list[Session]:
        """End the sessions whose time has passed, and return them. `in_use`: those with an open stream."""
        for each in in_use:
            self.use(each, now)
        ended = [each for each in self._open.values() if _has_ended(each, now)]
        for each in ended:
            self.end(each)
        return ended


def key_of(number: str) -> str:
    """Return the key under which the session of a number is kept: a search by it tells nothing about the number."""
    return hashlib.sha256(number.encode()).hexdigest()


def _has_ended(session: Session, now: float) -> bool:
    return now - session.used_at >= IDLE or now - session.began_at >= LONGEST
