"""Ages are computed by the clock that stamped them; the client's own clock does not matter."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from tron_client.protocol.report import Figures, Report
from tron_client.server_clock import ServerClock

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


FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("edge", "a_minute_later", "long_before"), [(FIRST, FIRST + timedelta(minutes=1), FIRST), (LAST, LAST, FIRST)]
)
def test_a_time_at_the_edge_of_the_calendar_stays_in_the_calendar(
    edge: datetime, a_minute_later: datetime, long_before: datetime
) -> None:
    clock, report = ServerClock(), Report("ok")
    clock.observed(edge, 100.0)
    assert (clock.now(160.0), clock.now(-1e12)) == (a_minute_later, long_before)
    report.registry_time(edge, 100.0)
    report.keep(Figures(), 60.0, 100.0, NOON)
    assert report.busy_until(100.0) == a_minute_later
    clock.observed(NOON, 170.0)
    assert clock.now(170.0) == NOON


def test_a_busy_time_at_the_edge_of_the_agents_own_calendar_ends_with_it() -> None:
    report = Report("ok")
    report.keep(Figures(), 1e9, 100.0, LAST)
    assert report.busy_until(100.0) == LAST


@pytest.mark.parametrize("declared", ["before it was registered", "afterwards"])
def test_an_agent_is_busy_until_a_moment_of_the_registrys_clock(declared: str) -> None:
    report, wrong = Report("ok"), NOON + timedelta(hours=3)
    if declared == "before it was registered":
        report.keep(Figures(), 60.0, 100.0, wrong)
    report.registry_time(NOON, 100.0)
    if declared == "afterwards":
        report.keep(Figures(), 60.0, 100.0, wrong)
    assert report.busy_until(100.5) == after(60)
    # The same in each beat: another moment would be another declaration, which the cap would count from anew.
    report.registry_time(after(0.3), 100.0)
    assert report.busy_until(101.0) == after(60)


def test_an_agent_of_a_registry_that_does_not_say_its_time_is_busy_by_its_own_clock() -> None:
    report = Report("ok")
    report.registry_time(None, 100.0)
    assert report.busy_until(100.0) is None
    report.keep(Figures(), 60.0, 100.0, NOON)
    assert report.busy_until(130.0) == after(60)
