"""What readers and operators find at the registry: a model of `registry_server.io` around the catalogue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from registry_server.core.changes import Change
from registry_server.core.errors import DomainError
from registry_server.core.event_log import EventFilter
from registry_server.core.queries import Listings, ServiceFilter
from registry_server.core.service import Maintenance
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
    """A reader of revisions or of events: a cursor, and how much it has not read yet."""

    connection: Connection
    cursor: int
    of_events: bool
    started: bool = False
    unread: int = 0


class Readers:
    """Those who watch or subscribe, as `RegistryService.WatchServices` and `EventService.SubscribeEvents`."""

    def __init__(self, registry: SimRegistry) -> None:
        self._registry = registry
        self._readers: list[Reader] = []

    def open(self, connection: Connection, word: words.Watch | words.Subscribe) -> None:
        """Somebody reads from now on."""
        catalogue = self._registry.catalogue
        of_events = isinstance(word, words.Subscribe)
        reader = Reader(connection, catalogue.changes.revision, of_events)
        connection.on_message[UP] = partial(self._has_read, reader)
        connection.on_end[UP] = partial(self._ended, reader)
        changes: list[Change] = []
        try:
            if isinstance(word, words.Subscribe):
                reader.cursor, reader.started = word.after_sequence, True
                catalogue.events.check(word.after_sequence)
            elif word.start_revision:
                changes = catalogue.changes.since(word.start_revision)
            else:
                views = [catalogue.as_heard(each) for each in catalogue.changes.services()]
                changes = [Change(reader.cursor, view.spec.service_id, view) for view in views]
        except DomainError as error:
            connection.close(UP, error)
            return
        self._readers.append(reader)
        if of_events:
            self._serve(reader)
        else:
            self._registry.flush(partial(self._begin, reader, changes))

    def serve(self) -> None:
        """More is on disk: show it."""
        for reader in list(self._readers):
            self._serve(reader)

    def _begin(self, reader: Reader, changes: list[Change]) -> None:
        for change in changes:
            self._show(reader, change)
        reader.connection.down(words.Changed(reader.cursor, None))
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
        registry = self._registry
        try:
            if reader.of_events:
                self._serve_events(reader)
            elif registry.visible > reader.cursor and reader.unread < CHANGES_UNREAD:
                for change in registry.catalogue.changes.since(reader.cursor):
                    if change.revision > registry.visible:
                        break
                    self._show(reader, change)
                reader.cursor = registry.visible
        except DomainError as error:
            self._ended(reader)
            reader.connection.close(UP, error)

    def _serve_events(self, reader: Reader) -> None:
        registry, log = self._registry, self._registry.catalogue.events
        while reader.cursor < registry.visible_events and reader.unread < CHANGES_UNREAD:
            log.check(reader.cursor)
            events = log.recent_after(reader.cursor, CHANGES_UNREAD)
            if events is None:
                events = registry.store.read_events(reader.cursor, CHANGES_UNREAD, EVERYTHING)
            shown = [event for event in events if event.sequence <= registry.visible_events]
            for event in shown:
                reader.unread += 1
                reader.connection.down(event)
            reader.cursor = shown[-1].sequence if shown else registry.visible_events


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
        except DomainError as error:
            connection.down(words.Answer(error=error))
            return
        self._registry.flush(partial(connection.down, words.Answer(value)))

    def _promote(self, word: words.Promote) -> object:
        return self._registry.catalogue.promote(word.name, word.from_role, word.to_role)

    def _publish(self, word: words.Publish) -> object:
        return self._registry.catalogue.publish(word.event, self._registry.now())[0]

    def _acknowledge(self, word: words.Acknowledge) -> object:
        return self._registry.catalogue.acknowledge(word.alert_id, word.recipient, self._registry.now())

    def _maintain(self, word: words.Maintain) -> object:
        wall = self._registry.wall()
        until = None if word.seconds is None else wall + word.seconds
        maintenance = Maintenance(word.service_id, wall, until, "works")
        self._registry.catalogue.hold_notices(maintenance)
        return maintenance

    def _list(self, word: words.ListServices) -> object:
        """As `registry_server.io.grpc_listing.ServiceLists`."""
        registry, now = self._registry, self._registry.loop.now
        changes = registry.catalogue.changes
        if word.token:
            listing, start = self.listings.resume(word.token, EVERY_SERVICE, now)
        else:
            listing, start = self.listings.first(EVERY_SERVICE, changes.revision, changes.services), 0
            while not listing.work():
                pass
        page = self.listings.page(listing, start, word.size, now)
        return words.Listed(tuple(map(registry.catalogue.as_heard, page.services)), page.token, listing.revision)

    def _deregister(self, word: words.Deregister) -> object:
        record = self._registry.catalogue.get(word.service_id)
        self._registry.catalogue.deregister(word.service_id, "", self._registry.now())
        self._registry.observer.said_goodbye(record, None)
        return None
