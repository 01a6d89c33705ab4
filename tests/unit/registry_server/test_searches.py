"""What a caller may read is searched in parts, once for all who ask, and is always what the plain definition says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from grid_model.access import Grant, Principal, Role
from grid_model.errors import InvalidRequest, TronError
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from registry_server.core import reading_rights as reading_rights_module
from registry_server.core import searches as searches_module
from registry_server.core.partial_readers import PartialReader
from registry_server.core.reading_rights import PART, Access, ReadingRights
from registry_server.core.record import Record
from registry_server.core.rights import ancestors
from registry_server.core.searches import Search, Searches
from registry_server.core.validation import MAX_ANCESTORS
from tests.unit.registry_server.builders import make_spec, read
from tests.unit.registry_server.test_reading_rights import Family
from tests.unit.registry_server.test_rights import ANYONE, BOSS, principal

# --- searches -----------------------------------------------------------------------------------------------------


class World:
    """Something that changes, and searches of it that take three parts."""

    def __init__(self) -> None:
        self.version = 0
        self.begun = 0
        self.searches = Searches()

    def ask(self) -> Search[int]:
        """The search for the version."""
        return self.searches.get("version", self._find, lambda: self.version)

    def _find(self, found: dict[str, int]) -> Iterator[None]:
        self.begun += 1
        found["at"] = self.version
        yield
        yield


def test_a_search_is_kept_until_something_changes() -> None:
    world = World()
    assert [world.ask().result() for _ in range(3)] == [{"at": 0}] * 3
    assert world.begun == 1
    world.version = 1
    assert world.ask().result() == {"at": 1}


def test_all_who_ask_while_a_search_is_under_way_share_the_next_one_whatever_changes() -> None:
    world = World()
    first = world.ask()
    first.work()
    waiting = []
    for version in range(1, 6):
        world.version = version
        waiting.append(world.ask())
    assert waiting == [waiting[0]] * 5
    while not all(each.work() for each in waiting):
        world.version += 1
    assert world.begun == 2
    assert first.is_done
    assert waiting[0].found["at"] >= 5, "it has all that was true before any of them asked"


def test_the_searches_that_are_kept_are_bounded_in_number_and_in_what_they_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(searches_module, "MOST_KEPT", 3)
    searches = Searches()

    def find(found: dict[str, int]) -> Iterator[None]:
        found.update(dict.fromkeys(map(str, range(10)), 0))
        return iter(())

    for number in range(9):
        searches.get(number, find, int).result()
    assert len(searches) == 3
    monkeypatch.setattr(searches_module, "MOST_FOUND", 15)
    searches.get(9, find, int)
    assert len(searches) == 2


# --- the work -----------------------------------------------------------------------------------------------------

OWNED = 3000


class Crowd(Family):
    """A caller with a chain of thousands of services, each the parent of the next; it is built from its end."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.visited = 0
        self.who = principal("crowd", "agent crowd-*")
        for number in range(OWNED):
            parent = f"crowd-{number + 1}" if number < OWNED - 1 else "stranger"
            self.register(self.who, f"crowd-{number}", parent=parent)
        find = self.registry.parent_of

        def parent_of(record: Record) -> str:
            self.visited += 1
            return find(record)

        monkeypatch.setattr(self.registry, "parent_of", parent_of)


@pytest.fixture
def crowd(monkeypatch: pytest.MonkeyPatch) -> Crowd:
    return Crowd(monkeypatch)


def test_reads_of_one_caller_visit_its_services_once_until_anything_changes(crowd: Crowd) -> None:
    for _ in range(50):
        assert crowd.reading(crowd.who).access("stranger") is Access.LIVENESS
        assert crowd.reading(crowd.who).access("boss-root") is Access.NONE
    assert 0 < crowd.visited <= 2 * OWNED
    before = crowd.visited
    crowd.register(ANYONE, "stranger-2")
    crowd.reading(crowd.who).access("boss-root")
    assert before < crowd.visited <= before + 2 * OWNED


def test_a_list_of_all_services_needs_one_search(crowd: Crowd) -> None:
    search = crowd.reading(crowd.who).ancestors()
    search.result()
    visited = crowd.visited
    seen = [crowd.reading(crowd.who).seen(each, search) for each in crowd.registry.shown()]
    assert sum(each is not None for each in seen) == OWNED + 1
    assert crowd.visited == visited


@pytest.mark.parametrize("what", [ReadingRights.ancestors, ReadingRights.scope])
def test_no_part_of_a_search_visits_many_services(crowd: Crowd, what: Callable[[ReadingRights], Search[Any]]) -> None:
    search, parts, most = what(crowd.reading(crowd.who)), 1, 0
    done = False
    while not done:
        before = crowd.visited
        done = search.work()
        parts, most = parts + 1, max(most, crowd.visited - before)
    assert most <= PART + 1
    assert parts >= OWNED / PART
    assert search.found["stranger"]


