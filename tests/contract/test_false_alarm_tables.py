"""The tables and the curve of docs/false-alarms.md are those of docs/false-alarms.json."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from benchmarks.false_alarms import page
from benchmarks.false_alarms.drawing import draw
from benchmarks.false_alarms.environments import ENVIRONMENTS, SOURCES
from benchmarks.false_alarms.sweep import TRON
from tron.policy import Policy

AGAIN = "run `make curve`, or `python -m benchmarks.false_alarms --from-json` if only the page changed"


@pytest.fixture(scope="module")
def rows() -> list[dict[str, object]]:
    """The committed results."""
    return page.read_json()


def test_the_tables_of_the_document_say_what_the_results_say(rows: list[dict[str, object]]) -> None:
    document = page.DOCUMENT.read_text()
    assert page.fill(document, page.tables(rows)) == document, AGAIN


def test_the_curve_is_drawn_from_the_results(rows: list[dict[str, object]]) -> None:
    drawn = page.CURVE.read_text()
    assert draw(rows) == drawn, AGAIN
    ET.fromstring(drawn)


def test_every_setting_that_is_shown_was_simulated(rows: list[dict[str, object]]) -> None:
    simulated = {(row["environment"], row["detector"], row["interval"], row["threshold"]) for row in rows}
    assert {(each.name, *key) for each in ENVIRONMENTS for key in page.SHOWN} <= simulated
    default = str(Policy().misses_before_down)
    assert {(each.name, TRON, 1.0, default) for each in ENVIRONMENTS} <= simulated


def test_every_reference_is_listed() -> None:
    document = page.DOCUMENT.read_text()
    listed = re.findall(r"^(\d+)\. ", document.partition("## References")[2], re.MULTILINE)
    named = re.findall(r"\[(\d)\](?!\()", document.partition("## References")[0] + " ".join(SOURCES.values()))
    assert set(named) <= set(listed)


def test_a_document_without_a_block_is_refused() -> None:
    with pytest.raises(ValueError, match="no block 'results'"):
        page.fill("# False alarms\n", {"results": "| a |"})
