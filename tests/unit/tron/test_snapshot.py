"""TRON keeps no state: one that starts now decides what one that was there all the time decides."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.simulation.world import World
from tron.detector import Detector
from tron.facts import Kind
from tron.policy import Policy

POLICY = Policy(reattach_window=3.0, reconnect_grace=0.5)

ACTS = st.sampled_from(["tick", "tick", "beat", "break", "return", "register", "goodbye", "stall", "restart"])
STEPS = st.lists(st.tuples(ACTS, st.sampled_from("abc"), st.integers(1, 12)), max_size=40)

Decision = tuple[int, Kind, str, int, int, int, float]


def act(world: World, what: str, service_id: str) -> None:
    """Let something happen, if it can."""
    agent = world.agents.get(service_id)
    if what == "stall":
        world.stall(30.0)
    elif what == "restart":
        world.restart()
    elif what == "register":
        world.register(service_id, 1.0, beats=False)
    elif agent is None or (what == "return" and service_id not in world.core.records):
        return
    elif what == "beat" and agent.session is not None:
        world.beat(agent)
    elif what == "break":
        world.break_stream(agent)
    elif what == "return" and world.core.get(service_id).incarnation == agent.incarnation:
        world.re_attach(agent)
    elif what == "goodbye" and agent.session is not None:
        world.core.goodbye(agent.session, service_id, "", world.instant())


def future(detector: Detector, now: float, hearing_since: float) -> list[Decision]:
    """What it will decide, and at which tick, in the next ten seconds if nothing more happens."""
    return [
        (tick, each.kind, each.service_id, each.incarnation, each.observation, each.missed_beats, each.due)
        for tick in range(100)
        for each in sorted(
            detector.advance(now + tick / 10, hearing_since), key=lambda each: (each.service_id, each.due)
        )
    ]


@settings(deadline=None, max_examples=150)
@given(STEPS)
@example([("register", "a", 1), ("stall", "a", 12), ("beat", "a", 1)])
def test_a_state_that_is_rebuilt_from_a_snapshot_decides_like_the_one_that_was_kept(
    steps: list[tuple[str, str, int]],
) -> None:
    world = World(POLICY)
    for what, service_id, ticks in steps:
        act(world, what, service_id)
        for _ in range(ticks):
            world.step()
    world.look()
    now = world.instant().attentive
    rebuilt = future(world.rebuilt_detector(), now, world.hearing_since())
    assert rebuilt == future(world.detector, now, world.hearing_since())


@settings(deadline=None, max_examples=60)
@given(STEPS)
def test_whoever_beats_on_a_stream_that_stands_is_never_declared_down(steps: list[tuple[str, str, int]]) -> None:
    world = World(POLICY)
    world.register("live", 1.0, beats=True)
    for what, service_id, ticks in steps:
        act(world, what, service_id)
        if world.agents["live"].session is None:
            world.re_attach(world.agents["live"])
        for _ in range(ticks):
            world.step()
    assert [each.kind for _, each in world.judged if each.service_id == "live" and each.kind is Kind.DOWN] == []


@settings(deadline=None, max_examples=60)
@given(STEPS)
def test_whoever_is_gone_is_always_deregistered_within_the_bound(steps: list[tuple[str, str, int]]) -> None:
    world = World(POLICY)
    for what, service_id, ticks in steps:
        act(world, what, service_id)
        for _ in range(ticks):
            world.step()
    for agent in world.agents.values():
        world.break_stream(agent)
    # The window, three intervals with their tolerance, the grace, and one interval after down.
    for _ in range(80):
        world.step()
    assert world.core.records == {}
