"""What an Alertmanager receives: an alert, its renewals, and its end."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from grid_model.event import Severity

from tests.sinks.rig import make_dispatcher, running
from tests.support.http_receiver import Receiver, start_receiver
from tests.support.notices import make_notice
from tests.support.waiting import eventually


def settings_of(receiver: Receiver, **fields: Any) -> dict[str, Any]:
    """The table of an Alertmanager at this receiver; renewals are far apart unless told otherwise."""
    url = receiver.url.removesuffix("/hook")
    return {"alertmanager": [{"url": f"{url}/prefix/", "labels": {"site": "a"}, "renew_every": 3600, **fields}]}


def moment(text: str) -> float:
    """Seconds since the epoch."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def alerts(receiver: Receiver) -> list[dict[str, Any]]:
    """Every alert that was sent, oldest first."""
    return [alert for each in receiver.taken for alert in each.document]


def is_over(alert: dict[str, Any]) -> bool:
    """Whether an Alertmanager takes it for resolved."""
    return moment(alert["endsAt"]) <= time.time()


RESTORED: dict[str, Any] = {"type": "heartbeat_restored", "severity": Severity.INFO, "resolved": True}


async def test_an_alert_has_the_shape_of_the_api(tmp_path: Path) -> None:
    with start_receiver() as receiver:
        async with running(make_dispatcher(tmp_path, **settings_of(receiver))) as dispatcher:
            await dispatcher.submit(make_notice())
            await eventually(lambda: receiver.taken)
    (delivery,) = receiver.taken
    assert (delivery.method, delivery.path) == ("POST", "/prefix/api/v2/alerts")
    assert delivery.headers["content-type"] == "application/json"
    (alert,) = delivery.document
    ends_at = alert.pop("endsAt")
    assert alert == {
        "labels": {
            "site": "a",
            "alertname": "service_down",
            "severity": "critical",
            "service_id": "worker-1",
            "service_name": "Worker 1",
        },
        "annotations": {
            "summary": "Worker 1 is down (SILENT)",
            "alert_id": "alert-1",
            "cause": "SILENT",
            "recipient": "director",
            "why": "parent down",
            "details": '{"missed_beats": 2, "children": ["gr\\u00f6\\u00dfer", "b"]}',
        },
        "startsAt": "2023-11-14T22:13:20.250Z",
    }
    assert moment(ends_at) > time.time() + 3600


async def test_a_restoration_ends_every_alert_of_its_service_under_the_labels_it_had(tmp_path: Path) -> None:
    with start_receiver() as receiver:
        async with running(make_dispatcher(tmp_path, **settings_of(receiver))) as dispatcher:
            await dispatcher.submit(make_notice("a", type="service_suspect", severity=Severity.WARNING))
            await dispatcher.submit(make_notice("b"))
            await dispatcher.submit(make_notice("c", service_id="other"))
            restored_at = time.time() - 5
            restored = make_notice("d", service_name="renamed since", occurred_at=restored_at, **RESTORED)
            await dispatcher.submit(restored)
            await eventually(lambda: dispatcher.stats()["alertmanager"].delivered == 4)
    told, ended = receiver.taken[:3], receiver.taken[3]
    assert [alert["labels"] for alert in ended.document] == [each.document[0]["labels"] for each in told[:2]]
    assert all(abs(moment(alert["endsAt"]) - restored_at) < 0.001 for alert in ended.document)
    assert all(moment(alert["startsAt"]) <= moment(alert["endsAt"]) for alert in ended.document)


async def test_where_nothing_was_told_nothing_is_resolved(tmp_path: Path) -> None:
    with start_receiver() as receiver:
        async with running(make_dispatcher(tmp_path, **settings_of(receiver))) as dispatcher:
            await dispatcher.submit(make_notice(**RESTORED))
            await eventually(lambda: dispatcher.stats()["alertmanager"].delivered == 1)
    assert receiver.requests == []


