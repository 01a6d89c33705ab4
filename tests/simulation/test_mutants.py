"""Every deliberate mistake is caught, else the simulation is not good enough.

`python -m tests.simulation.campaign --mutants` hunts all, prints what caught each, and keeps that for the next time.
"""

from __future__ import annotations

import pytest

from tests.simulation.campaign import hunt, last_catches
from tests.simulation.mutants import MUTANTS
from tests.simulation.observer import PROMISES


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", MUTANTS)
def test_every_mutant_is_caught_by_the_promise_that_it_breaks(name: str) -> None:
    catch = hunt(name)
    assert catch.promise in MUTANTS[name].breaks, f"{MUTANTS[name].what}: {catch}"


def test_mutants_break_promises_that_exist() -> None:
    assert len(MUTANTS) >= 12
    named = {promise for mutant in MUTANTS.values() for promise in mutant.breaks}
    assert named <= set(PROMISES)
    assert named == set(PROMISES), "a promise that no mutant breaks is not known to be checked"


def test_the_catches_that_are_kept_are_of_mutants_that_exist() -> None:
    assert last_catches().keys() <= MUTANTS.keys()
