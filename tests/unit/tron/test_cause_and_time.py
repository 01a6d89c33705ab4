"""The table of cause and time in docs/failure-model.md says what `tron explain` says, row by row."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from grid_model.observation import Facts, Frame

from tests.unit.tron.builders import make_facts
from tron.explanation import explain
from tron.judge import Judge
from tron.policy import Policies, Policy

PAGE = Path(__file__).parents[3] / "docs" / "failure-model.md"
BEGINS = "| what happens right after a beat |"
AT = 100.0
"""When the last beat came, and what happens happens."""

FACTS: dict[str, dict[str, Any]] = {
    "the process is killed, or ends without a goodbye": {"connected": False, "detached_at": AT},
    "the process is stopped, or the loop that beats is blocked": {},
    "the network is cut, or the machine dies": {},
    "the registry ends the stream, and the process dies": {
        "connected": False,
        "detached_at": AT,
        "detached_reason": "READER_TOO_SLOW",
    },
}
BUSY = " while it is busy for 60 s"


def rows() -> list[tuple[str, str, list[str]]]:
    """What happens, the cause, and the four times, as they stand on the page."""
    lines = PAGE.read_text().splitlines()
    found = []
    for line in lines[next(n for n, line in enumerate(lines) if line.startswith(BEGINS)) + 2 :]:
        if not line.startswith("|"):
            break
        what, cause, *times = [cell.strip() for cell in line.strip("|").split("|")]
        found.append((what, cause, times))
    return found


def explained(facts: Facts) -> tuple[str, float, float]:
    """What `tron explain` says right after it happened: the cause, and in how many seconds suspect and down."""
    judge = Judge(Policies(Policy(), {}), "tron")
    judge.learn(Frame(now=AT, hearing_since=0.0, observations=(facts,), snapshot_complete=True))
    told = explain(judge, facts.service_id)
    assert told is not None
    (suspect, suspect_in), (down, down_in), *_ = told.deadlines
    assert suspect.startswith("suspect")
    assert down == "down"
    return told.evidence["will_be_down_for"], suspect_in, down_in


@pytest.mark.parametrize(("what", "cause", "times"), rows())
def test_the_page_says_what_explain_says(what: str, cause: str, times: list[str]) -> None:
    found = []
    for interval in (15.0, 60.0):
        facts = make_facts(
            **{"interval": interval, "attached_at": AT - 1, "heard_at": AT, "judged_at": AT - 1}
            | FACTS[what.removesuffix(BUSY)]
        )
        if what.endswith(BUSY):
            facts = replace(facts, busy_until_at=AT + 60, busy_declared_at=AT)
        named, suspect_in, down_in = explained(facts)
        assert named == cause
        found += [f"{suspect_in:g} s", f"{down_in:g} s"]
    assert times == found


def test_the_page_says_it_of_everything_busy_or_not() -> None:
    assert {what for what, *_ in rows()} == {what + busy for what in FACTS for busy in ("", BUSY)}
