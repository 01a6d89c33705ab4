"""The legacy alert files: nothing is missing, whatever stops and starts, and no alert is written twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tron_client import Event, RevisionCompacted
from tron_client.models import EventPage

from gateway_http.legacy.alert_file import POSITION, AlertFiles
from tests.support.waiting import eventually

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Log:
    """Stands for the registry's event log."""

    def __init__(self, *events: Event, first: int = 1) -> None:
        self.events = list(events)
        self.first = first
        self.asked: list[int] = []

    async def subscribe_events(self, after: int, **_: Any) -> AsyncIterator[Event]:
        """What is there, then nothing forever."""
        self.asked.append(after)
        if after < self.first - 1 or after > max((event.sequence for event in self.events), default=self.first - 1):
            raise RevisionCompacted("gone")
        for event in self.events:
            if event.sequence > after:
                yield event
        await asyncio.Event().wait()

    async def list_events(self, **_: Any) -> EventPage:
        """What is kept."""
        first = self.first if self.events else 0
        return EventPage((), 0, first, first)


def alert(sequence: int, **fields: Any) -> Event:
    """A death."""
    values = {"alert_id": f"id-{sequence}", "type": "service_down", "service_id": "a", "occurred_at": NOON, **fields}
    return Event(sequence=sequence, **values)


def lines(folder: Path, day: str = "20260301") -> list[dict[str, Any]]:
    """The file of one day."""
    with suppress(FileNotFoundError):
        return [json.loads(line) for line in (folder / f"heartbeat_alerts_{day}.jsonl").read_text().splitlines()]
    return []


@asynccontextmanager
async def written(log: Log, folder: Path, days: int = 100_000) -> AsyncIterator[None]:
    """Files that follow the log until the block ends."""
    files = AlertFiles(log, folder, days, lambda _: None)  # type: ignore[arg-type]
    task = asyncio.create_task(files.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def is_at(folder: Path, sequence: int) -> bool:
    """Whether all up to this event was taken."""
    with suppress(FileNotFoundError):
        return (folder / POSITION).read_text() == f"{sequence}\n"
    return False


async def test_each_alert_is_a_line_of_its_day_and_a_copy_or_a_broadcast_is_none(tmp_path: Path) -> None:
    log = Log(
        alert(1),
        alert(2, alert_id="id-1", details={"escalated_from": ["pa"]}),
        alert(3, alert_id="id-1"),
        alert(4, action="broadcast"),
        alert(5, occurred_at=datetime(2026, 3, 2, tzinfo=UTC), type="heartbeat_restored"),
    )
    async with written(log, tmp_path / "events"):
        await eventually(lambda: is_at(tmp_path / "events", 5))
    (line,) = lines(tmp_path / "events")
    assert " ".join(line) == "alert_type service_id service_name missed_beats last_seen action ts parent"
    assert (line["alert_type"], line["action"], line["ts"]) == ("service_down", "marked_down", "2026-03-01T12:00:00")
    assert [each["action"] for each in lines(tmp_path / "events", "20260302")] == ["restored"]


async def test_the_next_run_goes_on_where_the_last_one_stopped(tmp_path: Path) -> None:
    log = Log(alert(1))
    async with written(log, tmp_path):
        await eventually(lambda: is_at(tmp_path, 1))
    log.events += [alert(2, service_id="b"), alert(3, alert_id="id-1", details={"escalated_from": ["pa"]})]
    async with written(log, tmp_path):
        await eventually(lambda: is_at(tmp_path, 3))
    assert log.asked == [0, 1]
    assert [each["service_id"] for each in lines(tmp_path)] == ["a", "b"]


async def test_what_can_not_be_written_is_written_later(tmp_path: Path) -> None:
    in_the_way = tmp_path / "events" / "heartbeat_alerts_20260301.jsonl"
    in_the_way.mkdir(parents=True)
    log = Log(alert(1), alert(2))
    async with written(log, tmp_path / "events"):
        await eventually(lambda: len(log.asked) >= 2)
        in_the_way.rmdir()
        await eventually(lambda: is_at(tmp_path / "events", 2))
    assert len(lines(tmp_path / "events")) == 2


async def test_where_the_log_is_compacted_it_goes_on_with_what_is_kept(tmp_path: Path) -> None:
    log = Log(alert(7), first=7)
    async with written(log, tmp_path):
        await eventually(lambda: is_at(tmp_path, 7))
    assert log.asked[:2] == [0, 6]
    assert len(lines(tmp_path)) == 1


async def test_old_files_are_removed(tmp_path: Path) -> None:
    old, other = tmp_path / "heartbeat_alerts_20200101.jsonl", tmp_path / "notes.jsonl"
    for path in (old, other):
        path.write_text("")
    async with written(Log(alert(1, occurred_at=datetime.now(UTC))), tmp_path, days=30):
        await eventually(lambda: is_at(tmp_path, 1))
    assert not old.exists()
    assert other.exists()


async def test_another_log_that_is_empty_is_followed_from_its_beginning(tmp_path: Path) -> None:
    (tmp_path / POSITION).write_text("40\n")
    log = Log()
    async with written(log, tmp_path):
        await eventually(lambda: log.asked == [40, 0])
        assert is_at(tmp_path, 0)


async def test_a_position_that_can_not_be_one_is_read_as_the_beginning(tmp_path: Path) -> None:
    (tmp_path / POSITION).write_text("-1\n")
    log = Log(alert(1))
    async with written(log, tmp_path):
        await eventually(lambda: is_at(tmp_path, 1))
