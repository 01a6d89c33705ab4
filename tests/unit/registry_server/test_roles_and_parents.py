"""Operators' decisions outlive registrations, and parents form no cycles."""

from __future__ import annotations

from typing import Any

import pytest
from grid_model.errors import InvalidRequest, ServiceNotFound
from grid_model.service import ServiceRole

from registry_server.core.effects import DropIntent, PutIntent, PutService
from registry_server.core.service import Intent
from tests.unit.registry_server.builders import Grid, lines

PRODUCTION, STAGING, CANARY = ServiceRole.PRODUCTION, ServiceRole.STAGING, ServiceRole.CANARY


@pytest.fixture
def grid() -> Grid:
    """An empty registry."""
    return Grid()


def role(grid: Grid, service_id: str = "a") -> ServiceRole:
    """The role that readers see."""
    return grid.registry.get(service_id).spec.role


def test_a_promotion_changes_every_instance_with_the_name_and_role(grid: Grid) -> None:
    grid.register("a", name="llm", role=STAGING)
    grid.register("b", name="llm", role=STAGING)
    grid.register("c", name="llm", role=CANARY)
    grid.register("d", name="other", role=STAGING)
    grid.take()
    assert grid.registry.promote("llm", STAGING, PRODUCTION) == 2
    assert [role(grid, each) for each in "abcd"] == [PRODUCTION, PRODUCTION, CANARY, STAGING]
    effects = grid.take()
    assert [write.intent.service_id for write in lines(effects, PutIntent)] == ["a", "b"]
    assert [write.service.spec.role for write in lines(effects, PutService)] == [PRODUCTION, PRODUCTION]


def test_a_promotion_of_nobody_is_refused(grid: Grid) -> None:
    grid.register("a", name="llm", role=STAGING)
    for name, from_role in (("llm", CANARY), ("other", STAGING)):
        with pytest.raises(ServiceNotFound):
            grid.registry.promote(name, from_role, PRODUCTION)


def test_a_promotion_survives_registrations_and_deregistration(grid: Grid) -> None:
    grid.register("a", 1, role=STAGING)
    grid.registry.promote("a", STAGING, PRODUCTION)
    grid.register("a", 2, role=STAGING)
    assert role(grid) is PRODUCTION
    grid.registry.deregister("a", "", grid.later())
    grid.register("a", 3, role=STAGING)
    assert role(grid) is PRODUCTION


def test_a_promotion_of_a_promotion_holds_for_the_role_that_was_declared(grid: Grid) -> None:
    grid.register("a", role=STAGING)
    grid.registry.promote("a", STAGING, CANARY)
    grid.registry.promote("a", CANARY, PRODUCTION)
    assert lines(grid.take(), PutIntent)[-1].intent == Intent("a", STAGING, PRODUCTION)
    grid.register("a", role=STAGING)
    assert role(grid) is PRODUCTION


def test_a_promotion_ends_when_the_agent_declares_another_role(grid: Grid) -> None:
    grid.register("a", role=STAGING)
    grid.registry.promote("a", STAGING, PRODUCTION)
    grid.take()
    grid.register("a", role=CANARY)
    assert role(grid) is CANARY
    assert lines(grid.take(), DropIntent) == [DropIntent("a")]
    grid.register("a", role=STAGING)
    assert role(grid) is STAGING


def refuses_parent(grid: Grid, service_id: str, **fields: Any) -> str:
    """Register; return why the parent was refused."""
    with pytest.raises(InvalidRequest) as refused:
        grid.register(service_id, **fields)
    (error,) = refused.value.fields
    assert error.field == "service.parent"
    return error.description


def test_nobody_is_its_own_parent_by_id_or_by_name(grid: Grid) -> None:
    assert "own parent" in refuses_parent(grid, "a", parent="a")
    assert "own parent" in refuses_parent(grid, "a", name="alpha", parent="alpha")


def test_a_circle_of_two_is_refused_when_the_later_one_closes_it(grid: Grid) -> None:
    grid.register("a", parent="b")
    assert "cycle" in refuses_parent(grid, "b", parent="a")
    grid.register("b")


def test_a_circle_of_three_is_refused(grid: Grid) -> None:
    grid.register("a", parent="b")
    grid.register("b", parent="c")
    assert "cycle" in refuses_parent(grid, "c", parent="a")


def test_a_circle_through_names_is_refused(grid: Grid) -> None:
    grid.register("a", name="alpha", parent="beta")
    assert "cycle" in refuses_parent(grid, "b", name="beta", parent="alpha")
    assert "cycle" in refuses_parent(grid, "b", name="beta", parent="a")


def test_a_registered_service_can_not_move_below_its_own_child(grid: Grid) -> None:
    grid.register("a")
    grid.register("b", parent="a")
    assert "cycle" in refuses_parent(grid, "a", parent="b")
    assert grid.registry.get("a").spec.parent == ""


def test_a_parent_that_is_not_there_yet_or_not_unique_is_admitted(grid: Grid) -> None:
    grid.register("a", parent="later")
    grid.register("x", name="twin")
    grid.register("y", name="twin")
    grid.register("b", parent="twin")
    assert grid.registry.resolve("twin") is None


def test_a_namesake_of_its_parent_is_no_circle(grid: Grid) -> None:
    grid.register("x", name="twin")
    grid.register("y", name="twin", parent="x")


def test_whoever_joins_below_a_circle_that_arose_by_itself_is_not_blamed_for_it(grid: Grid) -> None:
    grid.register("b1", name="beta", parent="a")
    grid.register("b2", name="beta")
    grid.register("a", parent="beta")  # means nobody, while there are two
    grid.registry.deregister("b2", "", grid.later())
    grid.register("c", parent="a")


def test_a_word_means_an_id_first_and_then_a_unique_name(grid: Grid) -> None:
    grid.register("x", name="boss")
    assert grid.registry.resolve("boss") is grid.registry.get("x")
    grid.register("boss", name="somebody")
    assert grid.registry.resolve("boss") is grid.registry.get("boss")
    assert grid.registry.resolve("nobody") is None
