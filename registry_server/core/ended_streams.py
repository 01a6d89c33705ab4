"""Services whose stream ended and that wait to be detached, in an order that is fair to their parents. Pure.

Detaching a service takes a fraction of a millisecond, because a suspicion and its alert may follow at once. If
thousands of streams end at once, all other work would wait for all of them. So a few services are detached at once and
the others in short turns, and the parents take turns: a service of another parent does not wait for thousands.
"""

from __future__ import annotations

from grid_model.round_robin import RoundRobin

AT_ONCE = 16
"""Services that may be detached the moment their streams end, within each `WINDOW`; none while more than that wait. The
ends of further streams are read first then, because the service that ended one of them may be the only one of its
parent."""

WINDOW = 0.005
"""Seconds."""


class EndedStreams:
    """The services that wait to be detached. Bounded by the registered services, because each is on one stream."""

    def __init__(self) -> None:
        self._waiting: RoundRobin[tuple[int, str]] = RoundRobin()
        self._count = 0
        self._window_began = float("-inf")
        self._at_once = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def put(self, parent: str, session_id: int, service_id: str) -> None:
        """Add a service whose stream ended, which must not wait already."""
        self._waiting.put(parent, (session_id, service_id))
        self._count += 1

    def take(self) -> tuple[int, str]:
        """Return the session and the service to detach next. Raises StopIteration if no service waits."""
        taken = self._waiting.take()
        self._count -= 1
        return taken

    def admit(self, now: float) -> bool:
        """Return whether one more service may be detached at once. `now`: seconds of a monotonic clock."""
        if now - self._window_began >= WINDOW:
            self._window_began, self._at_once = now, AT_ONCE
        if not self._at_once or self._count > AT_ONCE:
            return False
        self._at_once -= 1
        return True
