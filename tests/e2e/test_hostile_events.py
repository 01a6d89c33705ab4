"""The registry refuses events that TRON could not read, and those that an earlier version stored stop nobody."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import struct_pb2
from grid.events.v1 import event_pb2, event_service_pb2
from grid.liveness.v1 import liveness_pb2
from tron_client import RegistryClient

from tests.e2e.conftest import Grid
from tests.e2e.raw_agent import RawAgent, beating, open_channel, unique
from tests.e2e.refusals import refused
from tests.support.hostile_details import VALUES, everywhere
from tests.support.processes import start_monitor, start_registry
from tests.support.waiting import wait_until

CRITICAL = event_pb2.SEVERITY_CRITICAL
FIRST, LAST = -62_135_596_800.0, 253_402_300_799.0

HOSTILE: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("a number for a list", {}, {"escalated_from": 1}, "event.details.escalated_from"),
    ("a list of numbers", {}, {"affected": [1]}, "event.details.affected"),
    ("a list for a text", {}, {"escalated_because": ["x"]}, "event.details.escalated_because"),
    ("a text for a number", {}, {"missed_deaths": "many"}, "event.details.missed_deaths"),
    ("before 1970", {"occurred_at": {"seconds": -1}}, {}, "event.occurred_at"),
    ("the year 1", {"occurred_at": {"seconds": int(FIRST)}}, {}, "event.occurred_at"),
    ("the year 9999", {"occurred_at": {"seconds": int(LAST)}}, {}, "event.occurred_at"),
    ("last seen in 9999", {"last_seen_at": {"seconds": int(LAST)}}, {}, "event.last_seen_at"),
]


def alert(service_id: str, recipient: str, **fields: Any) -> event_service_pb2.PublishEventRequest:
    """An alert of a client about itself."""
    known = {"type": "x", "service_id": service_id, "recipient": recipient, "severity": CRITICAL}
    return event_service_pb2.PublishEventRequest(event=event_pb2.Event(**{**known, **fields}))


def as_struct(details: dict[str, Any]) -> struct_pb2.Struct:
    """Details on the wire."""
    message = struct_pb2.Struct()
    message.update(details)
    return message


@pytest.mark.parametrize(("fields", "details", "named"), [each[1:] for each in HOSTILE], ids=[x[0] for x in HOSTILE])
def test_an_alert_that_tron_could_not_read_is_refused_by_the_name_of_its_field(
    grid: Grid, fields: dict[str, Any], details: dict[str, Any], named: str
) -> None:
    about = unique("worker")
    request = alert(about, "operators", **fields, details=as_struct(details))
    refusal = refused(lambda: grid.events.PublishEvent(request))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert refusal.fields == (named,)
    assert grid.events_about(about) == []


def test_stored_events_of_any_content_stop_neither_tron_nor_the_alerts_behind_them(tmp_path: Path) -> None:
    folder = tmp_path / "registry"
    with start_registry(folder) as registry, RegistryClient(registry.address) as client:
        for recipient in ("operators", "root", "pa"):
            for number in range(len(VALUES) + 2):
                client.publish_event(f"note {number}", severity="CRITICAL", service_id="kid", recipient=recipient)
    _make_hostile(folder)
    with (
        start_registry(folder) as registry,
        start_monitor(tmp_path / "monitor", registry.address) as monitor,
        open_channel(registry.address) as channel,
    ):
        grid = Grid(registry.address, channel, registry.pid, monitor.address)

        def waiting() -> list[event_pb2.Event]:
            wanted = event_service_pb2.ListEventsRequest(recipient="operators", unacknowledged=True, limit=1000)
            return list(grid.events.ListEvents(wanted).events)

        with beating(registry.address, "root"), beating(registry.address, "other") as other:
            grid.wait_liveness("other", liveness_pb2.LIVENESS_ALIVE)
            wait_until(lambda: not waiting(), 20, "operators were notified of everything that was stored")
            with RawAgent(registry.address) as pa, RawAgent(registry.address) as kid:
                pa.register("pa", parent="root")
                kid.register("kid", parent="pa")
            for service_id in ("kid", "pa"):  # kid dies while its hostile alerts wait for its ancestors
                grid.wait_liveness(service_id, liveness_pb2.LIVENESS_DOWN, 30)
            published = grid.events.PublishEvent(alert("other", "operators", type="after")).event
            wait_until(lambda: published.alert_id in monitor.log and not waiting(), 20, "the alerts behind them arrive")
            other.check()
        assert monitor.process.poll() is None, monitor.log
        for program in (registry, monitor):
            assert "Traceback" not in program.log, program.log


def _make_hostile(folder: Path) -> None:
    """Change the stored events of a registry that has ended: each has details, or a time, that is refused today."""
    with closing(sqlite3.connect(folder / "registry.db")) as database:
        rows = database.execute("SELECT sequence, event FROM events").fetchall()
        for sequence, text in rows:
            event = json.loads(text)
            number = int(event["type"].removeprefix("note ")) if event["type"].startswith("note ") else -1
            if number < 0:
                continue
            if number < len(VALUES):
                event["details"] = everywhere(VALUES[number])
            else:
                event["occurred_at"] = (FIRST, LAST)[number - len(VALUES)]
            database.execute("UPDATE events SET event = ? WHERE sequence = ?", (json.dumps(event), sequence))
        database.commit()
