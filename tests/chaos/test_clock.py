"""The wall clock of all programs is set while they run. Only timestamps may follow it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.chaos.conftest import Figure
from tests.chaos.ground import FALSE_ALARMS, SILENT, Ground, fleet, ground, ids
from tests.support.agents import agents as obeying
from tests.support.fleet import agents
from tests.support.starving import stopped
from tests.support.stepped_clock import LIBRARY, SteppedClock
from tests.support.waiting import let_pass, wait_until

HOUR = 3600
FLEET = fleet("steady", 20)

pytestmark = pytest.mark.needs(LIBRARY)


@pytest.fixture(scope="module")
def stepped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ground, SteppedClock]]:
    """A system whose wall clock can be set, with agents whose clock stays right."""
    folder = tmp_path_factory.mktemp("clock")
    clock = SteppedClock(folder / "clock")
    with ground(folder, env=clock.env) as running, agents(running.address, FLEET):
        running.wait_alive(ids(FLEET))
        yield running, clock


def step(running: Ground, clock: SteppedClock, seconds: int, name: str) -> float:
    """Set the clock, and then stop an agent; return how long its parent waited to be notified of it."""
    with agents(running.address, fleet(name, 1)) as process:
        running.wait_alive({f"{name}-0"})
        since = running.mark()
        clock.set(seconds)
        wait_until(lambda: abs(_ahead(running) - seconds) < 60, 20, "the registry's clock is set")
        with stopped(process.pid):
            began = time.monotonic()
            down = running.parent.wait("service_down", f"{name}-0", 20)
            took = down.received_at - began
        assert running.said(since, FALSE_ALARMS, ids(FLEET)) == []
        assert ids(FLEET) <= running.alive()
        assert down.event.occurred_at is not None
        assert abs(down.event.occurred_at.timestamp() - time.time() - seconds) < 60, "timestamps follow the clock"
    return took


def _ahead(running: Ground) -> float:
    observed = running.client.list_services(name="none").observed_at
    assert observed is not None
    return float(observed.timestamp() - time.time())


def test_the_wall_clock_is_set_an_hour_forward(stepped: tuple[Ground, SteppedClock], figure: Figure) -> None:
    """P2, P3: the wall clock of all programs is set an hour forward; then an agent stops."""
    took = step(*stepped, HOUR, "forward")
    figure(took, f"s from SIGSTOP until the parent knows (bound {SILENT:g} s); 0 false alarms")


def test_the_wall_clock_is_set_an_hour_back(stepped: tuple[Ground, SteppedClock], figure: Figure) -> None:
    """P2, P3: the wall clock of all programs is set an hour back; then an agent stops."""
    took = step(*stepped, -HOUR, "back")
    figure(took, f"s from SIGSTOP until the parent knows (bound {SILENT:g} s); 0 false alarms")


@pytest.mark.chaos
def test_a_busy_agent_after_the_wall_clock_was_set(stepped: tuple[Ground, SteppedClock], figure: Figure) -> None:
    """P2, P3: the wall clock is set by an hour; an agent that registered before declares 5 s of busy time, stops."""
    longest = max(busy_after(*stepped, HOUR, "busy-forward"), busy_after(*stepped, -HOUR, "busy-back"))
    figure(longest, f"s at most from SIGSTOP until the parent knows (bound 5 s + {SILENT:g} s); 0 false alarms before")


def busy_after(running: Ground, clock: SteppedClock, seconds: int, name: str) -> float:
    """Set the clock under an agent that is busy then, and stop it; return how long its parent waited to be notified."""
    service_id = f"{name}-0"
    clock.set(0)
    wait_until(lambda: abs(_ahead(running)) < 60, 20, "the registry's clock is right")
    with obeying(running.address, *fleet(name, 1)) as process:
        running.wait_alive({service_id})
        clock.set(seconds)
        wait_until(lambda: abs(_ahead(running) - seconds) < 60, 20, "the registry's clock is set")
        since = running.mark()
        process.say("busy 5")
        wait_until(lambda: running.client.get_service(service_id).busy_until, 10, "it is known to be busy")
        with stopped(process.process.pid):
            began = time.monotonic()
            let_pass(4.0)
            assert running.said(since, FALSE_ALARMS, {service_id}) == [], "it is exempt"
            return running.parent.wait("service_down", service_id, 20).received_at - began


@pytest.mark.chaos
@pytest.mark.timeout(180)
def test_the_wall_clock_jumps_while_programs_restart(stepped: tuple[Ground, SteppedClock], figure: Figure) -> None:
    """P1, P2: the wall clock is set forward and back by an hour, with kill -9 of registry and TRON at each step."""
    running, clock = stepped
    since = running.mark()
    longest = 0.0
    for seconds in (HOUR, -HOUR, 0):
        clock.set(seconds)
        for name in ("monitor", "registry"):
            running.system.wait_restarted(name, running.system.kill_child(name))
        longest = max(longest, running.wait_alive(ids(FLEET)))
        running.settle()
    assert running.said(since, FALSE_ALARMS, ids(FLEET)) == []
    figure(longest, "s at most until all are ALIVE again; 0 false alarms")
