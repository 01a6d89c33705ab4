"""Deliberate mistakes, one at a time, in the real cores: each must be caught.

A mutant that nobody notices would mean that the promise which it breaks is not really checked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

from tests.simulation.mutants import columns, judgement, registry, withdrawal
from tests.simulation.mutants.mutant import Mutant

MUTANTS = {
    mutant.name: mutant for mutant in (*registry.MISTAKES, *columns.MISTAKES, *withdrawal.MISTAKES, *judgement.MISTAKES)
}


@contextmanager
def mutated(name: str) -> Iterator[Mutant]:
    """Make the mistake, for a while, in this process."""
    mutant = MUTANTS[name]
    with ExitStack() as stack:
        for target, attribute, instead in mutant.patches():
            stack.enter_context(patch.object(target, attribute, instead))
        yield mutant
