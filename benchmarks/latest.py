"""All figures in one table: `python -m benchmarks.latest` runs every benchmark and writes `results/latest.json`.

With names it runs only those; with `--collect` it runs none. In each case it collects what the result files of all
benchmarks have. It continues if a benchmark fails, and ends with 1 if a goal does not hold or a benchmark failed. A
benchmark without a result is a row without a value, so nothing is left out silently.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks._report import RESULTS, Figure, commit, described

BENCHMARKS = (
    "blocked_loop",
    "canaries",
    "dashboard",
    "demo_start",
    "first_sight",
    "four_faults",
    "gateway",
    "kill_to_parent",
    "pause",
    "peers",
    "per_message",
    "relayed",
    "restart",
    "rotation",
    "security_cost",
    "streams",
)
"""Every benchmark, in the order in which they run."""

LATEST = "latest.json"


def run(name: str, results: Path) -> str:
    """Run one benchmark; return why it has no result, empty if it has one."""
    before = _written_at(results / f"{name}.json")
    print(f"\n=== {name}", flush=True)
    done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False)
    if _written_at(results / f"{name}.json") != before:
        return ""
    if done.returncode:
        return f"failed with exit code {done.returncode}"
    return "not measured here, see its output"


def _written_at(path: Path) -> int | None:
    return path.stat().st_mtime_ns if path.exists() else None


def collect(results: Path, names: Sequence[str], missing: Mapping[str, str]) -> list[dict[str, Any]]:
    """The rows of all benchmarks. `missing`: why some have no result, by name; a failure does not hold."""
    rows: list[dict[str, Any]] = []
    for name in names:
        path = results / f"{name}.json"
        why = missing.get(name, "")
        if not why and path.exists():
            try:
                rows += json.loads(path.read_text())["rows"]
                continue
            except (ValueError, KeyError) as error:
                why = f"failed to read its result: {error!r}"
        figure = Figure(f"{name}: {why or 'not measured: it has no result file'}", None, "")
        rows.append({**figure.row(described(), commit()), "holds": False if why.startswith("failed") else None})
    return rows


def show(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print one table."""
    shown = Table(title="Figures of all benchmarks", title_justify="left")
    for column in ("figure", "value", "yardstick", "ratio", "goal", ""):
        shown.add_column(column, justify="left" if column in ("figure", "") else "right")
    for row in rows:
        beside = f"{_number(row['yardstick_value'])} {row['yardstick']}" if row["yardstick"] else ""
        holds = {True: "holds", False: "DOES NOT HOLD", None: ""}[row["holds"]]
        value = f"{_number(row['value'])} {row['unit']}".strip() if row["value"] is not None else ""
        cells = (row["name"], value, beside.strip(), _number(row["ratio"]), _number(row["goal"]), holds)
        shown.add_row(*map(escape, cells))
    Console(width=160).print(shown)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def main() -> None:
    """Run, collect, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="benchmarks to run; default: all")
    parser.add_argument("--collect", action="store_true", help="run nothing")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - set(BENCHMARKS):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    wanted = () if chosen.collect else chosen.names or BENCHMARKS
    missing = {name: why for name in wanted if (why := run(name, RESULTS))}
    rows = collect(RESULTS, BENCHMARKS, missing)
    show(rows)
    for name, why in missing.items():
        print(f"{name}: {why}")
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / LATEST).write_text(json.dumps(rows, indent=2) + "\n")
    print(f"written: {RESULTS / LATEST}")
    sys.exit(1 if any(row["holds"] is False for row in rows) else 0)


if __name__ == "__main__":
    main()
