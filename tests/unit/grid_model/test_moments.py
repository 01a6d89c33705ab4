"""Every time that a message can contain can be shown, in every time zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from grid_model.moments import local, rfc3339

from tests.support.zones import HOURS, zone

FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@pytest.mark.parametrize("moment", [FIRST, LAST, FIRST + timedelta(hours=1), LAST - timedelta(hours=1)])
@pytest.mark.parametrize("name", HOURS)
def test_a_time_at_the_edge_of_the_calendar_has_a_local_time(name: str, moment: datetime) -> None:
    with zone(name):
        assert local(moment) == moment


@pytest.mark.parametrize("name", HOURS)
def test_local_time_is_that_of_the_machine(name: str) -> None:
    with zone(name):
        assert local(datetime(2026, 1, 1, tzinfo=UTC)).utcoffset() == timedelta(hours=HOURS[name])


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1_700_000_000.25, "2023-11-14T22:13:20.250Z"),
        (-62_135_596_800.0, "0001-01-01T00:00:00.000Z"),
        (253_402_300_800.0, "9999-12-31T23:59:59.999Z"),
        (float("inf"), "9999-12-31T23:59:59.999Z"),
        (-1e300, "0001-01-01T00:00:00.000Z"),
    ],
)
def test_a_time_outside_the_calendar_is_written_as_its_edge(at: float, text: str) -> None:
    assert rfc3339(at) == text
