"""Two processes claim one id: the newer holds it, the older is notified and stops, however slow it is."""

from __future__ import annotations

import grpc
import pytest
from grid.registry.v1 import registry_service_pb2
from tron_client.agent import Agent

from tests.e2e.conftest import Grid
from tests.e2e.raw_agent import RawAgent, a_service, beating, seconds, unique
from tests.e2e.refusals import refused
from tests.support.waiting import wait_until


def holds(grid: Grid, service_id: str, incarnation: int) -> bool:
    """Whether this incarnation is registered and connected."""
    record = grid.get(service_id)
    return (record.incarnation, record.connected) == (incarnation, True)


def test_the_older_of_two_connected_processes_is_told_at_once_and_its_beats_change_nothing(grid: Grid) -> None:
    service_id = unique("claimed")
    with RawAgent(grid.address) as older, RawAgent(grid.address) as newer:
        old = older.register(service_id, "older").incarnation
        new = newer.register(service_id, "newer").incarnation
        assert new > old
        told = older.wait("superseded")[0]
        assert (told.service_id, told.incarnation) == (service_id, new)
        older.beat(service_id, load=1.0)
        older.beat(service_id, incarnation=old, load=1.0)
        assert len(older.wait("superseded", 3)) == 3
        newer.beat(service_id, load=0.5, sequence=1)
        newer.wait_acknowledged(1)
        assert holds(grid, service_id, new)
        assert grid.get(service_id).load == 0.5
        assert newer.every("superseded") == []


@pytest.mark.parametrize("instance_id", ["", "older"], ids=["without a word", "with its word"])
def test_an_older_process_that_was_cut_and_comes_back_with_its_incarnation_is_superseded(
    grid: Grid, instance_id: str
) -> None:
    service_id = unique("claimed")
    with RawAgent(grid.address) as older:
        old = older.register(service_id, instance_id).incarnation
    with RawAgent(grid.address) as newer, RawAgent(grid.address) as back:
        new = newer.register(service_id, "newer").incarnation
        back.announce(a_service(service_id, incarnation=old, name="changed by the older"), instance_id)
        assert back.wait("superseded")[0].incarnation == new
        back.beat(service_id, incarnation=old)
        back.wait("superseded", 2)
        assert holds(grid, service_id, new)
        assert grid.get(service_id).name == service_id
        assert newer.every("superseded") == []


def test_a_first_registration_that_is_retried_after_a_newer_process_came_does_not_take_over(grid: Grid) -> None:
    service_id = unique("claimed")
    with RawAgent(grid.address) as lost:
        lost.register(service_id, "older")  # as if this answer had never come
    with RawAgent(grid.address) as newer, RawAgent(grid.address) as retried:
        new = newer.register(service_id, "newer").incarnation
        retried.announce(a_service(service_id), "older")
        assert retried.wait("superseded")[0].incarnation == new
        assert retried.every("registered") == []
        assert holds(grid, service_id, new)
        assert newer.every("superseded") == []


def test_a_first_registration_that_is_retried_with_nobody_in_between_is_the_same_one(grid: Grid) -> None:
    service_id = unique("claimed")
    with RawAgent(grid.address) as lost:
        first = lost.register(service_id, "only").incarnation
    with RawAgent(grid.address) as retried:
        assert retried.register(service_id, "only").incarnation == first


def test_a_process_that_comes_back_with_nobody_in_between_is_the_same_incarnation(grid: Grid) -> None:
    service_id = unique("back")
    with RawAgent(grid.address) as agent:
        first = agent.register(service_id)
    with RawAgent(grid.address) as agent:
        again = agent.register(service_id, incarnation=first.incarnation)
    assert (again.incarnation, again.registered_at) == (first.incarnation, first.registered_at)


def test_the_last_of_many_claims_holds_the_id_and_all_others_are_told(grid: Grid) -> None:
    service_id = unique("contested")
    agents = [RawAgent(grid.address) for _ in range(8)]
    try:
        for number, agent in enumerate(agents):
            agent.announce(a_service(service_id), f"claim {number}")
        incarnations = [agent.wait("registered")[0].service.incarnation for agent in agents]
        assert len(set(incarnations)) == len(agents)
        winner = max(incarnations)
        for agent, incarnation in zip(agents, incarnations, strict=True):
            if incarnation != winner:
                agent.wait("superseded")
        wait_until(lambda: holds(grid, service_id, winner), 5, "the newest holds it")
        assert agents[incarnations.index(winner)].every("superseded") == []
    finally:
        for agent in agents:
            agent.cut()


def test_a_unary_registration_of_an_older_incarnation_is_aborted(grid: Grid) -> None:
    service_id = unique("claimed")
    requests = [registry_service_pb2.RegisterRequest(service=a_service(service_id)) for _ in range(2)]
    old, new = (grid.registry.Register(request).service.incarnation for request in requests)
    late = registry_service_pb2.RegisterRequest(service=a_service(service_id, incarnation=old))
    refusal = refused(lambda: grid.registry.Register(late))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "SUPERSEDED")
    early = registry_service_pb2.RegisterRequest(service=a_service(service_id, incarnation=new + 1000))
    refusal = refused(lambda: grid.registry.Register(early))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "UNKNOWN_INCARNATION")
    assert grid.get(service_id).incarnation == new


def test_an_incarnation_is_never_given_twice_even_after_a_goodbye(grid: Grid) -> None:
    service_id = unique("reborn")
    seen = []
    for _ in range(3):
        with beating(grid.address, service_id):
            seen.append(grid.get(service_id).incarnation)
        assert grid.find(service_id) is None
    assert seen == sorted(set(seen))
    with RawAgent(grid.address) as ghost:
        ghost.announce(a_service(service_id, incarnation=seen[-1]))
        assert ghost.wait("unknown_service")[0].service_id == service_id
    assert grid.find(service_id) is None


def test_of_two_agents_of_the_sdk_the_older_learns_that_it_must_stop(grid: Grid) -> None:
    service_id = unique("sdk")
    took_over: list[int] = []
    older = Agent(service_id, registry=grid.address, heartbeat_interval=0.5, on_superseded=took_over.append)
    newer = Agent(service_id, registry=grid.address, heartbeat_interval=0.5)
    with older, newer:
        wait_until(lambda: older.state == "superseded", 5, "the older is notified")
        wait_until(lambda: took_over == [newer.incarnation], 5, "its program is notified")
        assert newer.state == "connected"
        assert holds(grid, service_id, newer.incarnation)
        older.stop()
        assert holds(grid, service_id, newer.incarnation), "the goodbye of the older removed the newer"


def test_an_agent_that_lost_its_id_while_it_was_cut_off_is_not_told_that_it_is_down(grid: Grid) -> None:
    service_id = unique("replaced")
    with RawAgent(grid.address) as older:
        old = older.register(service_id, reconnect_grace=seconds(0.2)).incarnation
    wait_until(lambda: "service_down" in {each.type for each in grid.events_about(service_id)}, 10, "it is down")
    with RawAgent(grid.address) as newer, RawAgent(grid.address) as back:
        record = newer.register(service_id)
        assert newer.wait("declared_down")[0].service_id == service_id
        back.announce(a_service(service_id, incarnation=old))
        assert back.wait("superseded")[0].incarnation == record.incarnation
        assert back.every("declared_down") == []
