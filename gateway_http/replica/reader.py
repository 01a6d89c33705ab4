"""Those who follow the feed: each is a place in it, and nothing that could grow while it does not look."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tron_client import Event

from gateway_http.replica.frames import Update

if TYPE_CHECKING:
    from gateway_http.upstream.live_feed import LiveFeed


class Bell:
    """Wakes everybody who waits at the moment when it rings."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.rung = 0
        """How often."""

    def ring(self) -> None:
        """Wake them."""
        self.rung += 1
        event, self._event = self._event, asyncio.Event()
        event.set()

    async def wait(self) -> None:
        """Wait for the next ring."""
        await self._event.wait()


@dataclass(frozen=True, slots=True)
class Gap:
    """Events between the cursor and what follows can not be told any more: read the list anew."""

    last: int
    """Where the reader goes on from."""


class Reader:
    """One who follows: a place in the frames and in the events, and nothing that could grow while it does not look."""

    def __init__(self, feed: LiveFeed, revision: int | None, sequence: int | None) -> None:
        self._feed = feed
        self._began = False
        self._number, self._life = feed.frames.last, feed.mirror.life
        self.revision = revision
        """The revision that it has seen; None before the first snapshot."""
        self.sequence = feed.tail.last if sequence is None else sequence
        """The event that it has seen."""
        self._log = feed.tail.life
        self._only_new = sequence is None
        self._rung = feed.bell.rung

    def updates(self) -> list[Update]:
        """What it has not seen of the services; at the first call at least one."""
        feed = self._feed
        if not self._began:
            self._began = True
            update = feed.since(self.revision)
            self.revision = update.revision if feed.loaded else None
            return [update]
        frames = feed.frames.after(self._number)
        if frames == []:
            return []
        same_life = self._life == feed.mirror.life
        self._number, self._life = feed.frames.last, feed.mirror.life
        if frames is None or not same_life or self.revision is None:
            frames = [feed.since(self.revision if same_life else None)]
        self.revision = feed.revision
        return frames

    def events(self) -> list[Event | Gap]:
        """What it has not seen of the log."""
        tail = self._feed.tail
        if not tail.life:
            return []  # the log was not read yet
        if not self._log:
            self._log = tail.life
            self.sequence = tail.last if self._only_new else self.sequence
        events = tail.after(self.sequence) if self._log == tail.life and self.sequence <= tail.last else None
        self._log, self.sequence = tail.life, tail.last
        return [Gap(tail.last)] if events is None else list(events)

    async def wait(self, timeout: float | None = None) -> None:
        """Wait until there may be something new, or so many seconds. What came since the last wait counts."""
        bell = self._feed.bell
        if bell.rung != self._rung:
            self._rung = bell.rung
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await bell.wait()
        self._rung = bell.rung
