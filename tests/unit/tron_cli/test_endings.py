"""Which end was asked for, and which is a failure."""

from __future__ import annotations

import signal

import pytest
from tron_cli.endings import Ending, EndRequests

TERM, INT, HUP, QUIT = signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT


@pytest.mark.parametrize(
    ("sent", "returncode", "after", "by"),
    [
        (TERM, -15, 0.1, "SIGTERM"),
        (TERM, 1, 60, "SIGTERM"),  # a long drain that went wrong
        (TERM, -9, 10, "SIGTERM"),  # its patience was over
        (TERM, 1, 91, None),
        (TERM, -11, 1, "SIGTERM"),  # it crashed while it drained; nobody wants it back
        (INT, -2, 0.1, "SIGINT"),
        (INT, 130, 30, "SIGINT"),
        (INT, 5, 0.5, "SIGINT"),
        (INT, 5, 2, None),
        (INT, -9, 0.1, None),
        (HUP, -1, 0.1, "SIGHUP"),
        (HUP, 3, 2, None),
        (QUIT, -3, 0.1, "SIGQUIT"),
        (QUIT, 3, 3600, None),
        (signal.SIGUSR1, -10, 0.0, None),
        (signal.SIGWINCH, 1, 0.0, None),
        (signal.SIGRTMIN + 3, 1, 0.0, None),
    ],
)
def test_only_an_end_that_somebody_asked_for_is_no_failure(
    sent: int, returncode: int, after: float, by: str | None
) -> None:
    requests = EndRequests()
    requests.heard(sent, 100.0)
    assert requests.answered(Ending.of(returncode), 100.0 + after) == by


def test_a_person_at_the_terminal_is_waited_for_longer() -> None:
    requests = EndRequests()
    requests.heard(INT, 100.0, from_terminal=True)
    assert requests.answered(Ending.of(1), 109.0) == "SIGINT"
    assert requests.answered(Ending.of(1), 111.0) is None


def test_without_a_signal_nobody_asked() -> None:
    assert EndRequests().answered(Ending.of(143), 0.0) is None


def test_nothing_is_started_while_a_request_stands() -> None:
    requests = EndRequests()
    assert not requests.pending(0.0)
    requests.heard(HUP, 0.0)
    assert requests.pending(0.5)
    assert not requests.pending(1.5)
    requests.heard(TERM, 2.0)
    requests.forget()
    assert not requests.pending(2.0)
