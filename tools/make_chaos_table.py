"""Writes the table of chaos scenarios into docs/failure-model.md, from what `make chaos` measured; `--print` shows it.

The scenarios are the tests of tests/chaos, read from their source. The docstring of each begins with the promises that
it holds the system to: `P1, P2: kill -9 of ...`. A scenario that was not run since keeps the row that it has.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SCENARIOS = ROOT / "tests" / "chaos"
RESULTS = ROOT / "benchmarks" / "results" / "chaos.json"
DOCUMENT = ROOT / "docs" / "failure-model.md"
BEGIN = "<!-- chaos: written by tools/make_chaos_table.py -->"
END = "<!-- end of chaos -->"
NOT_RUN = "not run yet"

_DOCSTRING = re.compile(r"(P[1-7](?:, P[1-7])*): (.+?)(?:\n\n|\Z)", re.DOTALL)
_GROUPS = ("processes", "network", "storage", "clock", "readers", "churn", "resources")


@dataclass(frozen=True)
class Scenario:
    """One fault: its name (of the test), the promises, what happens, and whether `make test` runs it too."""

    name: str
    group: str
    promise: str
    fault: str
    short: bool


def parse(docstring: str | None) -> tuple[str, str]:
    """The promises, and what happens, in one line. Raises ValueError if the docstring does not name a promise."""
    found = _DOCSTRING.match(docstring or "")
    if found is None:
        raise ValueError("the docstring of a scenario begins with its promises, as in `P1, P2: kill -9 of ...`")
    return found[1], " ".join(found[2].split()).rstrip(".")


def scenarios() -> list[Scenario]:
    """Every scenario, in the order of the modules and of their source. Raises ValueError."""
    found = []
    for group in _GROUPS:
        path = SCENARIOS / f"test_{group}.py"
        tree = ast.parse(path.read_text()) if path.exists() else ast.Module([], [])
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                promise, fault = parse(ast.get_docstring(node))
                long = any("mark.chaos" in ast.unparse(each) for each in node.decorator_list)
                found.append(Scenario(node.name, group, promise, fault, not long))
    return found


def table(results: Mapping[str, Mapping[str, Any]], known: Mapping[str, str]) -> str:
    """The block of the document; `known`: the last cells of rows that are there already, by what happens."""
    rows = ["| fault | promise | measured | holds |", "|---|---|---|---|"]
    for each in scenarios():
        result = results.get(each.name)
        fault = f"{each.fault}{'' if each.short else ' (long)'}"
        if result is None or result["holds"] is None:
            rows.append(f"| {fault} | {each.promise} | {known.get(fault, f'{NOT_RUN} | -')} |")
        else:
            rows.append(
                f"| {fault} | {each.promise} | {_number(result['figure'])} {result['unit']} |"
                f" {'yes' if result['holds'] else '**no**'} |"
            )
    return "\n".join([BEGIN, *rows, END])


def known_rows(document: str) -> dict[str, str]:
    """The figure and the verdict of each row of a document, by what happens."""
    block = document.partition(BEGIN)[2].partition(END)[0]
    cells = [line.strip("|").split(" | ") for line in block.splitlines() if line.startswith("|")]
    return {row[0].strip(): f"{row[2].strip()} | {row[3].strip()}" for row in cells if len(row) == 4}


def main() -> None:
    """Print the table, and write it into the document unless `--print`."""
    results = {row["name"]: row for row in json.loads(RESULTS.read_text())["rows"]} if RESULTS.exists() else {}
    document = DOCUMENT.read_text()
    before, _, rest = document.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        sys.exit(f"{DOCUMENT.name} has no block `{BEGIN}` ... `{END}`")
    block = table(results, known_rows(document))
    print(block.removeprefix(BEGIN).removesuffix(END).strip())
    if "--print" not in sys.argv[1:]:
        DOCUMENT.write_text(before + block + after)


def _number(value: float) -> str:
    return f"{value:g}" if value == int(value) else f"{value:.2f}"


if __name__ == "__main__":
    main()
