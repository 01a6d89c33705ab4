"""Much of the fleet goes and comes back, again and again: the guard against mass failures must not ratchet."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.conftest import Figure
from tests.chaos.ground import DEATHS, FALSE_ALARMS, Ground, fleet, ground, ids
from tests.support.ears import Ear, listening
from tests.support.fleet import agents
from tests.support.waiting import let_pass, wait_until

STEADY, MOVING = 20, 30
"""60 % of the fleet go."""

SECOND = "second-parent"
"""Half of those that go have another parent: if all were below one, their deaths would be no mass failure."""

ROUNDS = 10


def moving(name: str) -> list[dict[str, Any]]:
    """Those that go."""
    return fleet(name, MOVING // 2) + fleet(f"{name}-second", MOVING // 2, parent=SECOND)


def heard_by(parent: Ear, declared: list[dict[str, Any]]) -> set[str]:
    """The ids of a parent's children."""
    return {each["service_id"] for each in declared if each["parent"] == parent.agent.service_id}


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Ground]:
    """A system with agents that stay."""
    with ground(tmp_path, "guard_window = 3.0") as found, agents(found.address, fleet("steady", STEADY)):
        found.wait_alive(ids(fleet("steady", STEADY)))
        yield found


def told_late_death(running: Ground, name: str) -> float:
    """A single agent dies at the end: seconds until its parent knows. So the guard is not up any more."""
    with agents(running.address, fleet(name, 1)) as last:
        running.wait_alive({f"{name}-0"})
        let_pass(2.5)  # one that lived for less does not count
        wait_until(lambda: not running.tron.get_stats().guard_active, 30, "the guard ends")
        last.kill()
        killed = time.monotonic()
        return running.parent.wait("service_down", f"{name}-0", 20).received_at - killed


@pytest.mark.chaos
@pytest.mark.timeout(400)
def test_sixty_percent_go_and_come_back(running: Ground, figure: Figure) -> None:
    """P2, P3: kill -9 of 60 % of 50 agents, and the same ids start again; ten rounds, then a single one dies."""
    coming = moving("moving")
    since = running.mark()
    for _ in range(ROUNDS):
        with agents(running.address, coming):
            running.wait_alive(ids(coming))
            let_pass(2.5)
    with agents(running.address, coming):
        running.wait_alive(ids(coming))
        took = told_late_death(running, "straggler")
        assert running.said(since, ("cascading_failure",)), "the guard was up"
        assert running.said(since, FALSE_ALARMS, ids(fleet("steady", STEADY))) == []
        assert ids(coming) <= running.alive()
    figure(took, "s until the parent knows of one death afterwards (grace 2 s); 0 false alarms about the 20 others")


@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_sixty_percent_are_replaced(running: Ground, figure: Figure) -> None:
    """P2, P3: kill -9 of 60 % of 50 agents while others with new ids start, ten rounds: each death is reported."""
    since = running.mark()
    dead: list[dict[str, Any]] = []
    with listening(running.address, SECOND) as second, ExitStack() as old:
        old.enter_context(agents(running.address, moving("round-0")))
        for number in range(1, ROUNDS + 1):
            before, after = moving(f"round-{number - 1}"), moving(f"round-{number}")
            running.wait_alive(ids(before))
            let_pass(2.5)
            old.close()
            dead += before
            old.enter_context(agents(running.address, after))
        running.wait_alive(ids(moving(f"round-{ROUNDS}")))
        began = time.monotonic()
        for parent in (running.parent, second):
            parent.wait_down(heard_by(parent, dead), 90)
        took = time.monotonic() - began
        assert running.said(since, ("cascading_failure",)), "the guard was up"
        assert {each.service_id for each in running.said(since, DEATHS)} == ids(dead)
        late = told_late_death(running, "straggler")
        assert running.said(since, FALSE_ALARMS, ids(fleet("steady", STEADY))) == []
    figure(took, f"s after the last round until both parents know of all {len(dead)}; of one more in {late:.1f} s")
