"""Many seeds on all cores: `python -m tests.simulation.campaign --seeds 50000 --families 10000`.

Says how many seeds ran, what happened in them, and how long it took; where a promise is broken, the seed, made as
small as it gets, and the one command that replays it.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from tests.simulation.cluster import play
from tests.simulation.mutants import MUTANTS, mutated
from tests.simulation.plan import plan_of
from tests.simulation.replay import Failure, smallest

CHUNK = 50
"""Seeds that a worker takes at once."""

LOWEST_PRIORITY = 19

CATCHES = Path(__file__).parent / "mutants" / "catches.txt"

ENOUGH = 3
"""Failing seeds after which a campaign ends, and which are made small."""


@dataclass(slots=True)
class Tally:
    """What happened in some seeds. `cpu` and `wall` in real seconds, `virtual` in simulated ones."""

    seeds: int = 0
    virtual: float = 0.0
    acts: int = 0
    verdicts: int = 0
    deaths: int = 0
    cpu: float = 0.0
    wall: float = 0.0
    broken: list[int] = field(default_factory=list)
    """The seeds in which a promise was broken, or that ended with an error."""

    def add(self, other: Tally) -> None:
        """Take another one in."""
        for name in ("seeds", "virtual", "acts", "verdicts", "deaths", "cpu", "broken"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def __str__(self) -> str:
        days = self.virtual / 86_400
        return (
            f"{self.seeds} seeds in {self.wall:.1f}s ({self.cpu:.1f}s of processor): {days:.2f} simulated days,"
            f" {self.verdicts} verdicts, {self.deaths} deaths, {len(self.broken)} broken"
        )


def run(kind: str, first: int, count: int) -> Tally:
    """Play seeds in this process, one after the other."""
    tally = Tally()
    began = time.process_time()
    for seed in range(first, first + count):
        tally.seeds += 1
        try:
            outcome = play(plan_of(seed, kind))
        except Exception:
            traceback.print_exc()
            tally.broken.append(seed)
            continue
        tally.virtual += outcome.virtual_seconds
        tally.acts += outcome.acts
        tally.verdicts += outcome.verdicts
        tally.deaths += outcome.deaths
        if outcome.violations:
            tally.broken.append(seed)
    tally.cpu = time.process_time() - began
    return tally


def campaign(kind: str, first: int, count: int) -> Tally:
    """Play seeds on all cores; ends early where enough are broken."""
    tally = Tally()
    began = time.monotonic()
    chunks = [(at, min(CHUNK, first + count - at)) for at in range(first, first + count, CHUNK)]
    with pool() as workers:
        waiting = iter(chunks)
        running = [workers.submit(run, kind, *chunk) for chunk in islice(waiting, 2 * cores())]
        while running:
            tally.add(running.pop(0).result())
            if len(tally.broken) < ENOUGH:
                running += [workers.submit(run, kind, *chunk) for chunk in islice(waiting, 1)]
    tally.wall = time.monotonic() - began
    tally.broken.sort()
    return tally


def failures(kind: str, tally: Tally) -> Iterator[Failure]:
    """The broken seeds of a campaign, made small."""
    for seed in tally.broken[:ENOUGH]:
        failure = smallest(seed, kind)
        if failure is not None:
            yield failure


@dataclass(frozen=True, slots=True)
class Catch:
    """What became of a mutant. `promise` is empty if it survived."""

    name: str
    promise: str
    what: str
    seed: int


def last_catches() -> dict[str, int]:
    """The seed that caught each mutant last time. Only a hint of where to begin: the code may have changed since."""
    return {name: int(seed) for name, seed in map(str.split, CATCHES.read_text().splitlines())}


def hunt(name: str) -> Catch:
    """Play seeds with a deliberate mistake until a promise breaks that holds without it; the seed that caught it last
    time comes first."""
    mutant = MUTANTS[name]
    last = last_catches().get(name)
    for seed in (*(() if last is None else (last,)), *range(mutant.first, mutant.first + mutant.seeds)):
        with mutated(name):
            violations = play(plan_of(seed, mutant.kind)).violations
        if violations and not play(plan_of(seed, mutant.kind)).violations:
            return Catch(name, violations[0].promise, violations[0].what, seed)
    return Catch(name, "", f"survived {mutant.seeds} seeds", mutant.seeds)


def hunt_all() -> list[Catch]:
    """Hunt every mutant, and keep which seed caught it for the next time."""
    with pool() as workers:
        catches = list(workers.map(hunt, MUTANTS))
    CATCHES.write_text("".join(f"{catch.name} {catch.seed}\n" for catch in catches if catch.promise))
    return catches


def pool() -> ProcessPoolExecutor:
    """A worker for each core, each with an interpreter of its own. They leave the processors to timely tests."""
    return ProcessPoolExecutor(cores(), multiprocessing.get_context("spawn"), _begin)


def _begin() -> None:
    os.nice(LOWEST_PRIORITY)
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)  # a seed leaves little to collect


def cores() -> int:
    """How many there are for us."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.campaign", description=__doc__)
    parser.add_argument("--seeds", type=int, default=50_000, help="fleets: anything may happen to anybody")
    parser.add_argument("--families", type=int, default=10_000, help="a child and its ancestors die in random order")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--mutants", action="store_true", help="hunt the mutants instead, and keep what caught each")
    given = parser.parse_args(arguments)
    if given.mutants:
        catches = hunt_all()
        for catch in catches:
            mistake = MUTANTS[catch.name].what
            print(f"{catch.name:34} {catch.promise or 'SURVIVED':9} seed {catch.seed:5}  {mistake}: {catch.what[:90]}")
        return 0 if all(catch.promise for catch in catches) else 1
    broken = False
    for kind, count in (("fleet", given.seeds), ("family", given.families)):
        tally = campaign(kind, given.first, count)
        print(f"{kind}: {tally}", flush=True)
        for failure in failures(kind, tally):
            print(failure, flush=True)
        broken = broken or bool(tally.broken)
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
