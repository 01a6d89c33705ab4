"""Services whose stream ended and that wait to be detached, in an order that is fair to their parents. Pure.

Detaching a service takes a fraction of a millisecond, because a suspicion and its alert may follow at once. If
thousands of streams end at once, all other work would wait for all of them. So a few services are detached at once and
the others in short turns. The parents take turns, so that a service does not wait for thousands of services of another
parent.
"""

from __future__ import annotations

from grid_model.round_robin import RoundRobin

AT_ONCE = 16
"""Maximum number of services that are detached immediately when their streams end, within each `WINDOW`. If more
services than this wait, none is detached immediately: the ends of further streams are read first, because one of their
services may be the only child of its parent."""

WINDOW = 0.005
"""Seconds within which at most AT_ONCE services are detached immediately."""


class EndedStreams:
    """The services that wait to be detached. There are at most as many as registered services, because each is on one
    stream."""

    def __init__(self) -> None:
        self._waiting: RoundRobin[tuple[int, str]] = RoundRobin()
        self._count = 0
        self._window_began = float("-inf")
        self._at_once = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def put(self, parent: str, session_id: int, service_id: str) -> None:
        """Add a service whose stream ended. It must not be waiting already."""
        self._waiting.put(parent, (session_id, service_id))
        self._count += 1

    def take(self) -> tuple[int, str]:
        """Remove and return the session_id and the service_id to detach next. Raises StopIteration if no service
        waits."""
        taken = self._waiting.take()
        self._count -= 1
        return taken

    def admit(self, now: float) -> bool:
        """Return whether one more service may be detached immediately, and count it if so. `now` is in seconds of a
        monotonic clock."""
        if now - self._window_began >= WINDOW:
            self._window_began, self._at_once = now, AT_ONCE
        if not self._at_once or self._count > AT_ONCE:
            return False
        self._at_once -= 1
        return True
