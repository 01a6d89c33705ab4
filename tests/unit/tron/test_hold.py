"""Stalls hold judgement, and not forever."""

from __future__ import annotations

import pytest

from tron.hold import LONGEST, Hold

WINDOW = 15.0


def held_moments(stalls_every: float, seconds: float = 300.0, window: float = WINDOW) -> list[float]:
    """How long each uninterrupted time was in which everything old was held, with a stall every so many seconds."""
    hold, stalled_at = Hold(), 0.0
    spans: list[float] = []
    since: float | None = 0.0
    for n in range(1, int(seconds * 10)):
        now = n / 10
        if now - stalled_at >= stalls_every:
            stalled_at = now
        held = now < hold.evidence_from(now, stalled_at, window) + window
        if held and since is None:
            since = now
        elif not held and since is not None:
            spans.append(now - since)
            since = None
    return spans


def test_one_stall_holds_for_one_window() -> None:
    hold = Hold()
    assert hold.evidence_from(100.0, 100.0, WINDOW) == 100.0
    assert hold.evidence_from(114.9, 100.0, WINDOW) == 100.0
    assert hold.evidence_from(115.0, 100.0, WINDOW) == 100.0
    assert hold.evidence_from(500.0, 500.0, WINDOW) == 500.0


@pytest.mark.parametrize("stalls_every", [0.3, 1.2, 5.0, 14.9, 15.1, 20.0, 50.0])
def test_no_sequence_of_stalls_holds_judgement_for_more_than_a_minute(stalls_every: float) -> None:
    spans = held_moments(stalls_every)
    assert len(spans) >= 4
    assert max(spans) <= LONGEST + 0.2


def test_a_window_longer_than_the_bound_still_ends() -> None:
    spans = held_moments(30.0, seconds=1000.0, window=90.0)
    assert spans
    assert max(spans) <= 90.0 + 0.2


def test_stalls_far_apart_have_a_window_each() -> None:
    hold = Hold()
    for stall in (100.0, 130.0, 160.0, 190.0, 220.0, 250.0):
        assert hold.evidence_from(stall, stall, WINDOW) == stall
        assert hold.evidence_from(stall + WINDOW, stall, WINDOW) == stall
