"""The decisions about time, with a clock that is a number."""

from __future__ import annotations

import pytest
from tron_client.schedule import Backoff, BeatSchedule, CutOff


def test_the_first_beat_is_due_one_interval_after_the_start() -> None:
    schedule = BeatSchedule(2.0)
    assert schedule.due_in(10.0) is None
    schedule.start(10.0)
    assert schedule.due_in(10.5) == 1.5


def test_late_beats_do_not_make_the_grid_drift() -> None:
    schedule = BeatSchedule(1.0)
    schedule.start(0.0)
    for number in range(1, 1000):
        schedule.beaten(number + 0.3)
        assert schedule.due_in(number + 0.3) == pytest.approx(0.7)


def test_after_a_stall_one_beat_leaves_and_not_a_burst() -> None:
    schedule = BeatSchedule(1.0)
    schedule.start(0.0)
    assert schedule.due_in(60.5) == 0
    schedule.beaten(60.5)
    assert schedule.due_in(60.5) == pytest.approx(0.5)


def test_a_beat_beside_the_schedule_leaves_the_grid_alone() -> None:
    schedule = BeatSchedule(1.0)
    schedule.start(0.0)
    schedule.beaten(0.4)
    assert schedule.due_in(0.4) == pytest.approx(0.6)


def test_backoff_doubles_to_its_cap_with_full_jitter() -> None:
    backoff = Backoff()
    assert [backoff.next_delay(1.0) for _ in range(6)] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 2.0])
    assert backoff.next_delay(0.0) == 0.0
    assert backoff.next_delay(0.25) == pytest.approx(0.5)


def test_only_a_stream_that_settled_resets_the_backoff() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.next_delay(1.0)
    backoff.ended(4.9)
    assert backoff.next_delay(1.0) == 2.0
    backoff.ended(5.1)
    assert backoff.next_delay(1.0) == pytest.approx(0.1)


def test_cut_off_is_two_intervals_without_an_acknowledgement() -> None:
    cut = CutOff(30.0)
    assert cut.is_cut(0.0)
    cut.heard(0.0)
    assert not cut.is_cut(60.0)
    assert cut.is_cut(60.1)


def test_fast_beats_are_acknowledged_once_a_second_and_judged_so() -> None:
    cut = CutOff(0.1)
    assert not cut.asks
    cut.heard(0.0)
    assert not cut.is_cut(3.0)
    assert cut.is_cut(3.1)


def test_a_stream_is_given_up_when_several_beats_stay_unanswered_for_long() -> None:
    cut = CutOff(10.0)
    cut.heard(0.0)
    for number in range(5):
        assert not cut.is_lost(number * 10.0)
        cut.beaten(number * 10.0)
    assert not cut.is_lost(40.0)
    assert cut.is_lost(40.1)
    cut.heard(40.2)
    assert not cut.is_lost(90.0)


def test_a_process_that_was_stopped_does_not_give_up_its_stream() -> None:
    cut = CutOff(1.0)
    cut.heard(0.0)
    assert not cut.is_lost(600.0)
    cut.beaten(600.0)
    assert not cut.is_lost(900.0), "stopped right after a beat: its answer is there, and not read yet"
    cut.beaten(900.0)
    assert not cut.is_lost(900.1)
    cut.heard(900.2)
    assert not cut.is_lost(931.0)
