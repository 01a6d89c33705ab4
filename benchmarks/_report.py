"""What every benchmark prints and writes: a table for people, JSON for machines."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import grpc
from rich.console import Console
from rich.markup import escape
from rich.table import Table

RESULTS = Path(__file__).parent / "results"


def distribution(values: Sequence[float]) -> dict[str, float]:
    """p50, p90, p99 (nearest rank) and max of values in milliseconds."""
    ordered = sorted(values)

    def rank(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, max(0, -(-int(share * len(ordered) * 100) // 100) - 1))], 3)

    return {"n": len(ordered), "p50": rank(0.5), "p90": rank(0.9), "p99": rank(0.99), "max": round(ordered[-1], 3)}


def arguments(description: str | None) -> argparse.ArgumentParser:
    """A parser with what every benchmark understands."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", type=Path, default=None, help="where the JSON goes; default: benchmarks/results")
    return parser


def write(name: str, out: Path | None, result: dict[str, Any]) -> None:
    """Write the JSON with what it was measured on, and say where it is."""
    path = out or RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    machine = {
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "grpcio": grpc.__version__,
        "kernel": platform.release(),
    }
    path.write_text(json.dumps({"at": datetime.now(UTC).isoformat(), "machine": machine, **result}, indent=2) + "\n")
    print(f"written: {path}")


def conclude(name: str, out: Path | None, goals: dict[str, bool], result: dict[str, Any]) -> NoReturn:
    """Say which goals hold, write the JSON with them, and end the program: 0 where all hold, else 1."""
    for goal, holds in goals.items():
        print(f"{'holds' if holds else 'DOES NOT HOLD'}: {goal}")
    write(name, out, {**result, "goals": goals})
    sys.exit(0 if all(goals.values()) else 1)


def table(title: str, rows: dict[str, dict[str, Any]]) -> None:
    """Print rows of equal keys."""
    shown = Table(title=escape(title), title_justify="left")
    shown.add_column("")
    for column in next(iter(rows.values())):
        shown.add_column(escape(column), justify="right")
    for name, row in rows.items():
        cells = (f"{value:.2f}" if isinstance(value, float) else str(value) for value in row.values())
        shown.add_row(escape(name), *map(escape, cells))
    Console(width=120).print(shown)
