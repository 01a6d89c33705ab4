"""When clients are asked for their next stream: long enough before the end of the credential, and spread."""

from __future__ import annotations

import pytest

from grid_hosting.drain_time import EACH_SECOND, drain_before

DAY = 86_400.0


@pytest.mark.parametrize(
    ("lasts", "first", "last"),
    [(90 * DAY, 600, 150), (DAY, 600, 150), (3600.0, 600, 150), (60.0, 20, 5), (6.0, 2, 1.0), (1.0, 0.5, 0.5)],
    ids=["quarter", "day", "hour", "minute", "seconds", "second"],
)
def test_the_window_fits_the_time_that_the_stream_may_last(lasts: float, first: float, last: float) -> None:
    assert drain_before(lasts, 1, 1.0) == first
    assert drain_before(lasts, 1, 0.0) == last


def test_very_many_streams_have_a_longer_window() -> None:
    assert drain_before(DAY, 100_000, 1.0) == 100_000 / EACH_SECOND
    assert drain_before(DAY, 10_000_000, 1.0) == DAY / 2


def test_every_stream_keeps_half_of_its_time() -> None:
    for lasts in (0.0, 0.5, 3.0, 100.0, DAY):
        for streams in (0, 1, 500, 1_000_000):
            for draw in (0.0, 0.5, 1.0):
                assert 0.0 <= drain_before(lasts, streams, draw) <= lasts / 2
