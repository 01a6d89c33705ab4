"""An agent reads its own services, their children, and the liveness of their ancestors."""

from __future__ import annotations

import pytest
from grid_model.access import LOCAL, Principal
from grid_model.declaration import Declaration
from grid_model.errors import RevisionCompacted
from grid_model.event import OPERATORS
from grid_model.service import ServiceStatus

from registry_server.core.changes import Change
from registry_server.core.commits import Commits
from registry_server.core.event_log import EventFilter
from registry_server.core.partial_readers import PartialReader
from registry_server.core.readers import EventReader
from registry_server.core.reading_rights import Access, ReadingRights, reading_rights
from registry_server.core.record import Record
from registry_server.core.service import Report, Service
from tests.unit.registry_server.builders import make_event, read
from tests.unit.registry_server.test_rights import ANYONE, BOSS, OPERATOR, WORKER, Bench, principal

OBSERVER = principal("observer", "observer *")
TEAM = principal("team", "observer worker-*")
JUDGE = principal("tron", "judge tron")
TOOL = principal("tool", "agent tool-*")


class Family(Bench):
    """root (of boss) - boss-1 (of boss) - worker-1, worker-2 (of worker) - tool-1 (of tool); and a stranger."""

    def __init__(self) -> None:
        super().__init__()
        self.registry.follow_parents()
        self.commits = Commits()
        labels = {"secret": "x"}
        self.register(BOSS, "boss-root", url="grpc://root", labels=labels)  # type: ignore[arg-type]
        self.register(BOSS, "boss-1", parent="boss-root", url="grpc://boss")
        self.register(WORKER, "worker-1", parent="boss-1")
        self.register(WORKER, "worker-2", parent="boss-1")
        self.register(TOOL, "tool-1", parent="worker-1", url="grpc://tool")
        self.register(ANYONE, "stranger")

    def reading(self, who: Principal) -> ReadingRights:
        """What a caller may read, which is not everything."""
        found = reading_rights(self.registry, self.rights(who))
        assert found is not None
        return found

    def access(self, who: Principal) -> dict[str, Access]:
        """How much of each service a caller may read."""
        reading = self.reading(who)
        found = {service_id: reading.access(service_id) for service_id in self.registry.records}
        assert found == {
            service_id: reading.access_in(reading.scope().result(), service_id) for service_id in self.registry.records
        }, "both ways to ask agree"
        return {service_id: access for service_id, access in found.items() if access is not Access.NONE}

    def seen(self, who: Principal, service: Service) -> Service | None:
        """A service as a caller sees it."""
        reading = self.reading(who)
        ancestors = reading.ancestors()
        ancestors.result()
        return reading.seen(service, ancestors)

    def commit(self) -> None:
        """Everything so far is durable and released."""
        self.commits.add(self.registry.take(), self.registry.revision, self.registry.last_event)
        batch = self.commits.take()
        if batch is not None:
            self.commits.committed(batch.position, 0.0)
        while self.commits.release(0.0) is not None:
            pass
        self.commits.advance(float("inf"))

    def reader(self, who: Principal, start_revision: int = 0) -> PartialReader:
        """A watch of a caller."""
        self.commit()
        return PartialReader(self.registry, self.commits, start_revision, self.reading(who))

    def deregister(self, service_id: str) -> None:
        """A service is removed."""
        self.registry.deregister(service_id, "", self.grid.later())


@pytest.fixture
def family() -> Family:
    return Family()


def shown(changes: list[Change]) -> dict[str, str]:
    """The url of each service that changed; `removed` for one that is no longer visible."""
    return {each.service_id: "removed" if each.service is None else each.service.spec.url for each in changes}


def test_an_agent_reads_its_own_services_their_children_and_the_liveness_of_ancestors(family: Family) -> None:
    assert family.access(WORKER) == {
        "worker-1": Access.ALL,
        "worker-2": Access.ALL,
        "tool-1": Access.ALL,
        "boss-1": Access.LIVENESS,
        "boss-root": Access.LIVENESS,
    }
    assert family.access(TOOL) == {
        "tool-1": Access.ALL,
        "worker-1": Access.LIVENESS,
        "boss-1": Access.LIVENESS,
        "boss-root": Access.LIVENESS,
    }
    assert family.access(BOSS) == dict.fromkeys(("boss-root", "boss-1", "worker-1", "worker-2"), Access.ALL)


