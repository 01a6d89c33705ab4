"""Decides when changes are committed, and what is released once they are durable. Pure: the loop and the simulation
carry out these decisions.

Messages of a command are released once its commit, and every earlier one, is durable; then waiting callers are
answered, and finally readers see the change. Everything that waits forms one batch, so that ten thousand registrations
at once need only a few commits. An urgent change (a verdict, a broken stream) may be committed at once if no other
commit is in progress.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from grid_model.errors import QuotaExceeded

from registry_server.core.effects import Effects, Write

MAX_LINES = 200_000
"""Maximum number of lines that wait for the disk. Overflow rule: new registrations and events are refused with
QUOTA_EXCEEDED."""

MAX_INLINE_LINES = 16
"""Maximum number of lines in a batch that is committed on the event loop."""

INLINE_APART = 0.005
"""Minimum seconds between two commits on the event loop: if many changes arrive at once, they must share commits."""

READERS_AFTER = 0.003
"""Seconds by which readers see a change later if an alert is sent with it, so that they do not take the processor from
the recipient of the alert. Measured on two cores with a gateway: this saves 0.55 of the 2.7 ms from the broken stream
to the parent."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The lines of one transaction, and the position up to which everything is durable once the transaction is
    committed."""

    position: int
    lines: list[Write]


@dataclass(frozen=True, slots=True)
class PendingCommit:
    """Effects that wait for the disk. Once they are durable, readers may see all changes up to `revision` and all
    events up to `sequence`."""

    position: int
    effects: Effects
    revision: int
    sequence: int


class Commits:
    """Keeps all changes in order until they are durable and released. The position of a change is a number that only
    grows."""

    def __init__(self, *, revision: int = 0, sequence: int = 0) -> None:
        self.revision = revision
        """The newest revision that readers may see."""
        self.sequence = sequence
        """The sequence number of the newest event that readers may see."""
        self.lines = 0
        """Number of lines that are not durable yet."""
        self.released_to = 0
        """Everything up to this position was released to agents and callers."""
        self._position = 0
        self._added = (revision, sequence)
        self._waiting: deque[PendingCommit] = deque()
        self._taken: deque[tuple[int, PendingCommit]] = deque()
        """The commits in progress, each with the position of its batch."""
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
            raise QuotaExceeded(f"{self.lines} changes are waiting to be written to disk; try again later")

    @property
    def pending(self) -> Iterator[PendingCommit]:
        """Yield the commits that have not been released yet, in order."""
        yield from self._durable
        yield from (commit for _, commit in self._taken)
        yield from self._waiting

    def add(self, effects: Effects, revision: int, sequence: int) -> int:
        """Add the effects of the commands since the last call. Return their position: they are released once
        `released_to` reaches it."""
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
        """Return whether urgent lines should be committed on the event loop, and not on the writer thread. This saves
        two thread switches (about half a millisecond when cores sleep). False while another commit is in progress,
        shortly after the last commit on the event loop, or while many lines wait."""
        alone = (
            len(self._waiting) == 1 and not self._taken and not self._durable and now - self._inline_at >= INLINE_APART
        )
        return alone and len(self._waiting[0].effects.writes) <= MAX_INLINE_LINES

    def take(self) -> Batch | None:
        """Return the next batch to commit, with everything that waits; None if nothing waits. Several batches may be in
        progress."""
        if self._failed or not self._waiting:
            return None
        commits, self._waiting = self._waiting, deque()
        position = commits[-1].position
        self._taken += ((position, commit) for commit in commits)
        return Batch(position, [line for commit in commits for line in commit.effects.writes])

    def committed(self, position: int, now: float, *, inline: bool = False) -> None:
        """Record that the batch with this position, and every earlier one, is durable."""
        while self._taken and self._taken[0][0] <= position:
            _, commit = self._taken.popleft()
            self.lines -= len(commit.effects.writes)
            self._durable.append(commit)
        if inline:
            self._inline_at = now

    def failed(self, position: int) -> None:
        """Record that the batch with this position could not be written: neither it nor anything later is ever
        released."""
        self._failed = True
        self._taken = deque((batch, commit) for batch, commit in self._taken if batch < position)

    @property
    def next_release(self) -> int | None:
        """The position of the next commit to release; None if no durable commit waits."""
        return self._durable[0].position if self._durable else None

    def release(self, now: float) -> PendingCommit | None:
        """Return the next durable commit, or None if there is none. The caller must at once send the messages of the
        commit to agents, and answer the calls that wait for it. Readers may see the commit at once, or READERS_AFTER
        seconds later if it contains an alert (see `advance`)."""
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
        """Return the time at which `advance` must be called next, by the same clock as the argument `now` of `advance`;
        None if readers may see all released changes."""
        return self._for_readers[0][0] if self._for_readers else None

    def advance(self, now: float) -> None:
        """Let readers see the changes whose delay has ended at `now`."""
        while self._for_readers and self._for_readers[0][0] <= now:
            _, revision, sequence = self._for_readers.popleft()
            self._show(revision, sequence)

    def _show(self, revision: int, sequence: int) -> None:
        self.revision = max(self.revision, revision)
        self.sequence = max(self.sequence, sequence)
