"""How long to wait, what an answer means, and when to stop."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid_hosting.sinks.retry import LONGEST_ASKED, Answer, Retry, answer_of, asked_pause

NOW = 1_445_412_480.0  # Wed, 21 Oct 2015 07:28:00 GMT


def test_the_pause_doubles_up_to_its_longest_and_is_jittered_in_full() -> None:
    retry = Retry(longest_pause=60)
    assert [retry.pause(failures, 1.0) for failures in range(1, 10)] == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]
    assert retry.pause(5, 0.25) == 2
    assert retry.pause(5, 0.0) == 0


@given(st.integers(1, 10**9), st.floats(0, 1), st.none() | st.floats(0, 1e9))
def test_no_pause_is_longer_than_it_may_be(failures: int, draw: float, asked: float | None) -> None:
    assert 0 <= Retry(longest_pause=60).pause(failures, draw, asked) <= max(60, LONGEST_ASKED)


def test_a_receiver_may_ask_for_a_longer_pause_within_reason() -> None:
    retry = Retry(longest_pause=60)
    assert retry.pause(1, 0.5, asked=120) == 120
    assert retry.pause(9, 1.0, asked=3) == 60
    assert retry.pause(1, 0.5, asked=1e9) == LONGEST_ASKED


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("7", 7),
        (" 7 ", 7),
        ("9" * 400, float("inf")),
        ("Wed, 21 Oct 2015 07:28:30 GMT", 30),
        ("Wed, 21 Oct 2015 07:27:00 GMT", 0),
        ("soon", None),
        ("-3", None),
        ("Wed, 99 Oct 2015 07:28:30 GMT", None),
    ],
)
def test_retry_after_is_read_in_both_its_forms(header: str | None, seconds: float | None) -> None:
    assert asked_pause(header, NOW) == seconds


@pytest.mark.parametrize(
    ("statuses", "answer"),
    [
        ((200, 201, 202, 204), Answer.DELIVERED),
        ((400, 410, 413, 415, 422), Answer.REFUSED),
        # The receiver's own trouble, or ours with it: somebody will repair it.
        ((301, 302, 401, 403, 404, 408, 409, 425, 429, 500, 502, 503, 504, 599), Answer.UNAVAILABLE),
    ],
)
def test_only_what_is_said_of_the_notice_itself_is_final(statuses: tuple[int, ...], answer: Answer) -> None:
    assert {answer_of(status) for status in statuses} == {answer}


def test_a_notice_is_given_up_after_its_time() -> None:
    retry = Retry(give_up_after=100)
    assert not retry.is_over(1000.0, 1100.0)
    assert retry.is_over(1000.0, 1100.1)
