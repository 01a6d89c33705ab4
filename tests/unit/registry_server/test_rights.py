"""A caller acts only with ids that its grants match and that are its own; a relay, only as agents within its grants."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from grid_model.access import Grant, Principal, Role
from grid_model.errors import InvalidRequest, NotOwner, PermissionDenied, QuotaExceeded
from grid_model.event import OPERATORS, Event
from grid_model.event_types import EVENT_TYPES

import registry_server.server
import tron.server
from registry_server.core.publish_rate import MOST_BUCKETS, PUBLISHED_A_SECOND, PublishRate
from registry_server.core.rights import RESERVED, Rights, check_distinct
from tests.unit.registry_server.builders import Grid, make_event, make_spec


def principal(name: str, *grants: str, group: str = "") -> Principal:
    """A principal with grants such as `agent worker-*`."""
    found = [text.split(" ", 1) for text in grants]
    return Principal(f"token:{name}", tuple(Grant(Role[role.upper()], pattern) for role, pattern in found), group)


WORKER = principal("worker", "agent worker-*", "agent boss-child")
TWIN = principal("twin", "agent worker-*")
BOSS = principal("boss", "agent boss*")
ANYONE = principal("anyone", "agent *")
RELAY = principal("relay", "relay worker-*")
OPERATOR = principal("operator", "operator *")
PRINCIPALS = {each.name: each for each in (WORKER, TWIN, BOSS, RELAY, OPERATOR)}


class Bench:
    """A registry with services of several owners, and the rights of callers."""

    def __init__(self) -> None:
        self.grid = Grid()
        self.registry = self.grid.registry
        self.rate = PublishRate()
        self.principals = dict(PRINCIPALS)

    def rights(self, who: Principal) -> Rights:
        """The rights of a caller."""
        return Rights(self.registry, who, find=self.principals.get, rate=self.rate)

    def register(self, who: Principal, service_id: str, **fields: str) -> None:
        """A principal registers a service."""
        spec = make_spec(service_id, **fields)
        owner = self.rights(who).check_registration(spec)
        self.registry.register(spec, 0, "", None, self.grid.later(), owner=owner)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_the_id_and_the_name_must_match_a_grant(bench: Bench) -> None:
    rights = bench.rights(WORKER)
    assert rights.check_registration(make_spec("worker-1", name="worker-one")) == "token:worker"
    with pytest.raises(PermissionDenied, match="token:worker has no agent grant for the id 'boss'"):
        rights.check_registration(make_spec("boss", name="worker-1"))
    with pytest.raises(PermissionDenied, match="token:worker has no agent grant for the name 'boss'"):
        rights.check_registration(make_spec("worker-1", name="boss"))


def test_the_principals_of_a_group_own_ids_together(bench: Bench) -> None:
    first = principal("pod-1", "agent worker-*", group="batch")
    second = principal("pod-2", "agent worker-*", group="batch")
    bench.register(first, "worker-1")
    assert bench.registry.owner_of("worker-1") == "group:batch"
    bench.register(second, "worker-1")
    with pytest.raises(NotOwner):
        bench.register(TWIN, "worker-1")


@pytest.mark.parametrize("role", ["observer", "relay", "judge", "operator", "admin"])
def test_no_other_role_registers_services(bench: Bench, role: str) -> None:
    with pytest.raises(PermissionDenied):
        bench.register(principal("x", f"{role} *"), "a")


def test_an_id_of_another_owner_is_refused_though_the_grant_matches(bench: Bench) -> None:
    bench.register(WORKER, "worker-1")
    twin = bench.rights(TWIN)
    attempts: list[Callable[[], object]] = [
        lambda: twin.check_registration(make_spec("worker-1")),
        lambda: twin.check_acts_as("worker-1"),
        lambda: twin.check_deregister("worker-1"),
        lambda: twin.may_acknowledge("worker-1"),
        lambda: twin.check_publish(make_event(service_id="worker-1"), 0.0),
    ]
    for attempt in attempts:
        with pytest.raises(NotOwner, match="the id 'worker-1' belongs to another owner"):
            attempt()
    assert not twin.admits(bench.registry.get("worker-1"))
    assert bench.rights(WORKER).admits(bench.registry.get("worker-1"))


def test_nobody_learns_the_name_or_the_id_of_a_service_of_others(bench: Bench) -> None:
    bench.register(ANYONE, "worker-1", name="secret")
    bench.register(ANYONE, "secret-id", name="worker-9")
    twin = bench.rights(TWIN)
    attempts: list[Callable[[], object]] = [
        lambda: twin.check_acts_as("worker-1"),
        lambda: twin.check_deregister("worker-1"),
        lambda: twin.may_acknowledge("worker-1"),
        lambda: twin.check_registration(make_spec("worker-1", name="worker-1"), incarnation=1),
    ]
    for attempt in attempts:
        with pytest.raises(NotOwner) as caught:
            attempt()
        assert "secret" not in str(caught.value)
    for each in (TWIN, principal("team", "operator worker-*")):
        assert not bench.rights(each).may_acknowledge("worker-9"), "answered as if no service had this name"
    with pytest.raises(PermissionDenied, match=r"has no agent grant for the id 'secret'$"):
        twin.may_acknowledge("secret")
    bench.registry.deregister("worker-1", "", bench.grid.later())
    with pytest.raises(NotOwner):
        twin.may_acknowledge("worker-1")


def test_the_id_stays_with_its_owner_after_tron_removed_the_service(bench: Bench) -> None:
    bench.register(WORKER, "worker-1")
    bench.registry.deregister("worker-1", "", bench.grid.later())
    with pytest.raises(NotOwner):
        bench.register(TWIN, "worker-1")
    bench.registry.release_owner("worker-1", bench.grid.later())
    bench.register(TWIN, "worker-1")


def test_reserved_ids_and_names_need_a_grant_that_names_them(bench: Bench) -> None:
    for reserved in RESERVED:
        with pytest.raises(PermissionDenied):
            bench.rights(ANYONE).check_registration(make_spec(reserved, name="x"))
        with pytest.raises(PermissionDenied):
            bench.rights(ANYONE).check_registration(make_spec("x", name=reserved))
    own = principal("tron", "agent tron-heartbeat-monitor", "agent TRON Heartbeat Monitor")
    bench.rights(own).check_registration(make_spec("tron-heartbeat-monitor", name="TRON Heartbeat Monitor"))


def test_the_ids_of_the_registry_and_of_tron_are_reserved() -> None:
    assert {registry_server.server.SERVICE_ID, tron.server.SERVICE_ID, OPERATORS} <= RESERVED


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("plain", ""),
        ("caf\u00e9", ""),
        ("caf\u0065\u0301", "normalization form C"),
        ("worker\u034f", "not displayed"),
        ("worker\ufe0f", "not displayed"),
        ("\u3164", "not displayed"),
        ("work\u200ber", "not displayed"),
        ("worker\U000e0100", "not displayed"),
    ],
)
def test_ids_that_look_like_others_are_refused(text: str, why: str) -> None:
    assert [why in error.description for error in check_distinct("service.service_id", text)] == [True] * bool(why)


def test_such_an_id_is_an_invalid_request_that_names_the_field(bench: Bench) -> None:
    with pytest.raises(InvalidRequest) as caught:
        bench.rights(ANYONE).check_registration(make_spec("a\u034f", name="b\ufe0f"))
    assert [each.field for each in caught.value.fields] == ["service.service_id", "service.name"]


def test_a_service_without_an_owner_belongs_to_the_first_that_sends_its_heartbeats(bench: Bench) -> None:
    bench.grid.register("worker-1", name="worker-1")
    assert bench.rights(WORKER).admits(bench.registry.get("worker-1"))
    assert not bench.rights(TWIN).admits(bench.registry.get("worker-1"))
    assert bench.registry.owner_of("worker-1") == "token:worker"


def test_heartbeats_need_the_name_too_because_alerts_come_by_it(bench: Bench) -> None:
    bench.grid.register("worker-1", name="boss")
    assert not bench.rights(WORKER).admits(bench.registry.get("worker-1"))
    with pytest.raises(PermissionDenied, match=r"has no grant for the name of the service 'worker-1'$"):
        bench.rights(WORKER).check_acts_as("worker-1")


# --- operators ----------------------------------------------------------------------------------------------------


def test_an_operator_acts_on_the_ids_of_its_grants_and_an_agent_on_none(bench: Bench) -> None:
    bench.register(WORKER, "worker-1")
    team = bench.rights(principal("team", "operator worker-*"))
    team.check_deregister("worker-1")
    team.check_maintenance("worker-1")
    team.may_acknowledge("worker-1")
    bench.register(principal("any", "agent *"), "boss-1", name="worker-9")
    attempts: list[Callable[[], object]] = [
        lambda: team.check_operator(),
        lambda: team.check_operator("boss"),
        lambda: team.check_deregister("boss"),
        lambda: team.may_acknowledge(""),
        lambda: team.may_acknowledge(OPERATORS),
        lambda: bench.rights(principal("team", "operator o*")).may_acknowledge(OPERATORS),
        lambda: bench.rights(principal("team", "admin worker-*")).may_acknowledge(OPERATORS),
        lambda: bench.rights(WORKER).check_operator("worker-1"),
        lambda: bench.rights(WORKER).check_maintenance("worker-1"),
        lambda: bench.rights(WORKER).may_acknowledge(""),
        lambda: bench.rights(WORKER).may_acknowledge(OPERATORS),
    ]
    for attempt in attempts:
        with pytest.raises(PermissionDenied):
            attempt()
    for each in (OPERATOR, principal("admin", "admin *")):
        bench.rights(each).check_operator()
        bench.rights(each).may_acknowledge("")
        bench.rights(each).may_acknowledge(OPERATORS)


def test_an_agent_acknowledges_for_its_own_services_by_id_or_name(bench: Bench) -> None:
    bench.register(BOSS, "boss-1", name="boss")
    assert bench.rights(BOSS).may_acknowledge("boss-1")
    assert bench.rights(BOSS).may_acknowledge("boss")
    with pytest.raises(PermissionDenied):
        bench.rights(WORKER).may_acknowledge("boss")


def test_a_judge_is_the_observer_that_its_grant_names(bench: Bench) -> None:
    judge = bench.rights(principal("tron", "judge tron"))
    judge.check_observer("tron")
    judge.check_maintenance("anything")
    judge.may_acknowledge(OPERATORS)
    attempts: list[Callable[[], object]] = [
        lambda: judge.check_observer("other"),
        lambda: judge.may_acknowledge("worker-1"),
        lambda: judge.may_acknowledge(""),
        lambda: bench.rights(OPERATOR).check_observer("tron"),
    ]
    for attempt in attempts:
        with pytest.raises(PermissionDenied):
            attempt()


# --- publishing ---------------------------------------------------------------------------------------------------


def published(bench: Bench, who: Principal, now: float = 0.0, **fields: str) -> Event:
    """The event as it would be published."""
    return bench.rights(who).check_publish(make_event(**fields), now)


def test_an_event_names_its_publisher_and_has_an_id_that_only_its_owner_can_have(bench: Bench) -> None:
    bench.register(WORKER, "worker-1")
    event = published(bench, WORKER, service_id="worker-1", alert_id="mine")
    assert (event.published_by, event.via) == ("token:worker", "")
    assert event.alert_id != "mine"
    assert event.alert_id == published(bench, WORKER, service_id="worker-1", alert_id="mine").alert_id
    bench.register(BOSS, "boss")
    assert event.alert_id != published(bench, BOSS, service_id="boss", alert_id="mine").alert_id


def test_an_event_goes_only_to_ancestors_and_operators(bench: Bench) -> None:
    bench.register(BOSS, "boss-root", name="boss-root")
    bench.register(BOSS, "boss-2", parent="boss-root")
    bench.register(WORKER, "worker-1", parent="boss-2")
    bench.register(BOSS, "boss-other")
    for recipient in ("", OPERATORS, "boss-2", "boss-root"):
        assert published(bench, WORKER, service_id="worker-1", recipient=recipient).recipient == recipient
    for recipient in ("boss-other", "worker-1", "nobody"):
        with pytest.raises(PermissionDenied, match=f"{recipient!r} is not an ancestor of 'worker-1'"):
            published(bench, WORKER, service_id="worker-1", recipient=recipient)


@pytest.mark.parametrize("kind", sorted(EVENT_TYPES))
def test_no_agent_publishes_an_event_of_tron(bench: Bench, kind: str) -> None:
    with pytest.raises(PermissionDenied, match="only TRON may publish"):
        bench.rights(WORKER).check_publish(make_event(kind, service_id="worker-1"), 0.0)


def test_an_event_is_about_an_own_service(bench: Bench) -> None:
    for service_id, name in (("", ""), ("boss", ""), ("worker-1", "boss")):
        with pytest.raises(PermissionDenied):
            published(bench, WORKER, service_id=service_id, service_name=name)


def test_a_principal_publishes_ten_events_a_second(bench: Bench) -> None:
    bench.register(WORKER, "worker-1")
    for _ in range(PUBLISHED_A_SECOND):
        published(bench, WORKER, 5.0, service_id="worker-1")
    with pytest.raises(QuotaExceeded, match="at most 10 events per second"):
        published(bench, WORKER, 5.0, service_id="worker-1")
    bench.register(BOSS, "boss")
    published(bench, BOSS, 5.0, service_id="boss")
    published(bench, WORKER, 5.15, service_id="worker-1")
    with pytest.raises(QuotaExceeded):
        published(bench, WORKER, 5.15, service_id="worker-1")


def test_the_memory_of_publishers_is_bounded() -> None:
    rate = PublishRate()
    for _ in range(PUBLISHED_A_SECOND):
        assert rate.take("first", 0.0)
    assert not rate.take("first", 0.0)
    for number in range(MOST_BUCKETS):
        assert rate.take(f"other {number}", 0.0)
    assert rate.take("first", 0.0), "it was forgotten"


# --- relays -------------------------------------------------------------------------------------------------------


def test_a_relay_has_only_the_rights_that_it_and_the_agent_have(bench: Bench) -> None:
    rights = bench.rights(RELAY).speaking_for("token:worker")
    assert rights.check_registration(make_spec("worker-1")) == "token:worker"
    with pytest.raises(PermissionDenied, match="token:relay has no relay grant for the id 'boss-child'"):
        rights.check_registration(make_spec("boss-child"))
    boss = bench.rights(RELAY).speaking_for("token:boss")
    with pytest.raises(PermissionDenied, match="token:boss has no agent grant for the id 'worker-1'"):
        boss.check_registration(make_spec("worker-1"))


def test_a_relay_that_names_nobody_speaks_for_itself_and_needs_an_agent_grant(bench: Bench) -> None:
    with pytest.raises(PermissionDenied, match="token:relay has no agent grant for the id 'worker-1'"):
        bench.rights(RELAY).speaking_for("").check_registration(make_spec("worker-1"))


@pytest.mark.parametrize("name", ["token:operator", "token:relay", "token:unknown", "token:both"])
def test_a_relay_speaks_only_for_principals_with_the_role_agent(bench: Bench, name: str) -> None:
    bench.principals["token:both"] = principal("both", "agent *", "admin *")
    with pytest.raises(PermissionDenied, match="a relay cannot speak for"):
        bench.rights(RELAY).speaking_for(name)


def test_only_a_relay_speaks_for_others(bench: Bench) -> None:
    for each in (WORKER, OPERATOR, principal("admin", "admin *")):
        with pytest.raises(PermissionDenied, match="has no relay grant, so it cannot speak for"):
            bench.rights(each).speaking_for("token:twin")
    with pytest.raises(PermissionDenied):
        bench.rights(RELAY).speaking_for("token:worker").speaking_for("token:twin")


def test_what_a_relay_does_for_an_agent_names_both(bench: Bench) -> None:
    bench.register(WORKER, "worker-1")
    rights = bench.rights(RELAY).speaking_for("token:worker")
    event = rights.check_publish(make_event(service_id="worker-1"), 0.0)
    assert (event.published_by, event.via) == ("token:worker", "token:relay")


def test_a_change_of_the_grants_of_an_agent_has_effect_at_its_relay_at_once(bench: Bench) -> None:
    relay = bench.rights(RELAY)
    bench.register(WORKER, "worker-1")
    assert relay.speaking_for("token:worker") is relay.speaking_for("token:worker"), "decisions are kept"
    assert relay.speaking_for("token:worker").admits(bench.registry.get("worker-1"))
    bench.principals["token:worker"] = principal("worker", "agent other-*")
    assert not relay.speaking_for("token:worker").admitted
    assert not relay.speaking_for("token:worker").admits(bench.registry.get("worker-1"))
    del bench.principals["token:worker"]
    with pytest.raises(PermissionDenied):
        relay.speaking_for("token:worker")


def test_no_relay_carries_the_acts_of_an_operator(bench: Bench) -> None:
    both = principal("both", "relay *", "operator *", "judge tron")
    rights = bench.rights(both).speaking_for("token:worker")
    attempts: list[Callable[[], object]] = [
        lambda: rights.check_operator(),
        lambda: rights.check_maintenance("worker-1"),
        lambda: rights.check_observer("tron"),
        lambda: rights.may_acknowledge(OPERATORS),
    ]
    for attempt in attempts:
        with pytest.raises(PermissionDenied):
            attempt()
