"""Browser sessions: a random number in a cookie represents the credential with which a person logged in. Pure: the
caller supplies the random numbers, and the time in monotonic seconds.

A session ends IDLE seconds after its last use, and at the latest LONGEST seconds after its login. All sessions are lost
when the gateway stops.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from grid_hosting.credential import Credential

IDLE = 3600.0
"""Seconds after which a session ends if it has had no request and no open stream."""

LONGEST = 12 * 3600.0
"""Seconds after its login at which a session ends, even if it is in use."""

MOST_SESSIONS = 1000
"""Maximum number of open sessions of all principals. Overflow rule: the least recently used session ends."""

MOST_OF_PRINCIPAL = 20
"""Maximum number of open sessions of one principal, so that one token cannot end the sessions of others. Overflow rule:
the principal's least recently used session ends."""


@dataclass(eq=False, slots=True)
class Session:
    """One session of a browser, opened by a login."""

    key: str
    """The SHA-256 of the number in the cookie, so that a copy of the memory shows no number that a browser could
    send."""
    principal: str
    """The name of the principal that logged in."""
    credential: Credential = field(repr=False)
    """The credential with which the person logged in; calls in the person's name use it."""
    began_at: float
    used_at: float


class Sessions:
    """All open sessions of browsers, in the order of their last use."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, Session] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, number: str, principal: str, credential: Credential, now: float) -> tuple[Session, list[Session]]:
        """Open a session for a random number. Return the session, and the sessions that ended because a limit was
        reached."""
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
        """Return the open session with this random number, and record its use; None if no such session is open."""
        session = self.of_key(key_of(number), now)
        if session is not None:
            self.use(session, now)
        return session

    def of_key(self, key: str, now: float) -> Session | None:
        """Return the open session with this key, without recording its use; None if no such session is open."""
        session = self._open.get(key)
        return None if session is None or _has_ended(session, now) else session

    def is_open(self, session: Session, now: float) -> bool:
        """Return whether a session is still open."""
        return session.key in self._open and not _has_ended(session, now)

    def use(self, session: Session, now: float) -> None:
        """Record that a session is used now; does nothing if it has ended."""
        if session.key in self._open:
            session.used_at = now
            self._open.move_to_end(session.key)

    def end(self, session: Session) -> None:
        """End a session; does nothing if it has already ended."""
        self._open.pop(session.key, None)

    def expire(self, now: float, in_use: Iterable[Session] = ()) -> list[Session]:
        """End the sessions that have been idle or open for too long, and return them. `in_use`: the sessions with an
        open stream, which count as used now."""
        for each in in_use:
            self.use(each, now)
        ended = [each for each in self._open.values() if _has_ended(each, now)]
        for each in ended:
            self.end(each)
        return ended


def key_of(number: str) -> str:
    """Return the key under which the session with this random number is stored: a hash, so that the time of a lookup
    reveals nothing about the number."""
    return hashlib.sha256(number.encode()).hexdigest()


def _has_ended(session: Session, now: float) -> bool:
    return now - session.used_at >= IDLE or now - session.began_at >= LONGEST
