"""Ages are told by the clock that stamped them; what a client's own clock says does not matter."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from grid.registry.v1 import heartbeat_pb2
from tron_client import vitals as vitals_module
from tron_client import wire
from tron_client.server_clock import ServerClock
from tron_client.vitals import Vitals

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def test_a_clock_that_was_never_told_the_time_says_so() -> None:
    clock = ServerClock()
    clock.observed(None, 5.0)
    assert clock.now(6.0) is None


def test_it_goes_on_between_two_answers() -> None:
    clock = ServerClock()
    clock.observed(NOON, 100.0)
    assert clock.now(103.5) == after(3.5)


def test_the_least_delayed_answer_is_the_truest() -> None:
    clock = ServerClock()
    clock.observed(NOON, 100.0)
    clock.observed(after(9.5), 110.0)  # half a second on its way
    assert clock.now(110.0) == after(10)
    clock.observed(after(10.2), 110.0)  # the first one was on its way for 0.2 s
    assert clock.now(110.0) == after(10.2)


@pytest.mark.parametrize("step", [-7200.0, 7200.0])
def test_a_registry_whose_clock_is_set_is_followed(step: float) -> None:
    clock = ServerClock()
    clock.observed(NOON, 100.0)
    clock.observed(after(1 + step), 101.0)
    assert clock.now(102.0) == after(2 + step)


class _WrongClock(datetime):
    """A client's clock that is three hours ahead."""

    @classmethod
    def now(cls, tz: object = None) -> _WrongClock:
        return cls.fromtimestamp(time.time() + 3 * 3600, UTC)


def told(vitals: Vitals) -> datetime:
    beat = heartbeat_pb2.Beat()
    vitals.fill(beat)
    return wire.moment(beat.busy_until)


@pytest.mark.parametrize("declared", ["before it was registered", "afterwards"])
def test_an_agent_is_busy_until_a_moment_of_the_registrys_clock(monkeypatch: pytest.MonkeyPatch, declared: str) -> None:
    monkeypatch.setattr(vitals_module, "datetime", _WrongClock)
    vitals = Vitals("ok")
    if declared == "before it was registered":
        vitals.report(None, None, None, None, None, None, 60)
    vitals.registry_time(NOON)
    if declared == "afterwards":
        vitals.report(None, None, None, None, None, None, 60)
    first = told(vitals)
    assert timedelta(seconds=59) < first - NOON < timedelta(seconds=61)
    # The same in each beat: another moment would be another declaration, which the cap would count from anew.
    vitals.registry_time(NOON + timedelta(seconds=0.3))
    assert told(vitals) == first
