"""The command line of the fuzzer: `python -m tests.fuzz [--seconds N] [TARGET ...]`."""

from __future__ import annotations

import argparse
import json
import os
import sys

from tests.fuzz.all_targets import TARGETS
from tests.fuzz.campaign import Campaign, Result


def main() -> int:
    """Run the targets for a time in all. Print what was executed and found; return 1 if there is a finding."""
    known = {target.name: target for target in TARGETS}
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("FUZZ_SECONDS", "600")), help="in all")
    parser.add_argument("--seed", type=int, help="of the first cases; else a random one")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(known)}; default: all")
    given = parser.parse_args()
    if unknown := set(given.targets) - known.keys():
        parser.error(f"no target is called {unknown.pop()!r}; there are {', '.join(known)}")
    chosen = [known[name] for name in given.targets or known]
    results = []
    for target in chosen:
        result = Campaign(target).run(given.seconds / len(chosen), given.seed)
        results.append(result)
        _print(result)
    print(json.dumps({"targets": [_summary(result) for result in results]}))
    return int(any(result.findings for result in results))


def _print(result: Result) -> None:
    rate = result.steps / max(result.seconds, 1e-9)
    counts = f"{result.cases:8} cases {result.steps:8} steps {rate:8.0f}/s {len(result.findings):3} findings"
    print(f"{result.target:18} {counts}", flush=True)
    for finding in result.findings.values():
        shown = finding.as_json()
        print(f"  {shown['place']}\n    {shown['error'].strip()[:1500]}\n    case: {shown['case'][:3000]}", flush=True)


def _summary(result: Result) -> dict[str, object]:
    findings = [finding.as_json() for finding in result.findings.values()]
    return {
        "target": result.target,
        "cases": result.cases,
        "steps": result.steps,
        "seconds": round(result.seconds, 1),
        "findings": findings,
    }


if __name__ == "__main__":
    sys.exit(main())
