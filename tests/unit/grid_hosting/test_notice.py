"""A notice is whole or not at all, and comes back from its text as it was."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from grid_model.event import Severity
from grid_model.moments import rfc3339

from grid_hosting.sinks.notice import OperatorNotice
from tests.support.notices import make_notice


@pytest.mark.parametrize(
    "notice",
    [
        make_notice(),
        make_notice(severity=Severity.INFO, resolved=True, details={}),
        make_notice(message="two\nlines, größer, \ud800 half a pair"),
        OperatorNotice(alert_id="a", type="t", severity=Severity.WARNING, message="", occurred_at=0),
    ],
)
def test_a_notice_comes_back_from_its_text(notice: OperatorNotice) -> None:
    text = notice.to_json()
    assert text.isascii()
    assert "\n" not in text
    assert OperatorNotice.from_json(text) == notice


def test_what_a_later_version_adds_is_left_out() -> None:
    document = {**json.loads(make_notice().to_json()), "colour": "red"}
    assert OperatorNotice.from_json(json.dumps(document)) == make_notice()


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"alert_id": ""}, "alert_id"),
        ({"type": ""}, "type"),
        ({"occurred_at": math.nan}, "occurred_at"),
        ({"occurred_at": -1.0}, "occurred_at"),
        ({"occurred_at": 1e12}, "occurred_at"),
        ({"details": {"x": math.inf}}, "details"),
        ({"details": {"x": object()}}, "details"),
    ],
)
def test_what_can_not_be_told_is_refused_by_the_name_of_its_field(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named}: "):
        make_notice(**fields)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"alert_id": "a"}',
        make_notice().to_json()[:-1],
        make_notice().to_json().replace('"critical"', '"fatal"'),
        make_notice().to_json().replace('"critical"', "3"),
        make_notice().to_json().replace("1700000000.25", '"now"'),
        make_notice().to_json().replace('"alert-1"', "null"),
    ],
)
def test_a_text_that_is_no_notice_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        OperatorNotice.from_json(text)


def test_the_same_alert_to_another_recipient_is_another_notice() -> None:
    assert make_notice().key == make_notice(message="other words").key
    others = [make_notice(recipient="x"), make_notice(type="x"), make_notice("b")]
    assert len({make_notice().key, *(other.key for other in others)}) == 4


def test_moments_are_written_in_utc_to_the_millisecond() -> None:
    assert rfc3339(1_700_000_000.25) == "2023-11-14T22:13:20.250Z"
    assert rfc3339(0) == "1970-01-01T00:00:00.000Z"