def test_a_watch_goes_over_all_that_it_shows_only_if_that_changed(crowd: Crowd) -> None:
    reader = crowd.reader(crowd.who)
    parts = list(reader.beginning())
    assert max(map(len, parts)) <= PART
    assert len(parts) > OWNED / PART
    crowd.register(ANYONE, "stranger-2")
    crowd.commit()
    shown = [len(part) for part in reader.next() if part]
    assert shown == []
    crowd.deregister("crowd-2999")
    crowd.commit()
    assert {each.service_id for each in read(reader.next())} == {"crowd-2999", "stranger"}


def test_a_chain_of_parents_may_not_be_long(family: Family) -> None:
    for number in range(MAX_ANCESTORS + 1):
        family.register(ANYONE, f"n-{number}", parent=f"n-{number - 1}" if number else "")
    with pytest.raises(InvalidRequest, match=r"service\.parent: a service may have at most 256 ancestors"):
        family.register(ANYONE, "n-more", parent=f"n-{MAX_ANCESTORS}")
    family.register(ANYONE, f"n-{MAX_ANCESTORS}", parent="n-0")
    family.register(ANYONE, "n-more", parent=f"n-{MAX_ANCESTORS}")


def test_the_check_of_a_recipient_walks_a_bounded_number_of_ancestors(crowd: Crowd) -> None:
    rights = crowd.rights(crowd.who)
    assert rights._is_ancestor("crowd-200", "crowd-0")  # noqa: SLF001 - the rate of events would be in the way
    crowd.visited = 0
    assert not rights._is_ancestor("stranger", "crowd-0")  # noqa: SLF001
    assert crowd.visited <= MAX_ANCESTORS


# --- a right that ends ----------------------------------------------------------------------------------------------


@pytest.fixture
def family() -> Family:
    return Family()


def test_a_right_that_ends_while_it_is_searched_for_is_not_granted(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_rights_module, "PART", 1)
    reading = family.reading(BOSS)
    family.register(BOSS, "boss-2", parent="stranger")
    search = reading.ancestors()
    while "stranger" not in search.found:
        search.work()
    family.register(BOSS, "boss-2")
    search.result()
    assert "stranger" in search.found
    assert reading.access_by(search, "stranger") is Access.NONE
    assert reading.access("stranger") is Access.NONE


# --- any changes ----------------------------------------------------------------------------------------------------

IDS = ("a-1", "a-2", "b-1", "b-2", "c")
NAMES = (*IDS, "twin")
GRANTS = ("agent a-*", "agent b-*", "agent a-1", "observer c", "agent *")
REFUSED = ((), ("a-*",), ("*",))


def plain(family: Family, who: Principal) -> dict[str, Access]:
    """What an agent may read, by the definition: its own services, their children, and the liveness of ancestors."""
    registry, rights = family.registry, family.rights(who)
    own = [each for each in registry.records if rights.owns(each)]
    found: dict[str, Access] = {}
    for service_id, record in registry.records.items():
        parent = registry.resolve(record.spec.parent) if record.spec.parent else None
        if service_id in own or (parent is not None and parent.spec.service_id in own):
            found[service_id] = Access.ALL
    for service_id in own:
        for ancestor in ancestors(registry, service_id):
            found.setdefault(ancestor.spec.service_id, Access.LIVENESS)
    for service_id in registry.records:
        if who.may(Role.OBSERVER, service_id):
            found[service_id] = Access.ALL
    return found


