"""A consumer of the replica: a place in the frames and in the log, and nothing that could grow. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from tron_client.models import Event

from gateway_http.replica.frames import Update
from gateway_http.replica.replica import Replica


@dataclass(frozen=True, slots=True)
class Gap:
    """Events between the cursor and what follows are no longer kept: read the list anew."""

    last: int
    """Where the reader goes on from."""


class Reader:
    """A cursor. It only reads the replica, so any number of them follow it side by side."""

    def __init__(self, replica: Replica, revision: int | None = None, sequence: int | None = None) -> None:
        """Follow changes after a revision (None: a snapshot first), and events after a sequence (None: only new
        ones)."""
        self._replica = replica
        self._began = False
        self._number, self._epoch = replica.frames.last, replica.mirror.epoch
        self.revision = revision
        """The revision that it has seen; None before the first snapshot."""
        self.sequence = replica.tail.last if sequence is None else sequence
        """The event that it has seen."""
        self._log = replica.tail.epoch
        self._only_new = sequence is None
        self._seen = replica.news.value

    def updates(self) -> list[Update]:
        """What it has not seen of the services; at the first call at least one."""
        replica = self._replica
        if not self._began:
            self._began = True
            update = replica.since(self.revision)
            self.revision = update.revision if replica.loaded else None
            return [update]
        frames = replica.frames.after(self._number)
        if frames == []:
            return []
        same_epoch = self._epoch == replica.mirror.epoch
        self._number, self._epoch = replica.frames.last, replica.mirror.epoch
        if frames is None or not same_epoch or self.revision is None:
            frames = [replica.since(self.revision if same_epoch else None)]
        self.revision = replica.revision
        return frames

    def events(self) -> list[Event | Gap]:
        """What it has not seen of the log."""
        tail = self._replica.tail
        if not tail.epoch:
            return []  # the log was not read yet
        if not self._log:
            self._log = tail.epoch
            self.sequence = tail.last if self._only_new else self.sequence
        events = tail.after(self.sequence) if self._log == tail.epoch and self.sequence <= tail.last else None
        self._log, self.sequence = tail.epoch, tail.last
        return [Gap(tail.last)] if events is None else list(events)

    async def wait(self, timeout: float | None = None) -> None:
        """Wait until there may be something new, or `timeout` seconds. What came since the last wait counts."""
        news = self._replica.news
        await news.beyond(self._seen, timeout)
        self._seen = news.value
