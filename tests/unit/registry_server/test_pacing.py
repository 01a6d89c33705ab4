"""Frames do not queue on the way to an observer: the next urgent one comes once the last was judged."""

from __future__ import annotations

from registry_server.core.observers import IDLE_EVERY, MOST_UNJUDGED, PATIENT_TICKS, Pacing


def judging() -> Pacing:
    """An observer that has judged its first frame."""
    pacing = Pacing()
    pacing.sent(1.0, facts=False)
    pacing.judged(1.0)
    return pacing


def test_an_urgent_frame_waits_until_the_one_before_was_judged() -> None:
    pacing = judging()
    assert pacing.may_send(urgent=True)
    pacing.sent(2.0, facts=False)
    assert not pacing.may_send(urgent=True)
    pacing.judged(1.5)
    assert not pacing.may_send(urgent=True)
    pacing.judged(2.0)
    assert pacing.may_send(urgent=True)


def test_a_time_that_was_rounded_on_the_wire_is_the_same_time() -> None:
    pacing = judging()
    pacing.sent(2.000000000123, facts=False)
    pacing.judged(2.0)
    assert pacing.may_send(urgent=True)


def test_frames_of_the_tick_go_on_for_a_while_and_no_longer() -> None:
    pacing = judging()
    for n in range(MOST_UNJUDGED):
        assert pacing.may_send(urgent=False)
        pacing.sent(2.0 + n, facts=False)
    assert not pacing.may_send(urgent=False)
    pacing.judged(2.0)
    assert pacing.may_send(urgent=False)


def test_after_a_frame_with_facts_none_is_sent_before_it_was_judged() -> None:
    pacing = judging()
    pacing.sent(2.0, facts=True)
    assert not pacing.may_send(urgent=False)
    pacing.judged(2.0)
    assert pacing.may_send(urgent=False)
    pacing.sent(2.1, facts=False)
    assert pacing.may_send(urgent=False), "the observer does not confirm each frame without facts"


def test_an_observer_that_does_not_confirm_a_frame_with_facts_is_sent_a_frame_after_some_ticks() -> None:
    pacing = judging()
    pacing.sent(2.0, facts=True)
    assert [pacing.may_send(urgent=False) for _ in range(PATIENT_TICKS + 1)] == [False] * PATIENT_TICKS + [True]


def test_an_observer_that_waits_for_time_to_pass_is_sent_a_frame_after_some_ticks() -> None:
    pacing = judging()
    for _ in range(MOST_UNJUDGED):
        pacing.sent(2.0, facts=False)
    for _ in range(3):
        ticks = 1
        while not pacing.may_send(urgent=False):
            ticks += 1
        assert ticks == PATIENT_TICKS + 1
        pacing.sent(3.0, facts=False)
    pacing.judged(3.0)
    assert pacing.may_send(urgent=True)


def test_an_onlooker_is_sent_a_frame_each_tick_and_none_between() -> None:
    pacing = Pacing()
    for n in range(10 * MOST_UNJUDGED):
        assert pacing.may_send(urgent=False)
        assert not pacing.may_send(urgent=True)
        pacing.sent(float(n), facts=False)


def test_an_idle_observer_is_sent_a_frame_without_news_only_now_and_then() -> None:
    pacing = judging()
    pacing.sent(2.0, facts=False)
    pacing.judged(2.0, idle_until=9.0)
    assert pacing.is_idle(2.1)
    assert not pacing.is_idle(2.0 + IDLE_EVERY)


def test_an_observer_is_idle_only_until_the_time_that_it_named() -> None:
    pacing = judging()
    pacing.sent(2.0, facts=False)
    pacing.judged(2.0, idle_until=2.2)
    assert pacing.is_idle(2.1)
    assert not pacing.is_idle(2.2)


def test_an_observer_that_names_no_time_is_never_idle() -> None:
    pacing = judging()
    pacing.judged(1.0)
    assert not pacing.is_idle(1.1)


def test_a_frame_that_was_sent_meanwhile_ends_what_was_said_of_the_one_before() -> None:
    pacing = judging()
    pacing.sent(2.0, facts=False)
    pacing.sent(2.1, facts=False)
    pacing.judged(2.0, idle_until=9.0)
    assert not pacing.is_idle(2.2), "the newer frame may have given it something to decide"
    pacing.judged(2.1, idle_until=9.0)
    assert pacing.is_idle(2.2)
    pacing.sent(2.3, facts=True)
    assert not pacing.is_idle(2.4)
