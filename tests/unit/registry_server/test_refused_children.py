"""The owner of a service may refuse services of other owners as its children: it hears nothing of them."""

from __future__ import annotations

import pytest
from grid_model.errors import PermissionDenied
from grid_model.event import OPERATORS, Severity

from registry_server.core.reading_rights import Access, ReadingRights
from tests.support.core_pair import CorePair
from tests.unit.registry_server.builders import make_event, make_spec
from tests.unit.registry_server.test_rights import BOSS, TWIN, WORKER, Bench, principal


@pytest.fixture
def bench() -> Bench:
    return Bench()


def parent_of(bench: Bench, service_id: str) -> str:
    """The parent of a service, as TRON receives it."""
    return bench.registry.parent_of(bench.registry.get(service_id))


def test_a_registration_below_a_parent_that_refuses_it_is_refused(bench: Bench) -> None:
    bench.register(BOSS, "boss-1", name="boss", refused_children=("worker-*",))  # type: ignore[arg-type]
    for parent in ("boss-1", "boss"):
        with pytest.raises(PermissionDenied, match=f"service.parent: '{parent}' refuses 'worker-1' as its child"):
            bench.register(WORKER, "worker-1", parent=parent)
    bench.register(WORKER, "boss-child", parent="boss")
    bench.register(BOSS, "boss-own", parent="boss")
    assert [parent_of(bench, each) for each in ("boss-child", "boss-own")] == ["boss", "boss"]


def test_services_of_the_same_owner_are_never_refused(bench: Bench) -> None:
    bench.register(BOSS, "boss", refused_children=("*",))  # type: ignore[arg-type]
    bench.register(BOSS, "boss-2", parent="boss")
    assert parent_of(bench, "boss-2") == "boss"
    group = [principal(name, "agent worker-*", group="batch") for name in ("one", "two")]
    bench.register(group[0], "worker-1", refused_children=("*",))  # type: ignore[arg-type]
    bench.register(group[1], "worker-2", parent="worker-1")


def test_a_parent_that_refuses_its_child_hears_no_more_of_it_and_the_child_goes_on(bench: Bench) -> None:
    bench.register(BOSS, "boss")
    bench.register(WORKER, "worker-1", parent="boss")
    bench.register(WORKER, "boss-child", parent="boss")
    registry, later = bench.registry, bench.grid.later
    for about in ("worker-1", "boss-child"):
        event = make_event(
            "service_down", alert_id=f"about {about}", service_id=about, recipient="boss", severity=Severity.CRITICAL
        )
        registry.publish(event, later())
    bench.register(BOSS, "boss", refused_children=("worker-*",))  # type: ignore[arg-type]
    assert [each.event.service_id for each in registry.waiting_for("boss")] == ["boss-child"]
    assert [each.event.service_id for each in registry.waiting_for(OPERATORS)] == ["worker-1"], "it is not lost"
    assert [parent_of(bench, each) for each in ("worker-1", "boss-child")] == ["", "boss"]
    incarnation = registry.get("worker-1").incarnation
    assert bench.rights(WORKER).check_registration(make_spec("worker-1", parent="boss"), incarnation), "it re-attaches"
    with pytest.raises(PermissionDenied, match="'boss' is not an ancestor of 'worker-1'"):
        bench.rights(WORKER).check_publish(make_event(service_id="worker-1", recipient="boss"), 0.0)
    assert ReadingRights(registry, bench.rights(principal("w", "agent worker-*"))).access("boss") is Access.NONE
    registry.deregister("worker-1", "", later())
    assert registry.tombstones["worker-1"].parent == ""


def test_a_child_that_registered_before_its_parent_is_refused_when_the_parent_does(bench: Bench) -> None:
    bench.register(TWIN, "worker-1", parent="boss")
    bench.registry.publish(make_event(alert_id="early", service_id="worker-1", recipient="boss"), bench.grid.later())
    bench.register(BOSS, "boss", refused_children=("*",))  # type: ignore[arg-type]
    assert parent_of(bench, "worker-1") == ""
    assert bench.registry.waiting_for("boss") == []


def test_without_authentication_nothing_is_refused(bench: Bench) -> None:
    bench.grid.register("boss", refused_children=("*",))
    bench.grid.register("worker-1", parent="boss")
    assert parent_of(bench, "worker-1") == "boss"


@pytest.mark.parametrize(("refused", "recipient"), [((), "boss"), (("child",), OPERATORS)])
def test_tron_sends_the_alerts_about_a_refused_child_to_the_operators(refused: tuple[str, ...], recipient: str) -> None:
    pair = CorePair()
    pair.join("boss", refused_children=refused)
    pair.join("child", parent="boss")
    for each in ("boss", "child"):
        pair.registry.claim(each, f"token:{each}")
    pair.run(2.0)
    pair.kill("child")
    pair.run(5.0)
    assert pair.about(recipient) == ["child"]
    assert pair.about(({"boss", OPERATORS} - {recipient}).pop()) == []


def test_a_running_child_that_is_refused_becomes_a_service_without_a_parent() -> None:
    pair = CorePair()
    pair.join("boss")
    pair.join("child", parent="boss")
    for each in ("boss", "child"):
        pair.registry.claim(each, f"token:{each}")
    pair.run(2.0)
    pair.join("boss", refused_children=("*",))
    pair.run(2.0)
    pair.kill("child")
    pair.run(5.0)
    assert (pair.about("boss"), pair.about(OPERATORS)) == ([], ["child"])
