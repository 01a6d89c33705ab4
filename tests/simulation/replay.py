"""Replays one seed and tells what happened: `python -m tests.simulation.replay --seed 1234`.

Where a promise is broken, the plan is first made as small as it gets; `--whole` leaves it as it is. `--faults` and
`--agents` choose by hand, and `--mutant` replays with one of the deliberate mistakes.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from tests.simulation.cluster import Cluster
from tests.simulation.minimise import broken_promise, minimal_faults, minimal_fleet, with_fleet
from tests.simulation.plan import Plan, plan_of


@dataclass(frozen=True, slots=True)
class Failure:
    """A seed that broke a promise, made small."""

    seed: int
    kind: str
    promise: str
    what: str
    plan: Plan
    faults: tuple[int, ...]
    agents: tuple[str, ...]
    mutant: str = ""

    @property
    def command(self) -> str:
        """What replays it."""
        words = [".venv/bin/python -m tests.simulation.replay", f"--seed {self.seed}"]
        words += [f"--kind {self.kind}"] if self.kind != "fleet" else []
        words += [f"--mutant {self.mutant}"] if self.mutant else []
        words.append(f"--faults {','.join(map(str, self.faults)) or 'none'}")
        words.append(f"--agents {','.join(self.agents)}")
        return " ".join(words)

    def __str__(self) -> str:
        lines = [f"seed {self.seed} ({self.kind}): {self.what}", "needs no more than:"]
        lines += [f"    {member}" for member in self.plan.fleet]
        lines += [f"    {fault}" for fault in self.plan.faults]
        return "\n".join([*lines, f"replay: {self.command}"])


def smallest(seed: int, kind: str, mutant: str = "") -> Failure | None:
    """The failure of a seed, made as small as it gets; None where every promise holds."""
    whole = plan_of(seed, kind)
    promise = broken_promise(whole)
    if not promise:
        return None
    faults = minimal_faults(whole, promise)
    plan = whole.keeping(faults)
    agents = minimal_fleet(plan, promise)
    plan = with_fleet(plan, agents)
    what = Cluster(plan).run().violations[0]
    return Failure(seed, kind, promise, str(what), plan, faults, agents, mutant)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.replay", description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--kind", choices=("fleet", "family"), default="fleet")
    parser.add_argument("--faults", help="numbers of the faults to keep, with commas between; `none`")
    parser.add_argument("--agents", help="ids of the agents to keep, with commas between")
    parser.add_argument("--whole", action="store_true", help="do not make it smaller")
    parser.add_argument("--mutant", default="", help="with this deliberate mistake")
    given = parser.parse_args(arguments)
    with contextlib.ExitStack() as stack:
        if given.mutant:
            from tests.simulation.mutants import mutated

            stack.enter_context(mutated(given.mutant))
        plan = plan_of(given.seed, given.kind)
        if given.faults is None and given.agents is None and not given.whole:
            failure = smallest(given.seed, given.kind, given.mutant)
            if failure is not None:
                print(failure, "\n")
                plan = failure.plan
        if given.faults is not None:
            kept = () if given.faults == "none" else tuple(int(each) for each in given.faults.split(","))
            plan = plan.keeping(kept)
        if given.agents is not None:
            plan = with_fleet(plan, given.agents.split(","))
        cluster = Cluster(plan, trace=True)
        outcome = cluster.run()
    print(plan.policy)
    for member in plan.fleet:
        print(member)
    for at, what in cluster.observer.trace or ():
        print(f"{at:9.3f}  {what}")
    for violation in outcome.violations:
        print(violation)
    if not outcome.violations:
        print(f"every promise holds; {outcome.virtual_seconds:.1f} virtual seconds, {outcome.acts} acts")
    return 1 if outcome.violations else 0


if __name__ == "__main__":
    raise SystemExit(main())
