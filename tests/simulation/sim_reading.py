"""What readers and operators find at the registry: a model of `registry_server.io` around the core."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from grid_model.errors import TronError
from grid_model.service import Maintenance

from registry_server.core.changes import Change
from registry_server.core.event_log import EventFilter
from registry_server.core.queries import Listings, ServiceFilter
from registry_server.core.readers import EventReader, ServiceReader
from tests.simulation import words
from tests.simulation.network import UP, Connection

if TYPE_CHECKING:
    from tests.simulation.sim_registry import SimRegistry

CHANGES_UNREAD = 64
"""What fits into the flow-control window of a reader that does not read."""

EVERYTHING = EventFilter()
EVERY_SERVICE = ServiceFilter()


@dataclass(slots=True)
class Reader:
    """A reader of revisions or of events on the simulated link, and how much it has not read yet."""

    connection: Connection
    cursor: ServiceReader | EventReader
    started: bool = False
    unread: int = 0


class Readers:
    """Those who watch or subscribe: the link around `core.readers`, as the services of gRPC are the wire around it."""

    def __init__(self, registry: SimRegistry) -> None:
        self._registry = registry
        self._readers: list[Reader] = []

    def open(self, connection: Connection, word: words.Watch | words.Subscribe) -> None:
        """Somebody reads from now on."""
        core, commits = self._registry.core, self._registry.commits
        cursor: ServiceReader | EventReader
        try:
            if isinstance(word, words.Subscribe):
                cursor = EventReader(core, commits, word.after_sequence, EVERYTHING)
            else:
                cursor = ServiceReader(core, commits, word.start_revision)
        except TronError as error:
            connection.close(UP, error)
            return
        reader = Reader(connection, cursor)
        connection.on_message[UP] = partial(self._has_read, reader)
        connection.on_end[UP] = partial(self._ended, reader)
        self._readers.append(reader)
        if isinstance(cursor, EventReader):
            reader.started = True
            self._serve(reader)
        else:
            self._registry.flush(partial(self._begin, reader, cursor))

    def serve(self) -> None:
        """More is on disk: show it."""
        for reader in list(self._readers):
            self._serve(reader)

    def _begin(self, reader: Reader, cursor: ServiceReader) -> None:
        for change in chain.from_iterable(cursor.beginning()):
            self._show(reader, change)
        reader.connection.down(words.Changed(cursor.revision, None))
        reader.started = True
        self._serve(reader)

    def _show(self, reader: Reader, change: Change) -> None:
        self._registry.observer.shown(change)
        reader.unread += 1
        reader.connection.down(words.Changed(change.revision, change))

    def _has_read(self, reader: Reader, count: int) -> None:
        reader.unread -= count
        self._serve(reader)

    def _ended(self, reader: Reader, _: Exception | None = None) -> None:
        if reader in self._readers:
            self._readers.remove(reader)

    def _serve(self, reader: Reader) -> None:
        if not reader.started:
            return
        try:
            if isinstance(reader.cursor, EventReader):
                self._serve_events(reader, reader.cursor)
            elif reader.unread < CHANGES_UNREAD:
                for change in chain.from_iterable(reader.cursor.next()):
                    self._show(reader, change)
        except TronError as error:
            self._ended(reader)
            reader.connection.close(UP, error)

    def _serve_events(self, reader: Reader, cursor: EventReader) -> None:
        registry = self._registry
        while cursor.is_behind and reader.unread < CHANGES_UNREAD:
            events = cursor.recent(CHANGES_UNREAD)
            if events is None:
                found = registry.store.read_events(cursor.sequence, CHANGES_UNREAD, EVERYTHING)
                events = cursor.stored(found, registry.visible_events, CHANGES_UNREAD)
            for event in events:
                reader.unread += 1
                reader.connection.down(event)


class Calls:
    """Single calls: each is answered when it is on disk."""

    def __init__(self, registry: SimRegistry) -> None:
        self._registry = registry
        self._serve: dict[type, Callable[[Any], object]] = {
            words.Promote: self._promote,
            words.Publish: self._publish,
            words.Acknowledge: self._acknowledge,
            words.Maintain: self._maintain,
            words.Deregister: self._deregister,
            words.ListServices: self._list,
        }
        self.listings = Listings(str(registry.life))

    def knows(self, word: object) -> bool:
        """Whether this word is a call."""
        return type(word) in self._serve

    def take(self, connection: Connection, word: object) -> None:
        """Serve a call."""
        try:
            value = self._serve[type(word)](word)
        except TronError as error:
            connection.down(words.Answer(error=error))
            return
        self._registry.flush(partial(connection.down, words.Answer(value)))

    def _promote(self, word: words.Promote) -> object:
        return self._registry.core.promote(word.name, word.from_role, word.to_role)

    def _publish(self, word: words.Publish) -> object:
        return self._registry.core.publish(word.event, self._registry.now())[0]

    def _acknowledge(self, word: words.Acknowledge) -> object:
        return self._registry.core.acknowledge(word.alert_id, word.recipient, self._registry.now())

    def _maintain(self, word: words.Maintain) -> object:
        wall = self._registry.wall()
        until = None if word.seconds is None else wall + word.seconds
        maintenance = Maintenance(word.service_id, wall, until, "works")
        self._registry.core.hold_notices(maintenance)
        return maintenance

    def _list(self, word: words.ListServices) -> object:
        """As `registry_server.io.grpc_listing.ServiceLists`."""
        registry, now = self._registry, self._registry.loop.now
        if word.token:
            listing, start = self.listings.resume(word.token, EVERY_SERVICE, now)
        else:
            listing, start = self.listings.first(EVERY_SERVICE, registry.core.revision, registry.core.shown), 0
            while not listing.work():
                pass
        page = self.listings.page(listing, start, word.size, now)
        return words.Listed(tuple(map(registry.core.as_heard, page.services)), page.token, listing.revision)

    def _deregister(self, word: words.Deregister) -> object:
        record = self._registry.core.get(word.service_id)
        self._registry.core.deregister(word.service_id, "", self._registry.now())
        self._registry.observer.said_goodbye(record, None)
        return None
