"""The open Heartbeat streams as data: whom each one carries, and why we end it, if we do. Pure.

The end of a stream means something only if the other side caused it. So whatever ends a stream on our side says so
here, before the stream closes; nothing else tells the two apart afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from grid_model.errors import Draining
from grid_model.liveness import Liveness

from registry_server.core.record import Record

EMPTY_FOR = 60.0
"""Attentive seconds of silence after which a stream that carries no service is ended."""


AT_ONCE = 100
"""At most this many silent streams are ended at one tick: if thousands die at once, others are served meanwhile."""


@dataclass(slots=True)
class Session:
    """One Heartbeat stream: which incarnations it carries, and which ids it has lost."""

    services: dict[str, int] = field(default_factory=dict)
    superseded: dict[str, int] = field(default_factory=dict)
    heard_at: float | None = None
    """When something was last said on it, in attentive seconds; the first look at it where nothing was yet."""
    shared: bool = False
    """Whether it carries the agents of one process, each of them apart."""
    ended: str = ""
    """Why we end it, as an error reason; empty while we do not."""
    closed: float | None = None
    """When it ended, in attentive seconds, while services wait to be detached from it; None while it is open."""
    drains_until: float | None = None
    """Until when its end is taken for obedience to our `drain`, in attentive seconds."""

    def reason(self, now: float) -> str:
        """Why we ended it, if it ends at this attentive second; empty if the other side did."""
        if self.ended:
            return self.ended
        return Draining.reason if self.drains_until is not None and now <= self.drains_until else ""


class Sessions:
    """All open streams, and which of them may have nothing more to say."""

    def __init__(self) -> None:
        self._sessions: dict[int, Session] = {}
        self._quiet: dict[int, None] = {}

    def __getitem__(self, session_id: int) -> Session:
        return self._sessions[session_id]

    def open(self, session_id: int) -> None:
        """A stream was opened."""
        self._sessions[session_id] = Session()
        self._quiet[session_id] = None

    def close(self, session_id: int, now: float) -> Session | None:
        """The stream is over, as of this attentive second: it stays known until `drop` took its last service. Return
        it; None if it is not open."""
        session = self._sessions.get(session_id)
        if session is None or session.closed is not None:
            return None
        session.closed = now
        self._quiet.pop(session_id, None)
        if not session.services:
            del self._sessions[session_id]
        return session

    def end(self, session_id: int, reason: str) -> bool:
        """We end the stream for this reason. Return whether that is new."""
        session = self._sessions.get(session_id)
        if session is None or session.ended:
            return False
        session.ended = reason
        return True

    def drain(self, session_id: int, until: float) -> None:
        """If the stream ends by this attentive second, it is for our sake. Nothing if it is over."""
        session = self._sessions.get(session_id)
        if session is not None:
            session.drains_until = until

    def drop(self, session_id: int, service_id: str) -> Session:
        """The stream carries this service no more."""
        session = self._sessions[session_id]
        session.services.pop(service_id, None)
        if session.closed is None:
            self._quiet[session_id] = None
        elif not session.services:
            del self._sessions[session_id]
        return session

    def recheck(self, session_id: int) -> None:
        """A service that the stream carries was judged: perhaps all of them are down by now."""
        if self._sessions[session_id].closed is None:
            self._quiet[session_id] = None

    def silent(self, now: float, find: Callable[[str], Record | None]) -> list[int]:
        """The streams on which nobody speaks any more, each of them once, at most AT_ONCE.

        Everybody whom such a stream carries is judged down and was not heard since: their own silence bounds are over,
        the longest too. A stream that carries nobody has EMPTY_FOR.
        """
        found: list[int] = []
        for session_id in list(self._quiet):
            if len(found) >= AT_ONCE:
                break
            session = self._sessions[session_id]
            if session.heard_at is None:
                session.heard_at = now
            if not session.services:
                if now - session.heard_at < EMPTY_FOR:
                    continue
                found.append(session_id)
            elif all(map(_is_gone, map(find, session.services))):
                found.append(session_id)
            # A judgement, or a service less, brings it back.
            del self._quiet[session_id]
        return found


def _is_gone(record: Record | None) -> bool:
    return record is None or (record.judgement.liveness is Liveness.DOWN and record.heard_at < record.judged_at)
