"""No alert of a client stops the alerts for operators."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog
from grid_model.event import OPERATORS, Event, Severity
from grid_model.observation import Delivery

from grid_hosting.sinks.dispatcher import Dispatcher
from grid_hosting.sinks.notice import OperatorNotice
from tests.support.hostile_details import VALUES, everywhere
from tests.support.waiting import eventually
from tron import messages
from tron.operator_relay import OperatorRelay, plain_notice, to_notice

FIRST, LAST = -62_135_596_800.0, 253_402_300_800.0
"""The first second of the year 1, and the end of the year 9999."""


def alert(alert_id: str = "x", **fields: Any) -> Event:
    """A client's alert to the operators."""
    return Event(**{"type": "x", "alert_id": alert_id, "occurred_at": 1.7e9, "recipient": OPERATORS, **fields})


@pytest.mark.parametrize("value", VALUES, ids=lambda each: repr(each)[:30])
def test_a_notice_is_made_whatever_the_details_contain(value: Any) -> None:
    notice = to_notice(alert(details=everywhere(value)))
    assert OperatorNotice.from_json(notice.to_json()) == notice


@pytest.mark.parametrize("occurred_at", [FIRST, -1.0, 0.0, LAST - 1.0, LAST])
def test_a_notice_is_made_whenever_it_happened(occurred_at: float) -> None:
    notice = to_notice(alert(occurred_at=occurred_at))
    assert OperatorNotice.from_json(notice.to_json()) == notice


def test_a_notice_names_the_last_recipient_and_why_it_escalated() -> None:
    notice = to_notice(alert(details={"escalated_from": ["pa", "root"], "escalated_because": "nobody answers"}))
    assert (notice.recipient, notice.why) == ("root", "nobody answers")
    notice = to_notice(alert(details={"escalated_from": 1, "escalated_because": 2}))
    assert (notice.recipient, notice.why) == ("", messages.NO_OTHER_RECIPIENT)


class Relayed:
    """A relay whose sinks and registry only note what they receive."""

    def __init__(self) -> None:
        channel = SimpleNamespace(
            unary_unary=lambda *_, **__: self._acknowledge, unary_stream=lambda *_, **__: self._acknowledge
        )
        dispatcher = cast("Dispatcher", SimpleNamespace(submit=self._submit))
        self.notices: list[OperatorNotice] = []
        self.acknowledged: list[str] = []
        self.relay = OperatorRelay(cast("Any", channel), dispatcher)

    async def _submit(self, notice: OperatorNotice) -> None:
        self.notices.append(notice)

    def _acknowledge(self, request: Any, timeout: float) -> Awaitable[None]:
        self.acknowledged.append(request.alert_id)
        return asyncio.sleep(0)


def deliveries(*alerts: Event) -> dict[str, Delivery]:
    """The copies that wait, by alert_id."""
    return {f"copy {number}": Delivery(each, 0.0) for number, each in enumerate(alerts)}


async def relayed(until: Callable[[Relayed], bool], waiting: dict[str, Delivery]) -> Relayed:
    """Run a relay for these copies."""
    found = Relayed()
    found.relay.update(waiting)
    running = asyncio.create_task(found.relay.run())
    try:
        await eventually(lambda: running.done() or until(found), what="the alerts are relayed")
        assert not running.done(), running
    finally:
        running.cancel()
        await asyncio.wait({running})
    return found


async def test_hostile_alerts_are_relayed_and_acknowledged_and_so_are_those_behind_them() -> None:
    hostile = [alert(details=everywhere(value)) for value in VALUES]
    waiting = deliveries(*hostile, alert(occurred_at=FIRST), alert(occurred_at=LAST), alert("good"))
    found = await relayed(lambda each: len(each.acknowledged) == len(waiting), waiting)
    assert found.acknowledged == list(waiting)
    assert found.notices[-1].alert_id == "good"


async def test_an_alert_without_a_notice_of_its_own_is_told_plainly_and_logged_with_a_reason() -> None:
    odd = alert("", message="it burns", severity=Severity.CRITICAL, service_id="a", details={"k": 1})
    waiting = deliveries(odd, alert("good"))
    with structlog.testing.capture_logs() as logs:
        found = await relayed(lambda each: len(each.acknowledged) == 2, waiting)
    plain, good = found.notices
    assert (plain.alert_id, plain.message, plain.severity, plain.service_id) == ("copy 0", "it burns", 3, "a")
    assert good.alert_id == "good"
    assert [(each["event"], each["alert_id"], each["why"]) for each in logs] == [
        ("alert_told_plainly", "copy 0", "ValueError: alert_id: is empty")
    ]


def test_a_plain_notice_needs_nothing() -> None:
    notice = plain_notice(Event(""), "", 1.7e9)
    assert (notice.alert_id, notice.type, notice.details) == ("unknown", "unknown", {})