class Changes(RuleBasedStateMachine):
    """Registrations, removals, other parents, names, refusals, owners and grants, while callers read and watch."""

    @initialize()
    def begin(self) -> None:
        """An empty registry; a part of a search visits one service."""
        reading_rights_module.PART = 1
        self.family = Family()
        for service_id in list(self.family.registry.records):
            self.family.deregister(service_id)
        self.callers = {
            name: Principal(f"token:{name}", (Grant(Role.AGENT, "*"),), group)
            for name, group in (("one", ""), ("two", "team"), ("three", "team"))
        }
        self.pending: list[tuple[ReadingRights, Search[str], Principal]] = []
        self.watches: dict[str, PartialReader] = {}
        self.views: dict[str, dict[str, Access]] = {}

    @rule(
        name=st.sampled_from(("one", "two", "three")),
        service_id=st.sampled_from(IDS),
        called=st.sampled_from(NAMES),
        parent=st.sampled_from(("", *NAMES)),
        refused=st.sampled_from(REFUSED),
    )
    def register(self, name: str, service_id: str, called: str, parent: str, refused: tuple[str, ...]) -> None:
        """A caller registers a service, or registers it anew with other values."""
        spec = make_spec(service_id, name=called, parent=parent, refused_children=refused, url="url")
        try:
            owner = self.family.rights(self.callers[name]).check_registration(spec)
            self.family.registry.register(spec, 0, "", None, self.family.grid.later(), owner=owner)
        except TronError:
            return

    @rule(service_id=st.sampled_from(IDS))
    def remove(self, service_id: str) -> None:
        """A service leaves."""
        if service_id in self.family.registry.records:
            self.family.deregister(service_id)

    @rule(service_id=st.sampled_from(IDS))
    def release(self, service_id: str) -> None:
        """An operator ends the ownership of an id whose service has left."""
        registry = self.family.registry
        if service_id not in registry.records and registry.owner_of(service_id):
            registry.release_owner(service_id, self.family.grid.later())

    @rule(service_id=st.sampled_from(IDS))
    def register_without_an_owner(self, service_id: str) -> None:
        """A service registers without authentication."""
        if service_id not in self.family.registry.records:
            spec = make_spec(service_id, url="url")
            self.family.registry.register(spec, 0, "", None, self.family.grid.later())

    @rule(name=st.sampled_from(("one", "two", "three")), service_id=st.sampled_from(IDS))
    def claim(self, name: str, service_id: str) -> None:
        """A caller becomes the owner of an id that had none."""
        record = self.family.registry.records.get(service_id)
        if record is not None:
            self.family.rights(self.callers[name]).admits(record)

    @rule(name=st.sampled_from(("one", "two", "three")), grants=st.sets(st.sampled_from(GRANTS), min_size=1))
    def grant(self, name: str, grants: set[str]) -> None:
        """A caller gets other grants; its watch ends, as the stream of a caller with other grants does."""
        self.callers[name] = principal(name, *sorted(grants), group=self.callers[name].group)
        self.watches.pop(name, None)

    @rule(name=st.sampled_from(("one", "two", "three")), parts=st.integers(0, 3))
    def ask(self, name: str, parts: int) -> None:
        """A caller begins a search, which is not over when other things change."""
        registry = self.family.registry
        reading = ReadingRights(registry, self.family.rights(self.callers[name]))
        kept, registry.searches = registry.searches, Searches()  # else the invariant would finish it
        search = reading.ancestors()
        for _ in range(parts):
            search.work()
        registry.searches = kept
        self.pending.append((reading, search, self.callers[name]))

    @rule()
    def answer(self) -> None:
        """The searches that are under way are finished: none grants a right that has ended."""
        for reading, search, who in self.pending:
            search.result()
            right = plain(self.family, who)
            for service_id in self.family.registry.records:
                assert reading.access_by(search, service_id) <= right.get(service_id, Access.NONE)
        self.pending.clear()

    @rule(name=st.sampled_from(("one", "two", "three")))
    def watch(self, name: str) -> None:
        """A caller opens a watch."""
        self.family.commit()
        rights = ReadingRights(self.family.registry, self.family.rights(self.callers[name]))
        self.watches[name] = reader = PartialReader(self.family.registry, self.family.commits, 0, rights)
        self.views[name] = {each.service_id: self._shown(each.service) for each in read(reader.beginning())}

    @rule()
    def commit_and_read(self) -> None:
        """All is durable, and something changes after it: each watch shows what its caller may read, and no more."""
        registry = self.family.registry
        registry.register(make_spec("other"), 0, "", None, self.family.grid.later())
        self.family.deregister("other")
        self.family.commit()
        for name, reader in self.watches.items():
            view = self.views[name]
            for change in read(reader.next()):
                if change.service is None:
                    del view[change.service_id]
                else:
                    view[change.service_id] = self._shown(change.service)
            assert view == plain(self.family, self.callers[name]), name

    def teardown(self) -> None:
        """Parts are as long as before."""
        reading_rights_module.PART = PART

    @staticmethod
    def _shown(service: Any) -> Access:
        return Access.ALL if service.spec.url else Access.LIVENESS

    @invariant()
    def every_read_is_what_the_definition_says(self) -> None:
        """The kept answers are those of the plain definition."""
        for who in self.callers.values():
            reading = ReadingRights(self.family.registry, self.family.rights(who))
            right = plain(self.family, who)
            scope = reading.scope().result()
            for service_id in self.family.registry.records:
                wanted = right.get(service_id, Access.NONE)
                assert reading.access(service_id) is wanted, (who.name, service_id)
                assert reading.access_in(scope, service_id) is wanted, (who.name, service_id)


Changes.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestChanges = Changes.TestCase
