"""The promises hold in simulated fleets, whatever fails; SEEDS and FAMILIES set how many are played.

A failing seed is made small, and printed with the command that replays it; see docs/simulation.md.
"""

from __future__ import annotations

import os

import pytest

from tests.simulation.campaign import campaign, failures
from tests.simulation.cluster import play
from tests.simulation.plan import plan_of

KINDS = {"fleet": int(os.environ.get("SEEDS", "2000")), "family": int(os.environ.get("FAMILIES", "1000"))}

FOUND = (5320, 10852, 18504, 29331, 42681, 45769)
"""Fleets of long campaigns in which a promise was broken before."""


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", KINDS)
def test_every_promise_holds(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    tally = campaign(kind, 0, KINDS[kind])
    with capsys.disabled():
        print(f"\n{kind}: {tally}")
    assert not tally.broken, "\n\n".join(["", *map(str, failures(kind, tally))])
    assert tally.seeds == KINDS[kind]
    assert tally.deaths > tally.seeds / 4, "a simulation in which nobody dies proves nothing"


@pytest.mark.parametrize("seed", FOUND)
def test_every_promise_holds_in_a_fleet_in_which_one_was_broken_before(seed: int) -> None:
    assert not play(plan_of(seed)).violations
