"""The open Heartbeat streams as data: the services that each stream carries, and the reason if the registry ends it.
Pure.

The end of a stream is evidence only if the agent's side caused it. So whenever the registry ends a stream, it records
that here before the stream closes; afterwards the two kinds of end cannot be distinguished.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from grid_model.errors import Draining
from grid_model.liveness import Liveness

from registry_server.core.record import Record

EMPTY_FOR = 60.0
"""Attentive seconds after which a stream is ended that carries no service, and on which no heartbeat of a registered
service was relayed. Other messages do not keep it open: its place is needed for agents."""

AT_ONCE = 100
"""Maximum number of silent streams that are ended at one tick, so that other work continues if thousands of streams
fall silent at once."""


@dataclass(slots=True)
class Session:
    """One Heartbeat stream. `services` contains the incarnation of each service that it carries; `superseded` contains
    the newer incarnation of each service that it has lost to another stream."""

    services: dict[str, int] = field(default_factory=dict)
    superseded: dict[str, int] = field(default_factory=dict)
    heard_at: float | None = None
    """The time of the last message about a service that the stream carries, or whose heartbeat it relays, in attentive
    seconds; the time of the first check if there was none."""
    shared: bool = False
    """Whether the stream carries the agents of one process, each of which is handled separately."""
    ended: str = ""
    """The error reason for which the registry ends the stream; empty while it does not."""
    closed: float | None = None
    """When the stream ended, in attentive seconds, while services wait to be detached from it; None while it is
    open."""
    drains_until: float | None = None
    """The attentive time until which an end of the stream counts as an answer to the registry's `drain`; None if it was
    not asked to drain."""

    def reason(self, now: float) -> str:
        """Return the error reason with which the registry ended the stream, if the stream ends at `now` (attentive
        seconds); empty if the agent's side ends it."""
        if self.ended:
            return self.ended
        return Draining.reason if self.drains_until is not None and now <= self.drains_until else ""


class Sessions:
    """All open streams, and a list of those that must be checked for silence."""

    def __init__(self) -> None:
        self._sessions: dict[int, Session] = {}
        self._quiet: dict[int, None] = {}

    def __getitem__(self, session_id: int) -> Session:
        return self._sessions[session_id]

    def open(self, session_id: int) -> None:
        """Record that a stream was opened."""
        self._sessions[session_id] = Session()
        self._quiet[session_id] = None

    def close(self, session_id: int, now: float) -> Session | None:
        """Record that the stream ended at `now` (attentive seconds). It is kept until `drop` has removed its last
        service. Return the session; None if the stream is not open."""
        session = self._sessions.get(session_id)
        if session is None or session.closed is not None:
            return None
        session.closed = now
        self._quiet.pop(session_id, None)
        if not session.services:
            del self._sessions[session_id]
        return session

    def end(self, session_id: int, reason: str) -> bool:
        """Record that the registry ends the stream for this error reason. Return False if this was recorded before, or
        if the stream is not open."""
        session = self._sessions.get(session_id)
        if session is None or session.ended:
            return False
        session.ended = reason
        return True

    def drain(self, session_id: int, until: float) -> None:
        """Record that the registry asked the client to leave the stream: an end of the stream before `until` (attentive
        seconds) counts as caused by the registry. Do nothing if the stream has ended."""
        session = self._sessions.get(session_id)
        if session is not None:
            session.drains_until = until

    def drop(self, session_id: int, service_id: str) -> Session:
        """Record that the stream no longer carries this service; return the session."""
        session = self._sessions[session_id]
        session.services.pop(service_id, None)
        if session.closed is None:
            self._quiet[session_id] = None
        elif not session.services:
            del self._sessions[session_id]
        return session

    def recheck(self, session_id: int) -> None:
        """Check a stream for silence again, because a verdict about one of its services changed: all of them may be
        down by now."""
        if self._sessions[session_id].closed is None:
            self._quiet[session_id] = None

    def silent(self, now: float, find: Callable[[str], Record | None]) -> list[int]:
        """Return the streams whose services are all silent, each stream only once, and at most AT_ONCE streams.

        A service is silent if it is DOWN and was not heard since that verdict. A stream without services is silent
        after EMPTY_FOR seconds without a message about a service.
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
