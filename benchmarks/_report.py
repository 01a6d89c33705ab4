"""What every benchmark prints and writes: a table for people, JSON for machines."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import grpc
from rich.console import Console
from rich.markup import escape
from rich.table import Table

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that a benchmark measured, and its goal if it has one.

    The goal applies to the ratio to the yardstick, or to the value if there is no yardstick. A figure with a goal that
    has no number does not hold.
    """

    name: str
    value: float | None
    unit: str
    yardstick: str = ""
    yardstick_value: float | None = None
    goal: float | None = None
    at_least: bool = True
    """Whether the goal is a lower limit; otherwise it is an upper limit."""
    paired: float | None = None
    """The median of the ratios of all rounds, if that is what the goal applies to."""

    @property
    def ratio(self) -> float | None:
        """The value as a multiple of the yardstick's; None if there is no yardstick."""
        if self.paired is not None:
            return self.paired
        return self.value / self.yardstick_value if self.value is not None and self.yardstick_value else None

    @property
    def holds(self) -> bool | None:
        """Whether the goal is reached; None if there is no goal."""
        if self.goal is None:
            return None
        reached = self.ratio if self.yardstick else self.value
        if reached is None:
            return False
        return reached >= self.goal if self.at_least else reached <= self.goal

    def row(self, machine: str, commit: str) -> dict[str, Any]:
        """This figure as in `results/latest.json`."""
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "yardstick": self.yardstick,
            "yardstick_value": self.yardstick_value,
            "ratio": self.ratio,
            "goal": self.goal,
            "holds": self.holds,
            "machine": machine,
            "commit": commit,
        }

    def __str__(self) -> str:
        number = "nothing" if self.value is None else f"{self.value:,.4g} {self.unit}".rstrip()
        beside = f", {self.ratio:.3g} times {self.yardstick}" if self.ratio is not None else ""
        limit = f"; goal: at {'least' if self.at_least else 'most'} {self.goal:g}" if self.goal is not None else ""
        return f"{self.name}: {number}{beside}{limit}"


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


def machine() -> dict[str, Any]:
    """What it is measured on."""
    return {
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "grpcio": grpc.__version__,
        "kernel": platform.release(),
    }


def described() -> str:
    """The machine in words."""
    return ", ".join(f"{what} {value}" for what, value in machine().items())


def commit() -> str:
    """The commit that is measured, followed by `+` if files were changed since; empty if this is no git checkout."""
    command = ["git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+"]
    try:
        return subprocess.run(command, cwd=RESULTS.parent, capture_output=True, text=True, check=True).stdout.strip()
    except (FileNotFoundError, subprocess.CalledProcessError):
        return ""


def write(name: str, out: Path | None, result: dict[str, Any], figures: Sequence[Figure] = ()) -> None:
    """Write the JSON with its figures and with what it was measured on, and say where it is."""
    path = out or RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    at = commit()
    rows = [figure.row(described(), at) for figure in figures]
    document = {"at": datetime.now(UTC).isoformat(), "machine": machine(), "commit": at, "rows": rows, **result}
    path.write_text(json.dumps(document, indent=2) + "\n")
    print(f"written: {path}")


def conclude(name: str, out: Path | None, figures: Sequence[Figure], result: dict[str, Any]) -> NoReturn:
    """Say which goals hold, write the JSON with all figures, and end the program: 0 if all hold, else 1."""
    for figure in figures:
        if figure.holds is not None:
            print(f"{'holds' if figure.holds else 'DOES NOT HOLD'}: {figure}")
    write(name, out, result, figures)
    sys.exit(1 if any(figure.holds is False for figure in figures) else 0)


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
