"""Every deliberate mistake is caught, else the simulation is not good enough."""

from __future__ import annotations

import pytest

from tests.simulation.campaign import hunt, pool
from tests.simulation.mutants import MUTANTS
from tests.simulation.observer import PROMISES


@pytest.mark.timeout(1200)
def test_every_mutant_is_caught_by_the_promise_that_it_breaks(capsys: pytest.CaptureFixture[str]) -> None:
    with pool() as workers:
        catches = list(workers.map(hunt, MUTANTS))
    with capsys.disabled():
        print()
        for catch in catches:
            told = MUTANTS[catch.name].what
            print(f"{catch.name:34} {catch.promise or 'SURVIVED':9} seed {catch.seed:5}  {told}: {catch.what[:90]}")
    assert [catch.name for catch in catches if not catch.promise] == []
    assert [catch for catch in catches if catch.promise not in MUTANTS[catch.name].breaks] == []


def test_mutants_break_promises_that_exist() -> None:
    assert len(MUTANTS) >= 12
    named = {promise for mutant in MUTANTS.values() for promise in mutant.breaks}
    assert named <= set(PROMISES)
    assert named == set(PROMISES), "a promise that no mutant breaks is not known to be checked"
