"""Simulates the curve, and writes docs/false-alarms.json, the SVG, and the tables of docs/false-alarms.md.

`--days 0.1` simulates a tenth of the agent-days, and only prints; `--from-json` simulates nothing, and writes the SVG
and the tables from the JSON that is there.
"""

from __future__ import annotations

import argparse

from benchmarks.false_alarms import page, sweep
from benchmarks.false_alarms.drawing import draw


def main() -> None:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.false_alarms", description=__doc__)
    parser.add_argument("--days", type=float, default=1.0, metavar="SHARE", help="share of the agent-days to simulate")
    parser.add_argument("--processes", type=int, default=None, help="default: one for each processor")
    parser.add_argument("--from-json", action="store_true", help="write the page from the results that are there")
    asked = parser.parse_args()
    if asked.from_json:
        rows = page.read_json()
    else:
        rows = sweep.sweep({each: asked.days * days for each, days in sweep.AGENT_DAYS.items()}, asked.processes)
    tables = page.tables(rows)
    for each in tables.values():
        print(each, end="\n\n")
    if asked.days == 1.0:
        if not asked.from_json:
            page.write_json(rows)
        page.CURVE.write_text(draw(rows))
        page.DOCUMENT.write_text(page.fill(page.DOCUMENT.read_text(), tables))
        print(f"written: {page.RESULTS.name}, {page.CURVE.name}, {page.DOCUMENT.name}")


if __name__ == "__main__":
    main()
