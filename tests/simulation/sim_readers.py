"""Those who read and those who operate: watchers resume by revision, subscribers by sequence; calls are retried.

They react as `tron_client.watcher` does: go on from the last whole revision, begin anew where a snapshot broke off or
where the registry says that it no longer goes back so far.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

from grid_model.errors import PageTokenExpired, RevisionCompacted
from grid_model.event import Event
from tron_client.schedule import Backoff

from registry_server.core.service import Service
from tests.simulation import words
from tests.simulation.loop import Loop, Process
from tests.simulation.network import DOWN, UP, Channel, Connection, Path
from tests.simulation.observer import Observer
from tests.simulation.sim_registry import SimRegistry

READ_AT_ONCE = 16
"""What is read before the registry learns that there is room again."""

PAGE = 2
"""Services on a page of a list."""

LISTED_AFTER = 8
LISTED_AGAIN = 20
"""A watcher starts with a list again after this many changes, with this probability."""

CALL_TIMEOUT = 5.0


class _Follower(Process):
    """What both kinds of reader share: a stream that is opened again whatever ends it."""

    def __init__(
        self, loop: Loop, registry: SimRegistry, observer: Observer, path: Path, name: str, dice: Random
    ) -> None:
        super().__init__(loop, name)
        self.path = path
        self.observer = observer
        self._registry = registry
        self._dice = dice
        self._channel = Channel(self, registry, path)
        self._backoff = Backoff()
        self._connection: Connection | None = None
        self._read = 0

    def boot(self) -> None:
        """Begin to read."""
        self.up = True
        self._open()

    def question(self) -> object:
        """What to ask for now."""
        raise NotImplementedError

    def take(self, answer: object) -> None:
        """One answer."""
        raise NotImplementedError

    def told_of_gap(self) -> None:
        """What was asked for is no longer kept."""
        raise NotImplementedError

    def broke_off(self) -> None:
        """The stream ended."""

    def _open(self) -> None:
        self._channel.open(self._opened)

    def _opened(self, connection: Connection) -> None:
        self._connection = connection
        self._read = 0
        connection.on_message[DOWN] = partial(self._take, connection)
        connection.on_end[DOWN] = partial(self._ended, connection)
        self._registry.accept(connection)
        connection.up(self.question())

    def _take(self, connection: Connection, answer: object) -> None:
        if connection is not self._connection:
            return
        self._backoff.reset()
        self.take(answer)
        self._read += 1
        if self._read >= READ_AT_ONCE:
            connection.up(self._read)
            self._read = 0

    def _ended(self, connection: Connection, error: Exception | None) -> None:
        if connection is not self._connection:
            return
        self._connection = None
        if isinstance(error, RevisionCompacted):
            self.told_of_gap()
            self.later(0.0, self._open)
        else:
            self.broke_off()
            self.later(self._backoff.next_delay(self._dice.random()), self._open)


class SimWatcher(_Follower):
    """Follows the services, as `ServiceResume`."""

    def __init__(
        self, loop: Loop, registry: SimRegistry, observer: Observer, path: Path, name: str, dice: Random
    ) -> None:
        super().__init__(loop, registry, observer, path, name, dice)
        self.view: dict[str, Service] = {}
        self.revision = 0
        self._in_snapshot = True
        self._marked = False
        self._life = -1
        """The registry's life in which the last revision was seen."""

    def question(self) -> object:
        """From the last revision that was whole, 0 for a snapshot."""
        self._marked = False
        if self._in_snapshot:
            self._start_over()
        return words.Watch(0 if self._in_snapshot else self.revision)

    def take(self, answer: object) -> None:
        """A change, or the marker."""
        assert isinstance(answer, words.Changed)
        assert self._connection is not None
        change, life = answer.change, self._connection.lives[UP]
        if change is None:
            if answer.revision < self.revision:
                self.observer.breach(
                    "P7", f"{self.name} has {self.revision}, and is told that {answer.revision} is all"
                )
            self.revision = max(self.revision, answer.revision)
            self._in_snapshot, self._marked = False, True
            self._life = life
            return
        if not self._in_snapshot:
            # Behind a restart of the registry, what did not last until now is rightly left out, up to the marker.
            self._check_order(answer.revision, self._marked or life == self._life)
            self.observer.revision_seen(self.name, change)
        self.revision = max(self.revision, answer.revision)
        if change.service is None:
            self.view.pop(change.service_id, None)
        else:
            self.view[change.service_id] = change.service

    def told_of_gap(self) -> None:
        """Begin with a snapshot."""
        self._in_snapshot = True

    def _check_order(self, revision: int, next_one: bool) -> None:
        if revision <= self.revision:
            self.observer.breach("P7", f"{self.name} saw revision {revision} after {self.revision}")
        elif next_one and revision != self.revision + 1:
            self.observer.breach("P7", f"{self.name} saw revision {revision} after {self.revision}: some are left out")

    def _start_over(self) -> None:
        self.revision = 0
        self.view = {}


