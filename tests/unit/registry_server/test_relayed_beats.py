"""A gateway passes beats on for clients without a stream: they are heard, and nothing hangs on the gateway's stream."""

from __future__ import annotations

import pytest
from grid_model.service import ServiceStatus

from registry_server.core.effects import DeclaredDown, SupersededBy, UnknownService
from registry_server.core.service import Report
from tests.unit.registry_server.builders import EPOCH, Grid, make_event

AGENT, GATEWAY = 1, 2


@pytest.fixture
def grid() -> Grid:
    """An empty registry."""
    return Grid()


def test_a_relayed_beat_is_heard_and_its_figures_are_shown(grid: Grid) -> None:
    grid.register("a")
    assert grid.beat(GATEWAY, report=Report(status=ServiceStatus.DEGRADED), relayed=True)
    record = grid.registry.get("a")
    assert (record.heard_at, record.report.status) == (grid.time, ServiceStatus.DEGRADED)


def test_the_end_of_a_gateway_is_no_fact_about_those_it_relayed_for(grid: Grid) -> None:
    grid.register("a")
    grid.beat(GATEWAY, relayed=True)
    before = grid.registry.get("a").observation
    grid.close(GATEWAY)
    record = grid.registry.get("a")
    assert (record.observation, record.session, record.detached_at, record.streamed) == (before, None, None, False)


def test_an_agent_keeps_its_stream_while_somebody_relays_for_it(grid: Grid) -> None:
    grid.register("a", AGENT)
    grid.take()
    assert grid.beat(GATEWAY, relayed=True)
    assert grid.said(AGENT, SupersededBy) == []
    grid.close(GATEWAY)
    assert grid.registry.get("a").session == AGENT
    assert grid.beat(AGENT)


def test_alerts_wait_for_a_recipient_that_only_a_gateway_speaks_for(grid: Grid) -> None:
    grid.register("parent")
    grid.beat(GATEWAY, "parent", relayed=True)
    _, delivered = grid.registry.publish(make_event("service_down", recipient="parent"), grid.later())
    assert not delivered


def test_a_gateway_is_told_of_whom_the_registry_does_not_know(grid: Grid) -> None:
    assert not grid.beat(GATEWAY, "nobody", relayed=True)
    assert grid.said(GATEWAY, UnknownService) == [UnknownService("nobody")]


def test_who_is_down_is_told_so_on_its_own_stream_only(grid: Grid) -> None:
    grid.register("a")
    grid.watch()
    grid.declare_down("a")
    grid.take()
    assert grid.beat(GATEWAY, relayed=True)
    assert grid.said(GATEWAY, DeclaredDown) == []
    grid.beat(AGENT)
    assert len(grid.said(AGENT, DeclaredDown)) == 1


def test_a_reader_can_ask_who_was_heard_since_it_asked_last(grid: Grid) -> None:
    first, second = grid.register("a", AGENT), grid.register("b", AGENT)
    heard, seen = grid.registry.heard_after(0)
    assert {incarnation for incarnation, _ in heard} == {first.incarnation, second.incarnation}
    assert grid.registry.heard_after(seen) == ([], seen)
    grid.beat(AGENT, "b")
    assert grid.registry.heard_after(seen)[0] == [(second.incarnation, EPOCH + grid.time)]
