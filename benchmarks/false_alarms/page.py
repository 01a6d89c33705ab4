"""The tables of docs/false-alarms.md, written from docs/false-alarms.json, and that JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.false_alarms.environments import ENVIRONMENTS, SOURCES, Environment
from benchmarks.false_alarms.sweep import FIXED, PHI_FLOOR, PHI_PAPER, SUGGESTED, TRON
from tron.policy import Policy

Row = Mapping[str, Any]

DOCS = Path(__file__).resolve().parents[2] / "docs"
DOCUMENT = DOCS / "false-alarms.md"
RESULTS = DOCS / "false-alarms.json"
CURVE = DOCS / "false-alarms.svg"

SHOWN = (
    (TRON, 1.0, "1"),
    (TRON, 1.0, "2"),
    (TRON, 1.0, "3"),
    (TRON, 1.0, "6"),
    (TRON, 5.0, "2"),
    (TRON, 5.0, "3"),
    (TRON, 30.0, "2"),
    (PHI_PAPER, 1.0, "8"),
    (PHI_PAPER, 1.0, "12"),
    (PHI_FLOOR, 1.0, "8"),
    (PHI_FLOOR, 1.0, "12"),
    (FIXED, 1.0, "2"),
    (FIXED, 1.0, "5"),
    (SUGGESTED, 1.0, "suggested"),
    (SUGGESTED, 5.0, "suggested"),
    (SUGGESTED, 30.0, "suggested"),
)
"""Detector, interval and threshold of the rows in the table of each environment; the JSON has all."""

RECOMMENDED = (
    ("LAN", 1.0, "2"),
    ("LAN", 5.0, "2"),
    ("busy host", 1.0, "12"),
    ("busy host", 5.0, "6"),
    ("WAN", 5.0, "8"),
    ("WAN", 30.0, "4"),
)
"""Environment, interval, and `misses_before_down` of the recommendation."""

LIMITS = (1.0, 0.1, 0.01)
"""Mistakes per agent-day for which the table shows the fastest setting."""


def write_json(rows: Sequence[Row], path: Path = RESULTS) -> None:
    """Write the results, one row a line, so that a change is readable."""
    lines = ",\n".join(f"  {json.dumps(row)}" for row in rows)
    path.write_text(f"[\n{lines}\n]\n")


def read_json(path: Path = RESULTS) -> list[dict[str, Any]]:
    """Return the results. Raises OSError."""
    rows: list[dict[str, Any]] = json.loads(path.read_text())
    return rows


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """Return each table of the document, by the name of its block."""
    return {
        "recommended": _lines(_recommended_table(rows)),
        "fastest": _lines(_fastest_table(rows)),
        "results": _lines(_results_table(rows)),
        "environments": _lines(_environments_table()),
    }


def fill(document: str, found: Mapping[str, str]) -> str:
    """Return the document with these tables in its blocks `<!-- NAME -->` ... `<!-- end of NAME -->`. Raises ValueError
    if a block is missing."""
    for name, text in found.items():
        before, begin, rest = document.partition(f"<!-- {name}: written by `make curve` -->\n")
        _, end, after = rest.partition(f"<!-- end of {name} -->")
        if not begin or not end:
            raise ValueError(f"the document has no block {name!r}")
        document = f"{before}{begin}{text}\n{end}{after}"
    return document


def fastest(rows: Iterable[Row], environment: str, detector: str, limit: float) -> Row | None:
    """Return the setting of a detector that detects a failure soonest on average, of all that make at most this many
    mistakes per agent-day; for settings without any mistake, their 95 % bound counts. None if there is none."""
    good = (
        row for row in rows if (row["environment"], row["detector"]) == (environment, detector) and _rate(row) <= limit
    )
    return min(good, key=lambda row: row["detection_mean"], default=None)


def _rate(row: Row) -> float:
    return float(row["mistakes_per_agent_day"] if row["mistakes"] else row["at_most_per_agent_day"])


def _fastest_table(rows: Sequence[Row]) -> list[Sequence[str]]:
    found: list[Sequence[str]] = [("environment", "mistakes per agent-day at most", TRON, PHI_PAPER, PHI_FLOOR, FIXED)]
    for environment in ENVIRONMENTS:
        for limit in LIMITS:
            cells = []
            for detector in (TRON, PHI_PAPER, PHI_FLOOR, FIXED):
                row = fastest(rows, environment.name, detector, limit)
                cells.append("none" if row is None else f"{row['detection_mean']:.3g} s ({_setting(row)})")
            found.append((environment.name, f"{limit:g}", *cells))
    return found


def _recommended_table(rows: Sequence[Row]) -> list[Sequence[str]]:
    found: list[Sequence[str]] = [
        (
            "environment",
            "`heartbeat_interval`",
            "`misses_before_down`",
            "down after",
            "T_D mean",
            "false alarms per agent-day",
        )
    ]
    by_key = {(row["environment"], row["detector"], row["interval"], row["threshold"]): row for row in rows}
    for environment, interval, misses in RECOMMENDED:
        row = by_key[environment, TRON, interval, misses]
        after = f"{Policy().silence(interval, int(misses)):g} s"
        mean = f"{row['detection_mean']:.3g} s"
        found.append((environment, f"{interval:g} s", misses, after, mean, _mistakes(row)))
    return found


def _mistakes(row: Row) -> str:
    if row["mistakes"]:
        return f"{row['mistakes_per_agent_day']:.3g}"
    return f"none seen, < {row['at_most_per_agent_day']:.2g}"


def _setting(row: Row) -> str:
    every = f"every {row['interval']:g} s"
    if row["detector"] == TRON:
        return f"{every}, {row['threshold']} missed"
    if row["detector"] == FIXED:
        return f"{every}, {row['threshold']} s"
    return f"{every}, phi {row['threshold']}"


def _results_table(rows: Sequence[Row]) -> list[Sequence[str]]:
    found: list[Sequence[str]] = [
        (
            "environment",
            "detector",
            "every",
            "suspects after",
            "T_D mean",
            "T_D p99",
            "mistakes per agent-day",
            "T_MR",
            "T_M",
        )
    ]
    by_key = {(row["environment"], row["detector"], row["interval"], row["threshold"]): row for row in rows}
    for environment in ENVIRONMENTS:
        for key in SHOWN:
            row = by_key.get((environment.name, *key))
            if row is None:
                continue  # a short run has no day to learn a suggestion from
            some = bool(row["mistakes"])
            found.append(
                (
                    environment.name,
                    row["detector"],
                    f"{row['interval']:g} s",
                    _suspects_after(row),
                    f"{row['detection_mean']:.3g} s",
                    f"{row['detection_p99']:.3g} s",
                    _mistakes(row),
                    _hours(row["recurrence_hours"]) if some else "-",
                    f"{row['duration_mean']:.3g} s" if some else "-",
                )
            )
    return found


def _suspects_after(row: Row) -> str:
    if row["detector"] == TRON:
        missed = int(row["threshold"])
        return f"{missed} missed: {Policy().silence(row['interval'], missed):g} s"
    if row["detector"] == SUGGESTED:
        return "twice the longest gap of the first day"
    return f"{row['threshold']} s" if row["detector"] == FIXED else f"phi {row['threshold']}"


def _hours(hours: float) -> str:
    if hours < 1 / 60:
        return f"{3600 * hours:.3g} s"
    if hours < 1:
        return f"{60 * hours:.3g} min"
    return f"{hours:.3g} h" if hours < 48 else f"{hours / 24:.3g} d"


def _environments_table() -> list[Sequence[str]]:
    names = [each.name for each in ENVIRONMENTS]
    found: list[Sequence[str]] = [("parameter", *names, "source")]
    columns = [_parameters(each) for each in ENVIRONMENTS]
    for name, source in SOURCES.items():
        found.append((name, *(column[name] for column in columns), source))
    return found


def _parameters(environment: Environment) -> dict[str, str]:
    values = asdict(environment)
    found = {
        "delay": f"{1000 * values['delay']:g} ms",
        "spread": f"{values['spread']:g}",
        "loss": f"{100 * values['loss']:g} %",
    }
    for name in ("outages", "pauses"):
        each = values[name]
        found[name] = (
            f"every {_hours(each['every'] / 3600)}, {each['shortest']:g} to {each['longest']:g} s,"
            f" tail index {each['shape']:g}"
        )
    return found


def _lines(rows: Sequence[Sequence[str]]) -> str:
    head, *rest = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rest))
