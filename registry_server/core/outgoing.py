"""Collects the consequences of commands until they are taken: messages to agents and lines for the store, in order.
Pure."""

from __future__ import annotations

from registry_server.core.effects import Effects, EndStream, Message, ReserveRevisions, Write

REVISION_BLOCK = 100_000
"""Revisions are reserved on disk in blocks of this size."""


class Outgoing:
    """The effects of the commands since the last `take`. `revision`: the highest revision that is reserved."""

    def __init__(self, revision: int = 0) -> None:
        self.sends: list[tuple[int, Message | EndStream]] = []
        self.writes: list[Write] = []
        self._ceiling = revision

    def send(self, session_id: int, message: Message | EndStream) -> None:
        """Send a message on a stream, once all earlier effects are durable."""
        self.sends.append((session_id, message))

    def write(self, line: Write) -> None:
        """Store a line."""
        self.writes.append(line)

    def take(self, revision: int) -> Effects:
        """Return and remove all effects. `revision`: the newest one; more revisions are reserved before they run
        out."""
        if revision > self._ceiling - REVISION_BLOCK // 2:
            self._ceiling = revision + REVISION_BLOCK
            self.writes.append(ReserveRevisions(self._ceiling))
        effects = Effects(self.sends, self.writes)
        self.sends, self.writes = [], []
        return effects
