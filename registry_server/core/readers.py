"""Readers that follow the services or the events. Each has a cursor and no queue. Pure.

A reader sees each revision and each event once and in order, never before it is durable; a slow reader gets the newest
state, or is notified of a gap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from grid_model.event import Event

from registry_server.core.changes import Change
from registry_server.core.commits import Commits
from registry_server.core.event_log import EventFilter
from registry_server.core.registry import Registry
from registry_server.core.service import Service

T = TypeVar("T")

PAGE = 500
"""Number of events that are read at a time."""

PART = 250
"""Number of services in one part of a snapshot, and of changes in one part of the changes."""


class ServiceReader:
    """Follows all services. The reader begins with the changes after `start_revision`, or with a snapshot if
    `start_revision` is 0. Raises RevisionCompacted if these changes are no longer kept."""

    def __init__(self, registry: Registry, commits: Commits, start_revision: int) -> None:
        self._registry = registry
        self._commits = commits
        self.revision = registry.revision
        """The revision up to which everything was read."""
        self._missed: list[Change] = []
        self._snapshot: list[Service] = []
        if start_revision:
            self._missed = registry.changes_since(start_revision)
        else:
            self._snapshot = registry.shown()

    def beginning(self) -> Iterator[Sequence[Change]]:
        """Yield the snapshot, or the changes since the start revision, in parts. Call this once, when all of them are
        durable, and before `next`."""
        snapshot, missed = self._snapshot, self._missed
        self._snapshot, self._missed = [], []
        as_heard, revision = self._registry.as_heard, self.revision
        for part in in_parts(snapshot):
            yield [Change(revision, each.spec.service_id, as_heard(each)) for each in part]
        yield from in_parts(missed)

    def next(self) -> Iterator[Sequence[Change]]:
        """Return the changes that became visible since the last call, in parts. Raises RevisionCompacted for a reader
        that fell too far behind."""
        visible = self._commits.revision
        if visible <= self.revision:
            return iter(())
        changes = self._registry.changes_since(self.revision)
        self.revision = visible
        return in_parts([change for change in changes if change.revision <= visible])


def in_parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Return the items in parts of at most PART."""
    return (items[start : start + PART] for start in range(0, len(items), PART))


class EventReader:
    """Follows the matching events after the sequence number `after`. Raises RevisionCompacted if such events are no
    longer kept."""

    def __init__(
        self,
        registry: Registry,
        commits: Commits,
        after: int,
        wanted: EventFilter,
        may_read: Callable[[Event], bool] | None = None,
    ) -> None:
        """`may_read` returns whether the reader may read an event; None means that it may read all events."""
        self._registry = registry
        self._commits = commits
        self._wanted = wanted
        self._may_read = may_read
        self.sequence = after
        """The sequence number up to which everything was read."""
        self._registry.check_event(after)

    @property
    def is_behind(self) -> bool:
        """Whether there are visible events that the reader has not read."""
        return self.sequence < self._commits.sequence

    def recent(self, limit: int = PAGE) -> list[Event] | None:
        """Return the next events from memory; None if they must be read from the store, after `sequence` (see
        `stored`). Raises RevisionCompacted."""
        visible = self._commits.sequence
        self._registry.check_event(self.sequence)
        events = self._registry.recent_events(self.sequence, limit)
        if events is None:
            return None
        page = [event for event in events if event.sequence <= visible]
        if page:
            self.sequence = page[-1].sequence
        return self._readable([event for event in page if self._wanted.admits(event)])

    def stored(self, found: list[Event], visible: int, limit: int = PAGE) -> list[Event]:
        """Return the next events. The argument `found` contains the matching events that were read from the store, and
        `visible` is the newest sequence number that was visible before they were read. Raises RevisionCompacted,
        because old events may have been deleted meanwhile."""
        self._registry.check_event(self.sequence)
        page = [event for event in found if event.sequence <= visible]
        self.sequence = page[-1].sequence if len(page) == limit else visible
        return self._readable(page)

    def _readable(self, events: list[Event]) -> list[Event]:
        return events if self._may_read is None else [event for event in events if self._may_read(event)]
