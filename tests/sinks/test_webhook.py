"""What a webhook sends, and that a receiver can check it as the documents say."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from grid_model.event import Severity

from tests.sinks.rig import SECRET, SOURCE, make_dispatcher, running
from tests.support.http_receiver import Delivery, Receiver, start_receiver
from tests.support.notices import make_notice
from tests.support.waiting import eventually

DOCUMENT = Path(__file__).parents[2] / "docs" / "sinks.md"

Check = Callable[[str, Mapping[str, str], bytes], bool]


@pytest.fixture(scope="module")
def is_genuine() -> Check:
    """The check of the documents, as a receiver would paste it."""
    (block,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    pasted: dict[str, Any] = {}
    exec(block, pasted)
    check: Check = pasted["is_genuine"]
    return check


async def deliver(receiver: Receiver, folder: Path, **fields: Any) -> Delivery:
    """What arrives for one notice."""
    async with running(make_dispatcher(folder, receiver)) as dispatcher:
        await dispatcher.submit(make_notice(**fields))
        await eventually(lambda: receiver.taken)
    return receiver.taken[0]


async def test_a_notice_arrives_as_one_cloud_event(tmp_path: Path) -> None:
    with start_receiver() as receiver:
        delivery = await deliver(receiver, tmp_path)
    assert (delivery.method, delivery.path) == ("POST", "/hook")
    assert delivery.headers["content-type"] == "application/cloudevents+json"
    assert delivery.document == {
        "specversion": "1.0",
        "id": "alert-1",
        "source": SOURCE,
        "type": "grid.alert.service_down",
        "subject": "worker-1",
        "time": "2023-11-14T22:13:20.250Z",
        "datacontenttype": "application/json",
        "data": {
            "severity": "critical",
            "resolved": False,
            "service_id": "worker-1",
            "service_name": "Worker 1",
            "cause": "SILENT",
            "recipient": "director",
            "why": "parent down",
            "message": "Worker 1 is down (SILENT)",
            "details": {"missed_beats": 2, "children": ["größer", "b"]},
        },
    }


async def test_a_notice_about_no_service_has_no_subject(tmp_path: Path) -> None:
    with start_receiver() as receiver:
        delivery = await deliver(receiver, tmp_path, service_id="", resolved=True, severity=Severity.INFO)
    assert "subject" not in delivery.document
    assert delivery.document["data"]["resolved"] is True
    assert delivery.document["data"]["severity"] == "info"


async def test_the_signature_is_verified_as_the_documents_say(tmp_path: Path, is_genuine: Check) -> None:
    with start_receiver() as receiver:
        delivery = await deliver(receiver, tmp_path, alert_id="größer\n")
    assert is_genuine(SECRET, delivery.headers, delivery.body)
    assert not is_genuine("another secret", delivery.headers, delivery.body)
    assert not is_genuine(SECRET, delivery.headers, delivery.body.replace(b"critical", b"info"))
    assert not is_genuine(SECRET, {**delivery.headers, "webhook-id": "another"}, delivery.body)
    timestamp = int(delivery.headers["webhook-timestamp"])
    assert not is_genuine(SECRET, {**delivery.headers, "webhook-timestamp": str(timestamp + 1)}, delivery.body)


async def test_each_attempt_is_signed_anew(tmp_path: Path, is_genuine: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter(range(1_000_000_000, 2_000_000_000, 1000))
    monkeypatch.setattr("grid_hosting.sinks.webhook.time.time", lambda: next(moments))
    with start_receiver() as receiver:
        receiver.answer(500)
        async with running(make_dispatcher(tmp_path, receiver)) as dispatcher:
            await dispatcher.submit(make_notice())
            await eventually(lambda: len(receiver.requests) >= 3)
    stamps = [int(each.headers["webhook-timestamp"]) for each in receiver.requests]
    assert len(set(stamps)) == len(stamps)
    assert len({each.headers["webhook-signature"] for each in receiver.requests}) == len(stamps)
    assert {each.headers["webhook-id"] for each in receiver.requests} == {"alert-1"}


async def test_a_token_is_sent_where_the_receiver_wants_one(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t0ken\n")
    (tmp_path / "secret").write_text(SECRET)
    with start_receiver() as receiver:
        hook = {"url": receiver.url, "secret_file": tmp_path / "secret", "token_file": tmp_path / "token"}
        async with running(make_dispatcher(tmp_path, webhook=[hook])) as dispatcher:
            await dispatcher.submit(make_notice())
            await eventually(lambda: receiver.taken)
    assert receiver.taken[0].headers["authorization"] == "Bearer t0ken"


async def test_an_answer_without_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    with start_receiver() as receiver:
        receiver.answer(200, body=b"x" * (8 << 20))
        async with running(make_dispatcher(tmp_path, receiver)) as dispatcher:
            await dispatcher.submit(make_notice("a"))
            await dispatcher.submit(make_notice("b"))
            await eventually(lambda: dispatcher.stats()["webhook-0"].delivered == 2)
