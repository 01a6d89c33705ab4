"""What is committed when, and what is released when it is durable. Pure: the loop and the simulation obey.

Messages that commands ask for are released once their commit, and every earlier one, is durable; then callers that
wait, and at last readers. Everything that waits is one batch, so that ten thousand registrations at once are a handful
of commits. What a life depends on (a verdict, a broken stream) may be committed at once if nothing else is under way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from grid_model.errors import QuotaExceeded

from registry_server.core.effects import Effects, Write

MAX_LINES = 200_000
"""Lines that wait for the disk. Overflow rule: new registrations and events are refused with QUOTA_EXCEEDED."""

MAX_INLINE_LINES = 16
"""Lines of a batch that may be committed on the event loop."""

INLINE_APART = 0.005
"""Seconds between two commits on the event loop: in a crowd they must be shared."""

READERS_AFTER = 0.003
"""Seconds by which readers are shown a change later if an alert goes out with it, so that they do not take the
processor from its recipient. Measured on two cores with a gateway: 0.55 of the 2.7 ms from the broken stream to the
parent."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Lines for one transaction, and the position up to which everything is durable once it is committed."""

    position: int
    lines: list[Write]


@dataclass(frozen=True, slots=True)
class PendingCommit:
    """Effects on their way to the disk, and what readers may see once they are there."""

    position: int
    effects: Effects
    revision: int
    sequence: int


class Commits:
    """The order of everything that is durable or not yet. Positions only grow."""

    def __init__(self, *, revision: int = 0, sequence: int = 0) -> None:
        self.revision = revision
        """The newest revision that readers may see."""
        self.sequence = sequence
        """The newest event that readers may see."""
        self.lines = 0
        """Lines that are not durable yet."""
        self.released_to = 0
        """Everything up to this position was released to agents and callers."""
        self._position = 0
        self._added = (revision, sequence)
        self._waiting: deque[PendingCommit] = deque()
        self._taken: deque[tuple[int, PendingCommit]] = deque()
        """With the position of its batch."""
        self._durable: deque[PendingCommit] = deque()
        self._for_readers: deque[tuple[float, int, int]] = deque()
        self._inline_at = float("-inf")
        self._failed = False

    @property
    def is_full(self) -> bool:
        """Whether too many lines wait for the disk."""
        return self.lines > MAX_LINES

    def admit(self) -> None:
        """Raise QuotaExceeded while too many lines wait for the disk."""
        if self.is_full:
            raise QuotaExceeded(f"{self.lines} changes wait for the disk; try again later")

    @property
    def pending(self) -> Iterator[PendingCommit]:
        """Everything that was not released yet, in order."""
        yield from self._durable
        yield from (commit for _, commit in self._taken)
        yield from self._waiting

    def add(self, effects: Effects, revision: int, sequence: int) -> int:
        """Take over what commands asked for since the last call. Return the position at which all of it, and all
        before it, is released."""
        if effects.empty and (revision, sequence) == self._added:
            return self._position
        self._position += 1
        self._added = (revision, sequence)
        commit = PendingCommit(self._position, effects, revision, sequence)
        if effects.writes or self._waiting or self._taken or self._durable or self._failed:
            self._waiting.append(commit)
            self.lines += len(effects.writes)
        else:
            self._durable.append(commit)
        return self._position

    def commits_inline(self, now: float) -> bool:
        """Whether what waits, and cannot wait long, should be committed on the event loop: that saves two switches of
        threads (about half a millisecond where cores sleep). Not beside another commit, not in a crowd."""
        alone = (
            len(self._waiting) == 1 and not self._taken and not self._durable and now - self._inline_at >= INLINE_APART
        )
        return alone and len(self._waiting[0].effects.writes) <= MAX_INLINE_LINES

    def take(self) -> Batch | None:
        """The next batch to commit: all that waits; None if nothing does. Several may be under way."""
        if self._failed or not self._waiting:
            return None
        commits, self._waiting = self._waiting, deque()
        position = commits[-1].position
        self._taken += ((position, commit) for commit in commits)
        return Batch(position, [line for commit in commits for line in commit.effects.writes])

    def committed(self, position: int, now: float, *, inline: bool = False) -> None:
        """The batch with this position, and every one before it, is durable."""
        while self._taken and self._taken[0][0] <= position:
            _, commit = self._taken.popleft()
            self.lines -= len(commit.effects.writes)
            self._durable.append(commit)
        if inline:
            self._inline_at = now

    def failed(self, position: int) -> None:
        """The batch with this position could not be written: nothing of it, or of what follows, is ever released."""
        self._failed = True
        self._taken = deque((batch, commit) for batch, commit in self._taken if batch < position)

    @property
    def next_release(self) -> int | None:
        """The position of what may leave next; None if nothing may."""
        return self._durable[0].position if self._durable else None

    def release(self, now: float) -> PendingCommit | None:
        """What leaves now: its messages go to agents, then its callers are answered. Readers follow, at once or when
        `advance` says so. None if nothing may leave. Call it only to send at once what it returns."""
        if not self._durable:
            return None
        commit = self._durable.popleft()
        self.released_to = commit.position
        if commit.effects.alerts:
            self._for_readers.append((now + READERS_AFTER, commit.revision, commit.sequence))
        else:
            self._show(commit.revision, commit.sequence)
        return commit

    def due(self) -> float | None:
        """When readers may see more, on the clock of `now`; None if they see all that is released."""
        return self._for_readers[0][0] if self._for_readers else None

    def advance(self, now: float) -> None:
        """Time passed."""
        while self._for_readers and self._for_readers[0][0] <= now:
            _, revision, sequence = self._for_readers.popleft()
            self._show(revision, sequence)

    def _show(self, revision: int, sequence: int) -> None:
        self.revision = max(self.revision, revision)
        self.sequence = max(self.sequence, sequence)
