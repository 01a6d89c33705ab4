"""The cursor of one consumer in the replica's frames and events. Its size does not grow. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from tron_client.models import Event

from gateway_http.replica.frames import Update
from gateway_http.replica.replica import Replica


@dataclass(frozen=True, slots=True)
class Gap:
    """Returned in place of events that are no longer kept: the consumer missed them, and must read the event log
    again."""

    last: int
    """The sequence number from which the reader continues."""


class Reader:
    """A cursor in the frames and events of a replica. It does not change the replica, so any number of readers can
    follow the same replica."""

    def __init__(self, replica: Replica, revision: int | None = None, sequence: int | None = None) -> None:
        """Follow the changes after a revision, and the events after a sequence number. If `revision` is None, the first
        update is a snapshot; if `sequence` is None, only new events are returned."""
        self._replica = replica
        self._began = False
        self._number, self._epoch = replica.frames.last, replica.mirror.epoch
        self.revision = revision
        """The revision up to which this reader has received all changes; None before the first snapshot."""
        self.sequence = replica.tail.last if sequence is None else sequence
        """The sequence number of the last event that this reader has received."""
        self._log = replica.tail.epoch
        self._only_new = sequence is None
        self._seen = replica.news.value

    def updates(self) -> list[Update]:
        """Return the updates to services that this reader has not received yet. The first call always returns one
        update; later calls return an empty list if nothing changed."""
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
        """Return the events that this reader has not received yet, oldest first; a Gap if some of them are no longer
        kept."""
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
        """Wait until the replica may have news for this reader, or until `timeout` seconds have passed. Returns at once
        if something changed since the last wait."""
        news = self._replica.news
        await news.beyond(self._seen, timeout)
        self._seen = news.value