def test_the_question_whether_a_service_is_an_ancestor_visits_each_ancestor_once(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3, 200):
        family.register(WORKER, f"worker-{number}", parent="boss-1")
    resolved: list[str] = []
    resolve = family.registry.resolve

    def counted(id_or_name: str) -> Record | None:
        resolved.append(id_or_name)
        return resolve(id_or_name)

    monkeypatch.setattr(family.registry, "resolve", counted)
    assert family.reading(WORKER).access("stranger") is Access.NONE
    assert len(resolved) < 10


def test_a_grant_alone_does_not_show_the_services_of_other_owners(family: Family) -> None:
    assert family.access(ANYONE) == {"stranger": Access.ALL}


def test_observers_tron_and_systems_without_authentication_read_everything(family: Family) -> None:
    for each in (OBSERVER, OPERATOR, principal("admin", "admin *"), JUDGE):
        assert reading_rights(family.registry, family.rights(each)) is None
    assert reading_rights(family.registry, None) is None
    assert LOCAL.grants


def test_an_observer_of_some_ids_reads_those(family: Family) -> None:
    assert family.access(TEAM) == {"worker-1": Access.ALL, "worker-2": Access.ALL}


def test_a_relay_reads_what_the_agent_reads_for_which_it_speaks(family: Family) -> None:
    family.principals["token:observer"] = principal("observer", "agent worker-*", "observer *")
    rights = family.rights(principal("relay", "relay *", "observer *")).speaking_for("token:observer")
    reading = reading_rights(family.registry, rights)
    assert reading is not None
    assert reading.access("stranger") is Access.NONE


def test_of_an_ancestor_only_the_liveness_is_shown(family: Family) -> None:
    record = family.registry.get("boss-root")
    record.report = Report(status=ServiceStatus.BLOCKED, message="a secret")
    view = family.registry.view(record)
    seen = family.seen(WORKER, view)
    assert seen is not None
    assert (seen.liveness, seen.incarnation, seen.connected) == (view.liveness, view.incarnation, view.connected)
    assert seen.spec == Declaration("boss-root", "boss-root")
    assert seen.report == Report()
    assert family.seen(WORKER, family.registry.view(family.registry.get("stranger"))) is None


def test_a_list_has_what_the_caller_may_read_and_no_more_of_it(family: Family) -> None:
    seen = [family.seen(WORKER, each) for each in family.registry.shown()]
    found = {each.spec.service_id: each.spec for each in seen if each is not None}
    assert sorted(found) == ["boss-1", "boss-root", "tool-1", "worker-1", "worker-2"]
    assert (found["boss-root"].url, found["boss-root"].labels, found["tool-1"].url) == ("", {}, "grpc://tool")


def test_services_that_are_gone_are_read_by_their_owner_and_by_the_owner_of_their_parent(family: Family) -> None:
    family.deregister("tool-1")
    gone = list(family.registry.tombstones.values())
    for who, count in ((TOOL, 1), (WORKER, 1), (BOSS, 0), (ANYONE, 0), (TEAM, 0)):
        assert sum(family.reading(who).reads(each.service_id) for each in gone) == count, who


# --- events -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "readers"),
    [
        ({"service_id": "worker-1"}, {"worker", "boss", "team"}),
        ({"service_id": "tool-1", "recipient": "worker-1"}, {"tool", "worker"}),
        ({"service_id": "boss-root", "recipient": OPERATORS}, {"boss"}),
        ({"service_id": "stranger", "recipient": "boss-1"}, {"anyone", "boss"}),
        ({"recipient": OPERATORS}, set()),
        ({}, set()),
    ],
)
def test_events_are_read_by_whom_they_concern(family: Family, fields: dict[str, str], readers: set[str]) -> None:
    event = make_event(**fields)
    found = {who.name for who in (WORKER, BOSS, TOOL, ANYONE, TEAM) if family.reading(who).admits(event)}
    assert found == {f"token:{name}" for name in readers}


def test_the_end_of_a_child_is_read_by_the_owner_of_its_parent(family: Family) -> None:
    family.deregister("tool-1")
    assert family.reading(WORKER).admits(make_event("service_deregistered", service_id="tool-1"))


