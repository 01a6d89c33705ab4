"""The pauses of a loop: how long, and by what."""

from __future__ import annotations

import pytest

from grid_hosting.pauses import CALLBACKS, IDLE_EVERY, SAMPLE_EVERY, STARVED, Pauses, look_every


def test_the_longest_of_each_cause_is_kept() -> None:
    pauses = Pauses()
    for seconds in (0.01, 0.03, 0.02):
        pauses.note("commit", seconds, worked=seconds)
    pauses.note("frame", 0.005, worked=0.005)
    assert pauses.longest == {"commit": 0.03, "frame": 0.005}


def test_a_turn_is_measured_also_when_it_fails() -> None:
    pauses = Pauses()
    with pytest.raises(ValueError, match="no"), pauses.turn("sweep"):
        raise ValueError("no")
    assert sum(pauses.longest.values()) > 0.0


def test_a_turn_without_a_processor_is_not_to_blame() -> None:
    pauses = Pauses()
    pauses.note("sweep", 2.0, worked=0.004)
    assert pauses.longest == {STARVED: 2.0}


def test_what_nobody_measured_is_work_or_the_lack_of_a_processor() -> None:
    pauses = Pauses()
    pauses.sampled(late=0.2, worked=0.19)
    pauses.sampled(late=3.0, worked=0.01)
    assert pauses.longest == {CALLBACKS: 0.2, STARVED: 3.0}


def test_what_was_measured_is_not_blamed_on_something_else() -> None:
    pauses = Pauses()
    pauses.note("collector", 0.2, worked=0.2)
    pauses.sampled(late=0.19, worked=0.2)
    assert pauses.longest == {"collector": 0.2}
    pauses.sampled(late=0.1, worked=0.1)
    assert pauses.longest[CALLBACKS] == 0.1


def test_an_idle_loop_is_looked_at_less_often_until_it_works() -> None:
    assert look_every(worked=0.001, every=SAMPLE_EVERY) == IDLE_EVERY
    assert look_every(worked=0.004, every=IDLE_EVERY) == IDLE_EVERY
    assert look_every(worked=0.05, every=IDLE_EVERY) == SAMPLE_EVERY
    assert look_every(worked=0.02, every=SAMPLE_EVERY) == SAMPLE_EVERY