async def test_a_restoration_from_a_clock_ahead_or_behind_is_over_at_once(tmp_path: Path) -> None:
    with start_receiver() as receiver:
        async with running(make_dispatcher(tmp_path, **settings_of(receiver))) as dispatcher:
            for number, occurred_at in enumerate((time.time() + 3600, 1_600_000_000.0)):
                await dispatcher.submit(make_notice(f"down {number}"))
                await dispatcher.submit(make_notice(f"up {number}", occurred_at=occurred_at, **RESTORED))
            await eventually(lambda: dispatcher.stats()["alertmanager"].delivered == 4)
    ends = [alerts(receiver)[1], alerts(receiver)[3]]
    assert all(is_over(alert) and moment(alert["startsAt"]) <= moment(alert["endsAt"]) for alert in ends)


async def test_what_stands_is_renewed_also_after_a_restart_and_what_was_resolved_is_not(tmp_path: Path) -> None:
    with start_receiver() as receiver:
        fields = settings_of(receiver)
        async with running(make_dispatcher(tmp_path, **fields)) as dispatcher:
            await dispatcher.submit(make_notice("a", service_id="a"))
            await dispatcher.submit(make_notice("b", service_id="b"))
            await dispatcher.submit(make_notice("c", service_id="c", severity=Severity.INFO))
            await dispatcher.submit(make_notice("d", service_id="b", **RESTORED))
            await eventually(lambda: dispatcher.stats()["alertmanager"].queued == 0)
        before = len(receiver.taken)
        async with running(make_dispatcher(tmp_path, **fields)):
            await eventually(lambda: len(receiver.taken) > before, what="told again at the start")
        again = [alert for each in receiver.taken[before:] for alert in each.document]
        assert [alert["annotations"]["alert_id"] for alert in again] == ["a"]
        assert not is_over(again[0])


async def test_renewals_go_on_while_the_alert_stands_and_heal_by_themselves(tmp_path: Path) -> None:
    with start_receiver() as receiver:
        async with running(make_dispatcher(tmp_path, **settings_of(receiver, renew_every=1))) as dispatcher:
            await dispatcher.submit(make_notice("a"))
            await eventually(lambda: dispatcher.stats()["alertmanager"].delivered == 1)
            receiver.answer(500)
            await eventually(lambda: len(receiver.requests) >= 2, what="a renewal was tried")
            receiver.heal()
            count = len(receiver.taken)
            await eventually(lambda: len(receiver.taken) > count, what="it was renewed")
            await dispatcher.submit(make_notice("b", **RESTORED))
            await eventually(lambda: dispatcher.stats()["alertmanager"].delivered == 2)
            count = len(receiver.requests)
        assert is_over(alerts(receiver)[-1])
        assert dispatcher.stats()["alertmanager"].failed_attempts == 0


async def test_an_alert_that_nobody_resolves_is_not_renewed_for_ever(tmp_path: Path) -> None:
    with start_receiver() as receiver:
        fields = settings_of(receiver, active_for=60)
        async with running(make_dispatcher(tmp_path, **fields)) as dispatcher:
            await dispatcher.submit(make_notice("old", service_id="old"))
            await dispatcher.submit(make_notice("new", service_id="new"))
            await eventually(lambda: dispatcher.stats()["alertmanager"].queued == 0)
        make_older(tmp_path / "sinks" / "operator-queue.db", "old", seconds=61)
        before = len(receiver.taken)
        async with running(make_dispatcher(tmp_path, **fields)):
            await eventually(lambda: len(receiver.taken) > before)
        again = [alert["labels"]["service_id"] for each in receiver.taken[before:] for alert in each.document]
        assert again == ["new"]


def make_older(file: Path, service_id: str, seconds: float) -> None:
    """Have an alert been told so much earlier."""
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        changed = db.execute(
            "UPDATE rows SET at = at - ? WHERE shelf = 'alertmanager/standing' AND text LIKE ?",
            (seconds, f'%"service_id": "{service_id}"%'),
        )
        assert changed.rowcount == 1