def test_a_subscription_has_the_events_that_the_caller_may_read(family: Family) -> None:
    for service_id in ("worker-1", "stranger", "worker-2"):
        family.registry.publish(make_event(service_id=service_id), family.grid.later())
    family.commit()
    may_read = family.reading(WORKER).admits
    reader = EventReader(family.registry, family.commits, 0, EventFilter(), may_read)
    events = reader.recent()
    assert events is not None
    assert [each.service_id for each in events] == ["worker-1", "worker-2"]
    assert reader.sequence == 3
    assert reader.stored([make_event(service_id="stranger", sequence=3)], 3) == []


# --- watches ------------------------------------------------------------------------------------------------------


def test_a_watch_of_an_agent_begins_with_what_it_may_read(family: Family) -> None:
    reader = family.reader(WORKER)
    assert shown(read(reader.beginning())) == {
        "worker-1": "", "worker-2": "", "tool-1": "grpc://tool", "boss-1": "", "boss-root": "",
    }  # fmt: skip


def test_a_watch_of_an_agent_cannot_resume_because_what_it_may_read_may_have_changed(family: Family) -> None:
    with pytest.raises(RevisionCompacted):
        family.reader(WORKER, family.registry.revision)


def test_a_child_and_an_ancestor_appear_with_the_registration_that_makes_them_visible(family: Family) -> None:
    reader = family.reader(principal("late", "agent late-*"))
    assert read(reader.beginning()) == []
    family.register(ANYONE, "late-child", parent="late-1")
    family.commit()
    assert read(reader.next()) == []
    family.register(principal("late", "agent late-*"), "late-1", parent="worker-1")
    family.commit()
    assert set(shown(read(reader.next()))) == {"late-1", "late-child", "worker-1", "boss-1", "boss-root"}
    family.deregister("late-1")
    family.commit()
    gone = ("late-1", "late-child", "worker-1", "boss-1", "boss-root")
    assert shown(read(reader.next())) == dict.fromkeys(gone, "removed")


def test_changes_of_strangers_are_not_sent(family: Family) -> None:
    reader = family.reader(WORKER)
    read(reader.beginning())
    for service_id in ("stranger", "boss-1", "tool-1"):
        family.registry.promote(service_id, family.registry.get(service_id).spec.role, 2)  # type: ignore[arg-type]
    family.deregister("stranger")
    family.commit()
    assert set(shown(read(reader.next()))) == {"boss-1", "tool-1"}


def test_what_is_not_durable_is_not_sent_though_it_makes_others_visible(family: Family) -> None:
    late = principal("late", "agent late-*")
    reader = family.reader(late)
    read(reader.beginning())
    family.register(ANYONE, "stranger-2")
    family.commits.add(family.registry.take(), family.registry.revision, family.registry.last_event)
    family.register(late, "late-1", parent="stranger-2")
    family.register(ANYONE, "stranger-2", url="grpc://new")
    batch = family.commits.take()
    assert batch is not None
    family.commits.committed(batch.position, 0.0)
    while family.commits.release(0.0) is not None:
        pass
    family.commits.advance(float("inf"))
    (durable,) = read(reader.next())
    family.commit()
    changes = {each.service_id: each.service for each in read(reader.next())}
    assert set(changes) == {"late-1", "stranger-2"}
    assert durable.service != changes["stranger-2"], "only the first registration was durable"


def test_a_service_that_moves_to_another_parent_is_no_longer_visible_to_the_former_one(family: Family) -> None:
    reader = family.reader(WORKER)
    read(reader.beginning())
    family.register(TOOL, "tool-1", parent="boss-1")
    family.commit()
    assert shown(read(reader.next())) == {"tool-1": "removed"}


def test_an_observer_of_some_ids_watches_those(family: Family) -> None:
    reader = family.reader(TEAM)
    assert set(shown(read(reader.beginning()))) == {"worker-1", "worker-2"}
    family.register(ANYONE, "stranger-2")
    family.deregister("worker-2")
    family.commit()
    assert shown(read(reader.next())) == {"worker-2": "removed"}


def test_heartbeats_are_shown_only_of_services_that_are(family: Family) -> None:
    reader = family.reader(TOOL)
    read(reader.beginning())
    heard = [(each.incarnation, 1.0) for each in family.registry.records.values()]
    wanted = {family.registry.get(each).incarnation for each in ("tool-1", "worker-1", "boss-1", "boss-root")}
    assert {incarnation for incarnation, _ in reader.heard(heard)} == wanted
