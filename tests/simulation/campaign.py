"""Many seeds on all cores: which break a promise, and whether each deliberate mistake is caught."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import chain

from tests.simulation.cluster import Cluster
from tests.simulation.minimise import broken_promise
from tests.simulation.mutants import mutated
from tests.simulation.plan import plan_of

CHUNK = 25
"""Seeds that one process takes at a time."""


@contextmanager
def all_cores() -> Iterator[ProcessPoolExecutor]:
    """Processes that are started anew, so that nothing of the caller's is shared with them."""
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        yield pool


def survey(kind: str, seeds: int, first: int = 0) -> list[int]:
    """The seeds, of so many, that broke a promise."""
    starts = range(first, first + seeds, CHUNK)
    with all_cores() as pool:
        found = pool.map(_broken, [(kind, start, min(start + CHUNK, first + seeds)) for start in starts])
        return list(chain.from_iterable(found))


def hunt(names: Sequence[str]) -> dict[str, tuple[int, str] | None]:
    """For each of these mutants the first seed that caught it and the promise that it broke; None where none did."""
    with all_cores() as pool:
        return dict(zip(names, pool.map(_caught, names), strict=True))


def _broken(batch: tuple[str, int, int]) -> list[int]:
    kind, first, last = batch
    return [seed for seed in range(first, last) if Cluster(plan_of(seed, kind)).run().violations]


def _caught(name: str) -> tuple[int, str] | None:
    with mutated(name) as mutant:
        for seed in range(mutant.seeds):
            promise = broken_promise(plan_of(seed, mutant.kind))
            if promise:
                return seed, promise
    return None
