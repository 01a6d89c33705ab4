"""The short run of the fuzzer: what was found before, and the same few cases of each target, every time."""

from __future__ import annotations

import pytest

from tests.fuzz.all_targets import TARGETS
from tests.fuzz.campaign import Campaign
from tests.fuzz.cases import Step, to_text
from tests.fuzz.findings import FINDINGS
from tests.fuzz.minimise import minimise
from tests.fuzz.targets import Target

EXAMPLES = {
    "registry calls": 60,
    "heartbeat streams": 60,
    "tron calls": 25,
    "gateway http": 40,
    "gateway with authentication": 30,
    "gateway socket.io": 25,
    "files": 80,
    "json web tokens": 60,
    "sdk heartbeat": 60,
    "tron frames": 60,
    "sdk models": 60,
    "live": 20,
}
"""Cases of each target: about ten seconds in all."""


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_no_bytes_from_outside_break_anything(target: Target) -> None:
    found = [case for _, name, case in FINDINGS if name == target.name]
    result = Campaign(target).run_examples(EXAMPLES[target.name], found)
    shown = [f"{each.place}\n{each.error}\n{to_text(each.case)}" for each in result.findings.values()]
    assert not shown, "\n\n".join(shown)
    assert result.cases > len(found)


def test_a_finding_is_minimised_to_the_bytes_that_matter() -> None:
    case = tuple(Step("call", bytes([number]) * 20 + b"bad" + b"x" * 30) for number in range(7))
    shortest = minimise(case, lambda shorter: any(b"bad" in step.data for step in shorter), 10.0)
    assert [step.data for step in shortest] == [b"bad"]
