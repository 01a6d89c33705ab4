"""Passes the effects of commands on: to the disk, then to agents, to callers and to readers, in this order. Pure.

`commits` decides the order; this module follows it. The registry's loop and the simulation both run it; each provides a
`Shell` with the clock, the disk and the sockets.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from registry_server.core.commits import Batch, Commits
from registry_server.core.effects import Effects, EndStream, Message, Registered, Write
from registry_server.core.registry import Registry
from registry_server.core.service import Instant


@dataclass(frozen=True, slots=True)
class Shell:
    """The operations that the registry's loop and the simulation provide."""

    monotonic: Callable[[], float]
    """Return the seconds on a clock that only advances."""
    now: Callable[[], Instant]
    write: Callable[[list[Write]], None]
    """Commit these lines before returning. Raises if they cannot be written."""
    wake_writer: Callable[[], None]
    """Make the writer ask `Releases.take` for batches."""
    send: Callable[[int, Message | EndStream], None]
    """Send a message on a stream. The stream may have ended; then do nothing."""
    wake_observers: Callable[[], None]
    """Send a frame to the observers for which an urgent fact waits."""
    show: Callable[[], None]
    """Let readers see everything up to `Commits.revision` and `Commits.sequence`."""
    show_later: Callable[[float], None]
    """Call `Releases.show_due` in this many seconds."""


class Releases:
    """Passes the effects of commands to the disk, and releases them once they are durable."""

    def __init__(self, registry: Registry, commits: Commits, shell: Shell) -> None:
        self._registry = registry
        self._commits = commits
        self._shell = shell
        self._callers: deque[tuple[int, Callable[[], None]]] = deque()
        self._shown = (commits.revision, commits.sequence)
        self._show_is_due = False

    def flush(self, then: Callable[[], None] | None = None) -> int:
        """Start committing the effects of the commands since the last call. Return their position.

        `then` is called when all earlier effects are durable and released, possibly before this method returns.
        """
        position, effects = self._collect()
        self._shell.wake_observers()
        if then is not None or position != self._commits.released_to:
            self._proceed(position, effects, then)
        return position

    def flush_inline(self, then: Callable[[], None] | None = None) -> int:
        """Commit urgent effects, such as verdicts and broken streams. This is like `flush`, but the commit may happen
        before this method returns; an error of the store is then raised here."""
        position, effects = self._collect()
        commits = self._commits
        if commits.commits_inline(self._shell.monotonic()) and (batch := commits.take()) is not None:
            try:
                self._shell.write(batch.lines)
            except Exception:
                commits.failed(batch.position)
                raise
            commits.committed(batch.position, self._shell.monotonic(), inline=True)
        self._proceed(position, effects, then)
        self._shell.wake_observers()
        return position

    # --- the writer -------------------------------------------------------------------------------------------------

    def take(self) -> Batch | None:
        """Return the next batch to write; None if nothing waits."""
        return self._commits.take()

    def written(self, batch: Batch) -> None:
        """Record that the batch is durable. Then call `release` until it returns False."""
        self._commits.committed(batch.position, self._shell.monotonic())

    def failed(self, batch: Batch) -> None:
        """Record that the batch could not be written: neither it nor anything later is ever released."""
        self._commits.failed(batch.position)

    def release(self) -> bool:
        """Release the next durable commit: its messages go to agents, then its callers are answered, then readers see
        it. Return False if there is no durable commit."""
        shell = self._shell
        commit = self._commits.release(shell.monotonic())
        if commit is None:
            return False
        for session_id, message in commit.effects.sends:
            shell.send(session_id, message)
            if isinstance(message, Registered):
                answered_on = None if message.relayed else session_id
                self._registry.answered(answered_on, message.service, shell.now())
        self._answer()
        self.show()
        return True

    # --- readers ----------------------------------------------------------------------------------------------------

    def show(self) -> None:
        """Let readers see everything that they may see now, and call `Shell.show_later` for the rest."""
        commits, shell = self._commits, self._shell
        commits.advance(shell.monotonic())
        visible = (commits.revision, commits.sequence)
        if visible != self._shown:
            self._shown = visible
            shell.show()
        due = commits.due()
        if due is not None and not self._show_is_due:
            self._show_is_due = True
            shell.show_later(max(0.0, due - shell.monotonic()))

    def show_due(self) -> None:
        """Let readers see more. The shell calls this at the time that `Shell.show_later` has set."""
        self._show_is_due = False
        self.show()

    # --- inside -----------------------------------------------------------------------------------------------------

    def _collect(self) -> tuple[int, Effects]:
        """Add the effects of the commands since the last call to the commits; return their position and the effects."""
        effects = self._registry.take()
        return self._commits.add(effects, self._registry.revision, self._registry.last_event), effects

    def _proceed(self, position: int, effects: Effects, then: Callable[[], None] | None) -> None:
        """Release effects that need no commit or are already durable; have the writer commit all others."""
        commits = self._commits
        if then is not None:
            self._callers.append((position, then))
        if commits.next_release == position:
            self.release()
        elif commits.released_to < position:
            self._registry.wait_for_answers(effects.registered)
            self._shell.wake_writer()
        self._answer()

    def _answer(self) -> None:
        """Call all callers whose effects are released by now."""
        while self._callers and self._callers[0][0] <= self._commits.released_to:
            self._callers.popleft()[1]()
