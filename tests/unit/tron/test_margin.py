"""How close a service came to a verdict, and which timeout its gaps suggest."""

from __future__ import annotations

import pytest

from tests.unit.tron.builders import make_facts
from tron.margin import ENOUGH, margin_of
from tron.policy import Policy

POLICY = Policy()  # at an interval of 1 s a service is down after 2.25 s of silence


def test_a_service_without_a_gap_has_no_margin() -> None:
    assert margin_of(make_facts(), POLICY, 500.0) is None


def test_the_longest_gap_used_its_share_of_the_silence_that_is_allowed() -> None:
    margin = margin_of(make_facts(worst_gap=0.9), POLICY, 500.0)
    assert margin is not None
    assert margin.used == pytest.approx(0.4)
    assert margin.down_after == 2.25


def test_twice_the_longest_gap_is_suggested_and_the_missed_heartbeats_that_allow_it() -> None:
    margin = margin_of(make_facts(worst_gap=1.8), POLICY, 500.0)
    assert margin is not None
    assert margin.suggested == pytest.approx(3.6)
    assert (margin.suggested_misses, margin.suffices) == (4, False)
    assert POLICY.silence(1.0, 3) < 3.6 <= POLICY.silence(1.0, 4)


def test_thresholds_that_allow_the_suggested_silence_suffice() -> None:
    margin = margin_of(make_facts(worst_gap=1.05), POLICY, 500.0)
    assert margin is not None
    assert (margin.suggested_misses, margin.suffices) == (POLICY.misses_before_down, True)


def test_nothing_is_suggested_before_enough_heartbeats_were_due() -> None:
    early = margin_of(make_facts(worst_gap=1.8, attached_at=1.0), POLICY, ENOUGH * 1.0 + 0.9)
    assert early is not None
    assert (early.suggested, early.suggested_misses, early.suffices) == (None, None, False)
    assert early.enough_after == 100.0
    later = margin_of(make_facts(worst_gap=1.8, attached_at=1.0), POLICY, ENOUGH * 1.0 + 1.0)
    assert later is not None
    assert later.suggested is not None


def test_the_time_on_earlier_streams_counts_and_the_time_without_one_does_not() -> None:
    attached = margin_of(make_facts(worst_gap=1.8, attached_at=400.0, earlier_streams_for=70.0), POLICY, 430.0)
    detached = make_facts(
        worst_gap=1.8, connected=False, attached_at=400.0, detached_at=410.0, earlier_streams_for=80.0
    )
    waiting = margin_of(detached, POLICY, 900.0)
    assert attached is not None
    assert waiting is not None
    assert (attached.observed_for, waiting.observed_for) == (100.0, 80.0)


@pytest.mark.parametrize(
    ("interval", "silence", "misses"), [(1.0, 2.25, 2), (1.0, 2.26, 3), (30.0, 93.0, 3), (5.0, 1.0, 1)]
)
def test_the_misses_for_a_silence_are_the_fewest_that_allow_it(interval: float, silence: float, misses: int) -> None:
    assert POLICY.misses_for(interval, silence) == misses
    assert POLICY.silence(interval, misses) >= silence
