"""Counts the services that open streams again after a restart or a stall of the registry.

While thousands of services open streams at the same time, heartbeats on the streams that are already open are delayed
by the handshakes of the others. So the silence of a service counts a little later while many services return.
"""

from __future__ import annotations

from collections import deque

RETURNING = 1.0
"""Attentive seconds for which the reattach window continues after a service opened its first stream within it, at most
`hold.LONGEST` in all: a slow machine may need longer than one window to accept thousands of streams, and the agents
that wait for their turn are alive."""

CROWD = 100
"""If this many services return within RETURNING seconds, silence counts later."""

PATIENCE = 0.3
"""Seconds by which silence counts later without TLS: few enough that a service which dies in the storm is reported in
time."""

TLS_PATIENCE = 3.0
"""The same with TLS: in a storm of 10,000 handshakes on two processors, heartbeats wait for more than 0.8 s."""


class Returns:
    """The attentive seconds of the newest returns. A service returns when it opens a stream again after a restart or a
    stall of the registry."""

    def __init__(self) -> None:
        self._newest: deque[float] = deque(maxlen=CROWD)
        self.last = 0.0
        """When a service last returned; 0 if none has returned."""
        self.crowded_until = 0.0
        """Until when silence counts later; 0 before CROWD services have returned together."""

    def add(self, at: float) -> None:
        """Record that a service opened its first stream since the registry's start or last stall."""
        self.last = max(self.last, at)
        self._newest.append(at)
        if len(self._newest) == CROWD and self.last - self._newest[0] <= RETURNING:
            self.crowded_until = self.last + RETURNING
