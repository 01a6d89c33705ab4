"""The detectors of the false-alarm curve, on traces small enough to check by hand."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest

from benchmarks.false_alarms import sweep
from benchmarks.false_alarms.detectors import (
    WARM_UP,
    Failure,
    FixedTimeouts,
    PhiAccrual,
    Tron,
    Watch,
    deviations,
    failures_of,
    policy_of,
    silences,
)
from benchmarks.false_alarms.environments import BUSY, DAY, ENVIRONMENTS, WAN, Periods
from benchmarks.false_alarms.measures import Measures, tick_at
from benchmarks.false_alarms.traces import Trace, steady, travel
from tron.facts import Kind
from tron.policy import Policy

DOWN_AFTER_ONE = Policy().silence(1.0, 1)


@pytest.fixture(scope="module")
def rough() -> Trace:
    """Half a day of an agent on a busy host."""
    return travel(BUSY, 1.0, DAY / 2, Random(7))


def with_gap(seconds: float) -> Trace:
    """A steady trace with a heartbeat every second, and one gap."""
    trace = steady(1.0, WARM_UP + 20)
    for number in range(WARM_UP + 10, len(trace)):
        trace.read[number] += seconds - 1.0
        trace.sent[number] += seconds - 1.0
    return trace


def test_a_fixed_timeout_detects_after_the_timeout_less_the_age_of_the_last_heartbeat() -> None:
    trace = steady(1.0, WARM_UP + 20, delay=0.2)
    last = WARM_UP + 5
    failure = Failure(last, trace.sent[last] + 0.4)
    found = FixedTimeouts([2.0]).play(trace, [failure])["2"]
    assert found.detections == pytest.approx([0.2 + 2.0 - 0.4])
    assert (found.mistakes, found.mistaken) == (0, 0.0)
    assert found.observed == pytest.approx(19.0)


def test_a_gap_is_one_mistake_from_the_timeout_to_the_next_heartbeat() -> None:
    found = FixedTimeouts([2.0, 3.0, 3.5]).play(with_gap(3.2), [])
    assert [each.mistakes for each in found.values()] == [1, 1, 0]
    assert found["2"].mistaken == pytest.approx(1.2)
    assert found["2"].recurrence == found["2"].observed


def test_a_heartbeat_that_is_read_before_the_tick_is_in_time() -> None:
    found = FixedTimeouts([2.05]).play(with_gap(2.08), [])
    assert found["2.05"].mistakes == 0


def test_tron_with_one_missed_heartbeat_is_a_fixed_timeout_of_the_same_length(rough: Trace) -> None:
    failures = failures_of(rough, 50, Random(1))
    fixed = FixedTimeouts([DOWN_AFTER_ONE]).play(rough, failures)[f"{DOWN_AFTER_ONE:g}"]
    tron = Tron([1]).play(rough, failures)["1"]
    assert fixed.mistakes == tron.mistakes > 0
    assert tron.mistaken == pytest.approx(fixed.mistaken)
    assert tron.detections == pytest.approx(fixed.detections)


def test_tron_is_shown_enough_to_decide_as_it_does_on_every_tick(rough: Trace) -> None:
    policy = policy_of(3)
    for begin, end in list(silences(rough, 1.2))[:40]:
        shown, ticked = Watch(policy, 1.0, begin), Watch(policy, 1.0, begin)
        assert shown.silence(begin, end) == pytest.approx(ticked.every_tick(begin, end))


def test_more_missed_heartbeats_never_make_more_mistakes_and_never_detect_sooner(rough: Trace) -> None:
    found = list(Tron(range(1, 8)).play(rough, failures_of(rough, 20, Random(2))).values())
    for fewer, more in pairwise(found):
        assert more.mistakes <= fewer.mistakes
        assert more.mistaken <= fewer.mistaken
        assert more.detection > fewer.detection


def test_the_first_missed_heartbeat_is_a_warning_and_counts_apart(rough: Trace) -> None:
    warned = Tron([3], Kind.MISS).play(rough, [])["3"]
    assert warned.mistakes == Tron([1]).play(rough, [])["1"].mistakes


@pytest.mark.parametrize(("phi", "factor"), [(1.0, 1.2816), (8.0, 5.6120), (12.0, 7.0345)])
def test_phi_is_the_negative_logarithm_of_the_upper_tail_of_the_normal_distribution(phi: float, factor: float) -> None:
    assert deviations(phi) == pytest.approx(factor, abs=1e-4)


def test_phi_accrual_waits_for_the_mean_and_its_deviations_of_the_newest_gaps() -> None:
    trace = Trace(1.0)
    now = 0.0
    for number in range(3 * WARM_UP):
        now += 0.9 if number % 2 else 1.1  # a mean of 1 s, a deviation of 0.1 s
        trace.sent.append(now)
        trace.read.append(now)
    failure = Failure(len(trace) - 1, now)
    found = PhiAccrual([8.0]).play(trace, [failure])["8"]
    assert found.detections == pytest.approx([tick_at(now + 1.0 + 0.1 * deviations(8.0)) - now])
    assert found.mistakes == 0
    calm = PhiAccrual([8.0], least_deviation=0.5).play(trace, [failure])["8"]
    assert calm.detection == pytest.approx(tick_at(now + 1.0 + 0.5 * deviations(8.0)) - now)


def test_a_lost_heartbeat_arrives_with_a_retransmission_and_those_behind_it_wait() -> None:
    quiet = Periods(every=1e12, shortest=1.0, longest=2.0, shape=1.0)
    outages = Periods(every=60.0, shortest=4.0, longest=4.001, shape=1.0)
    trace = travel(replace(WAN, loss=0.0, outages=outages, pauses=quiet), 1.0, 600.0, Random(3))
    assert list(trace.read) == sorted(trace.read)
    gaps = [after - before for before, after in pairwise(trace.read)]
    assert 4.0 < max(gaps) < 7.5, "an outage, and the rest of a retransmission timeout or of an interval"
    assert min(gaps) == 0.0, "what waited was read at once"


def test_the_bounded_pareto_distribution_has_the_tail_that_it_names() -> None:
    random, periods = Random(5), Periods(every=1.0, shortest=0.1, longest=30.0, shape=1.0)
    lengths = sorted(periods.length(random) for _ in range(20_000))
    assert lengths[0] >= 0.1
    assert lengths[-1] <= 30.0
    for seconds in (0.2, 1.0, 10.0):
        share = sum(each > seconds for each in lengths) / len(lengths)
        assert share == pytest.approx(periods.share_above(seconds), abs=0.02)


def test_a_rate_without_mistakes_has_a_bound() -> None:
    calm = Measures(observed=30 * DAY)
    assert calm.mistakes_per_day == 0.0
    assert calm.at_most_per_day == pytest.approx(0.1)


def test_a_sweep_gives_a_row_for_each_setting_and_the_same_each_time() -> None:
    agent = sweep.agents({5.0: 9.0}, number=8)[0]  # a day, from which a timeout is suggested, and three hours
    first, again = sweep.play(agent), sweep.play(agent)
    assert sweep.rows(first.items()) == sweep.rows(again.items())
    assert {name for _, _, name, _ in first} == set(sweep.detectors(5.0))
    assert len(sweep.agents({5.0: 1.0, 1.0: 1.0}, number=8)) == 2 * 8 * len(ENVIRONMENTS)
