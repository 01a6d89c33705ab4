"""The attentive clock counts only the time during which the process was able to hear."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_server.core.attention import STALL, TICK, AttentiveClock


def test_regular_ticks_count_in_full() -> None:
    clock = AttentiveClock(100.0)
    for n in range(1, 51):
        assert clock.tick(100.0 + n * TICK) == 0.0
    assert clock.read(105.0) == pytest.approx(5.0)


def test_a_stall_of_a_minute_adds_two_ticks() -> None:
    clock = AttentiveClock(100.0)
    assert clock.tick(160.0) == 60.0
    assert clock.read(160.0) == pytest.approx(2 * TICK)


def test_the_end_of_a_stall_is_the_begin_of_hearing() -> None:
    clock = AttentiveClock(0.0)
    clock.tick(0.1)
    assert clock.hearing_since == 0.0
    clock.tick(30.0)
    assert clock.hearing_since == clock.read(30.0) == pytest.approx(0.1 + 2 * TICK)


def test_a_late_tick_is_no_stall() -> None:
    clock = AttentiveClock(0.0)
    assert clock.tick(STALL) == 0.0
    assert clock.hearing_since == 0.0


def test_reading_ahead_of_a_tick_never_passes_what_the_tick_will_add() -> None:
    clock = AttentiveClock(0.0)
    early = clock.read(3600.0)
    clock.tick(3600.0)
    assert early == clock.read(3600.0)


@given(st.lists(st.tuples(st.floats(0, 120), st.booleans()), max_size=60))
def test_the_clock_never_decreases_and_never_runs_ahead(steps: list[tuple[float, bool]]) -> None:
    clock = AttentiveClock(5.0)
    now, before = 5.0, 0.0
    for gap, is_tick in steps:
        now += gap
        if is_tick:
            clock.tick(now)
        assert before <= clock.read(now) <= now - 5.0 + 1e-6
        assert clock.hearing_since <= clock.read(now)
        before = clock.read(now)


def test_a_clock_lags_when_more_than_two_ticks_went_by_without_one() -> None:
    clock = AttentiveClock(100.0)
    assert not clock.lags(100.0 + 2 * TICK - 0.001)
    assert clock.lags(100.0 + 2 * TICK + 0.001)
    clock.tick(101.0)
    assert not clock.lags(101.0)


def test_a_stall_that_is_about_to_be_noticed_is_one_already() -> None:
    clock = AttentiveClock(100.0)
    clock.tick(100.1)
    assert clock.hears_since(100.1 + STALL) == 0.0
    before_the_tick = clock.hears_since(130.0)
    clock.tick(130.0)
    assert before_the_tick == clock.hearing_since == clock.hears_since(130.1)


def test_a_registry_that_is_always_slow_hears_deaths_too() -> None:
    clock = AttentiveClock(0.0)
    for n in range(1, 200):
        clock.tick(n * 0.9)
    before = clock.read(199 * 0.9)
    for n in range(200, 300):
        clock.tick(n * 0.9)
    assert clock.read(299 * 0.9) - before == pytest.approx(90.0)


@pytest.mark.parametrize("stopped", [60.0, 600.0])
def test_being_stopped_often_never_counts_as_much_as_being_slow(stopped: float) -> None:
    clock = AttentiveClock(0.0)
    now = 0.0
    for _ in range(50):
        now += stopped
        before = clock.read(now - stopped)
        clock.tick(now)
        assert clock.read(now) - before <= STALL + 1e-6


def test_a_quarter_of_a_minute_in_time_makes_good_for_what_was_late() -> None:
    clock = AttentiveClock(0.0)
    now = 0.0
    for _ in range(100):
        now += 1.0
        clock.tick(now)
    for _ in range(160):
        now += TICK
        clock.tick(now)
    before = clock.read(now)
    clock.tick(now + 1.0)
    assert clock.read(now + 1.0) - before == pytest.approx(2 * TICK)
