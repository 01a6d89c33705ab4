"""Whatever clients publish, the legacy ports convert it, and the events behind it arrive."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
import structlog
from grid_model.event_types import EVENT_TYPES
from tron_client import AsyncRegistryClient, Event

from gateway_http.legacy import socket_io
from gateway_http.legacy.alert_file import AlertFiles
from gateway_http.legacy.alerts import legacy_alert
from gateway_http.legacy.broadcasts import Translator, flat, local_iso
from gateway_http.legacy.event_buffer import EventBuffer
from gateway_http.legacy.events import log_not_translated
from gateway_http.legacy.hmi_views import alerts_of
from gateway_http.legacy.socket_io import SocketIoClients
from gateway_http.replica.replica import Replica
from tests.support.hostile_details import VALUES, everywhere
from tests.support.waiting import eventually
from tests.support.zones import HOURS, zone
from tests.unit.gateway_http.builders import a_service, an_event

FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
MOMENTS = (None, FIRST, FIRST + timedelta(hours=1), LAST - timedelta(hours=1), LAST)
KINDS = (*EVENT_TYPES, "x")


@pytest.mark.parametrize("value", VALUES, ids=lambda each: repr(each)[:30])
def test_an_event_is_converted_whatever_its_details_contain(value: Any) -> None:
    translator = Translator(lambda _: a_service())
    for number, kind in enumerate(KINDS):
        event = an_event(number, kind, service_id="a", details=everywhere(value))
        assert json.dumps([flat(each) for each in translator.envelopes(event)])
        assert json.dumps(alerts_of([event], {"a": a_service(labels=everywhere(value))}))


@pytest.mark.parametrize("name", HOURS)
def test_an_event_is_converted_whenever_it_happened(name: str) -> None:
    translator = Translator(lambda _: None)
    with zone(name):
        for number, moment in enumerate(MOMENTS):
            for kind in KINDS:
                event = an_event(number, kind, occurred_at=moment, last_seen_at=moment)
                (first, *_) = translator.envelopes(event)
                assert first["server_timestamp"] == local_iso(moment)
                assert json.dumps(legacy_alert(event, None))


@pytest.mark.parametrize("value", VALUES, ids=lambda each: repr(each)[:30])
def test_the_alert_file_takes_any_alert(value: Any, tmp_path: Path) -> None:
    files = AlertFiles(cast("AsyncRegistryClient", None), tmp_path, 30, lambda _: None)
    for moment in MOMENTS:
        event = an_event(1, "service_down", alert_id=str(moment), occurred_at=moment, details=everywhere(value))
        line = files._new_line(event)  # noqa: SLF001
        assert line is None or json.loads(line[1])["alert_type"] == "service_down"


class Untranslatable(dict[str, Any]):
    """Details that cannot be read at all."""

    def get(self, *_: Any) -> Any:
        raise ZeroDivisionError


def filled(*events: Event) -> EventBuffer:
    """A buffer that was empty when these events arrived."""
    replica = Replica(time.monotonic)
    replica.tail.restart((), 0)
    buffer = EventBuffer(replica, log_not_translated)
    buffer.catch_up()
    for event in events:
        replica.tail.append(event)
    return buffer


def test_an_event_that_cannot_be_converted_is_logged_and_those_behind_it_arrive() -> None:
    buffer = filled(an_event(1, "service_down", details=Untranslatable()), an_event(2, "good"))
    with structlog.testing.capture_logs() as logs:
        buffer.catch_up()
    assert [each["event_type"] for each in buffer.recent(10)] == ["good"]
    assert [(each["event"], each["sequence"], each["why"]) for each in logs] == [
        ("event_not_translated", 1, "ZeroDivisionError: ")
    ]


async def test_the_task_that_sends_to_socket_io_clients_survives_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = filled()
    clients = SocketIoClients(buffer)
    turns = 0

    async def send_pending() -> None:
        nonlocal turns
        turns += 1
        if turns == 1:
            raise ZeroDivisionError

    monkeypatch.setattr(clients, "send_pending", send_pending)
    monkeypatch.setattr(socket_io, "RETRY_DELAY", 0.0)
    with structlog.testing.capture_logs() as logs:
        running = asyncio.create_task(clients.run())
        try:
            await eventually(lambda: running.done() or turns > 1, what="it sends again")
            assert not running.done()
        finally:
            running.cancel()
            await asyncio.wait({running})
    assert [each["event"] for each in logs] == ["socket_io_failed"]
    assert running.cancelled()