class SimLister(SimWatcher):
    """Reads a list page by page, and watches from there: as `ServicePages`, and `ServiceResume` after it.

    It lists again whenever its watch broke, and some times after a few changes.
    """

    _changes = 0
    _listed = 0

    def question(self) -> object:
        """The first page, or what came after the last revision that was whole."""
        if not self._in_snapshot:
            return super().question()
        self._start_over()
        return words.ListServices("", PAGE)

    def take(self, answer: object) -> None:
        """A page, or what a watcher receives."""
        connection = self._connection
        assert connection is not None
        if not isinstance(answer, words.Answer):
            super().take(answer)
            self._changes += 1
            if self._changes >= LISTED_AFTER and self._listed < LISTED_AGAIN:
                self._listed += 1
                self._connection = None
                connection.close(DOWN)
                self.broke_off()
                self.later(0.0, self._open)
            return
        self._read = -1  # pages are not counted
        if isinstance(answer.error, PageTokenExpired):
            connection.up(self.question())
            return
        page = answer.value
        assert isinstance(page, words.Listed)
        if self.revision not in (0, page.revision):
            self.observer.breach("P7", f"{self.name} was given pages of {self.revision} and {page.revision}")
        self.revision = page.revision
        self.view |= {each.spec.service_id: each for each in page.services}
        if page.token:
            connection.up(words.ListServices(page.token, PAGE))
            return
        if connection.lives[UP] == self._registry.life:
            self._check_list()
        self._in_snapshot = self.revision == 0  # where nothing ever happened, a watch from there is a snapshot
        self._life = connection.lives[UP]
        connection.up(words.Watch(self.revision))

    def _check_list(self) -> None:
        """The list, and what changed since its revision, is what the registry has."""
        core, listed = self._registry.core, {each: _fixed(view) for each, view in self.view.items()}
        for change in core.changes_since(self.revision):
            listed.pop(change.service_id, None)
            if change.service is not None:
                listed[change.service_id] = _fixed(change.service)
        if listed != {each.spec.service_id: _fixed(each) for each in core.shown()}:
            self.observer.breach("P7", f"{self.name} listed services as they never were at {self.revision}")

    def broke_off(self) -> None:
        """List again."""
        self._in_snapshot, self._changes = True, 0


def _fixed(service: Service) -> tuple[object, ...]:
    """What of a service has a revision at once."""
    return service.spec, service.incarnation, service.connected, service.liveness, service.cause, service.maintenance


class SimSubscriber(_Follower):
    """Follows the events, as `EventResume`; behind a gap it begins with what is left."""

    def __init__(
        self, loop: Loop, registry: SimRegistry, observer: Observer, path: Path, name: str, dice: Random
    ) -> None:
        super().__init__(loop, registry, observer, path, name, dice)
        self.sequence = 0

    def question(self) -> object:
        """From the last event that we have."""
        return words.Subscribe(self.sequence)

    def take(self, answer: object) -> None:
        """An event."""
        assert isinstance(answer, Event)
        if self.sequence and answer.sequence != self.sequence + 1:
            self.observer.breach("P7", f"{self.name} saw event {answer.sequence} after {self.sequence}")
        self.observer.event_seen(self.name, answer)
        self.sequence = answer.sequence

    def told_of_gap(self) -> None:
        """Begin with what is left."""
        self.sequence = 0


class SimOperator(Process):
    """Somebody who calls, and calls again until there is an answer: one call may be heard twice."""

    def __init__(self, loop: Loop, registry: SimRegistry, path: Path, dice: Random) -> None:
        super().__init__(loop, "operator")
        self.path = path
        self._registry = registry
        self._dice = dice

    def boot(self) -> None:
        """Ready to call."""
        self.up = True

    def call(self, word: object, then: Callable[[object], None], lose: int = 0) -> None:
        """Call until there is an answer, and hand its value on; an error of the registry ends it. The first `lose`
        answers are lost on their way."""
        backoff = Backoff()

        def attempt(lost: int) -> None:
            channel = Channel(self, self._registry, self.path)
            channel.open(partial(opened, lost))

        def opened(lost: int, connection: Connection) -> None:
            over = False

            def end(again: bool) -> None:
                nonlocal over
                if not over:
                    over = True
                    connection.close(DOWN)
                    if again:
                        self.later(backoff.next_delay(self._dice.random()), partial(attempt, lost - 1))

            def answered(answer: object) -> None:
                if over:
                    return
                assert isinstance(answer, words.Answer)
                if lost > 0:
                    end(again=True)
                    return
                end(again=False)
                if answer.error is None:
                    then(answer.value)

            connection.on_message[DOWN] = answered
            connection.on_end[DOWN] = lambda _: end(again=True)
            self._registry.accept(connection)
            connection.up(word)
            self.later(CALL_TIMEOUT, lambda: end(again=True))

        attempt(lose)
