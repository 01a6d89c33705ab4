"""Collects the consequences of commands until they are taken: messages to agents and lines for the store, in order.
Pure."""

from __future__ import annotations

from dataclasses import replace

from registry_server.core.effects import Effects, EndStream, Message, PutService, RemoveService, ReserveRevisions, Write

REVISION_BLOCK = 100_000
"""Number of revisions that are reserved on disk at a time."""

MANY_LINES = 1000
"""If more lines than this are taken together, each line that a later line about the same service replaces is
dropped."""


NOTHING = Effects([], [])
"""The effects of commands that have no effects. It must not be changed."""


class Outgoing:
    """The effects of the commands since the last `take`. `revision` is the highest revision that is reserved."""

    def __init__(self, revision: int = 0) -> None:
        self.sends: list[tuple[int, Message | EndStream]] = []
        self.writes: list[Write] = []
        self._ceiling = revision

    def send(self, session_id: int, message: Message | EndStream) -> None:
        """Send a message on a stream, once all earlier effects are durable."""
        self.sends.append((session_id, message))

    def write(self, line: Write) -> None:
        """Add a line for the store."""
        self.writes.append(line)

    def take(self, revision: int) -> Effects:
        """Remove and return all effects. `revision` is the newest revision. If few reserved revisions are left, the
        effects also reserve further ones."""
        if revision > self._ceiling - REVISION_BLOCK // 2:
            self._ceiling = revision + REVISION_BLOCK
            self.writes.append(ReserveRevisions(self._ceiling))
        elif not (self.sends or self.writes):
            return NOTHING  # as after most heartbeats
        effects = Effects(self.sends, self.writes if len(self.writes) <= MANY_LINES else without_repeats(self.writes))
        self.sends, self.writes = [], []
        return effects


def without_repeats(lines: list[Write]) -> list[Write]:
    """Return the lines of one transaction, without each line that a later line about the same service replaces.

    Each alert about a parent rewrites the records of all services that the alert lists. If a chain of 1,000 parents
    dies at once, that would be half a million lines.
    """
    kept: list[Write] = []
    later: dict[str, int] = {}  # the next line about a service that is kept, by its place
    for line in reversed(lines):
        if type(line) is RemoveService:
            later.pop(line.tombstone.service_id, None)
        elif type(line) is PutService:
            service_id = line.service.spec.service_id
            place = later.get(service_id)
            if place is None:
                later[service_id] = len(kept)
            elif _replaces(kept, place, line):
                continue
        kept.append(line)
    return kept[::-1]


def _replaces(kept: list[Write], place: int, line: PutService) -> bool:
    replacement = kept[place]
    assert type(replacement) is PutService
    if line.fresh and not replacement.fresh:
        if line.service.incarnation != replacement.service.incarnation:
            return False
        kept[place] = replace(replacement, fresh=True)
    return True
