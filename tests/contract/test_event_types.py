"""The table of event types: TRON issues what is in it, and the page, the legacy contract and the restarter read it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from grid_model.event_types import DEATHS, EVENT_TYPES, FAILURES, NOT_ESCALATED, SUSPICIONS, EventType

from gateway_http.legacy.alerts import ACTIONS, LEGACY_ALERTS
from gateway_http.page.files import FOLDER
from tools.make_event_types import COMMITTED, render
from tron.alert_book import ALERT_TYPES


def test_tron_issues_every_type_of_the_table_and_no_other() -> None:
    assert sorted(ALERT_TYPES) == sorted(EVENT_TYPES)


def test_the_page_has_the_table_as_it_is() -> None:
    assert COMMITTED.read_text() == render(), "run `make stubs`"


@pytest.mark.parametrize("each", EVENT_TYPES.values(), ids=list(EVENT_TYPES))
def test_every_type_can_be_shown(each: EventType) -> None:
    symbols = re.findall(r'<symbol id="s-([a-z]+)"', (FOLDER / "index.html").read_text())
    assert each.symbol in symbols
    assert each.title


def test_the_groups_are_those_that_the_rules_were_written_for() -> None:
    assert {"heartbeat_miss", "service_suspect"} == SUSPICIONS
    assert {"service_down", "service_deregistered"} == DEATHS
    assert sorted(FAILURES) == ["service_deregistered", "service_down", "service_stalled"]
    assert {"parent_down"} == NOT_ESCALATED


def test_the_legacy_contract_has_four_types_with_their_actions() -> None:
    assert LEGACY_ALERTS == ("heartbeat_miss", "service_down", "service_deregistered", "heartbeat_restored")
    assert list(ACTIONS.values()) == ["warning", "marked_down", "deregistered", "restored"]


def test_the_protocol_document_lists_every_type_as_it_is() -> None:
    text = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
    listed = {
        name: facts for name, *facts in re.findall(r"^\| `(\w+)` \| (\w+) \| `([\w`, ]+)` \|", text, re.MULTILINE)
    }
    assert {name: severity for name, (severity, _) in listed.items()} == {
        name: each.severity.name for name, each in EVENT_TYPES.items()
    }
    for name, (_, actions) in listed.items():
        assert EVENT_TYPES[name].action in ("", actions), name
