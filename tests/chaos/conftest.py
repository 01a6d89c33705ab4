"""Collects the figure of each scenario: a line of JSON on the terminal, and a file if CHAOS_OUT names one."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Callable, Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tools.make_chaos_table import parse

Figure = Callable[[float, str], None]
"""Takes what a scenario measured: a number, and what it is, as in `0.4, "s until all are attached"`."""

_FIGURE = pytest.StashKey[tuple[float, str]]()


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Figure:
    """Take the figure of this scenario."""

    def take(value: float, unit: str) -> None:
        request.node.stash[_FIGURE] = (round(value, 3), unit)

    return take


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, None]:
    """Note the row of a scenario when it is over: `holds` is whether it passed, null if it could not run here."""
    outcome = yield
    report: pytest.TestReport = outcome.get_result()
    if not (report.when == "call" or (report.when == "setup" and report.skipped)):
        return
    promise, fault = parse(getattr(item, "function").__doc__)  # noqa: B009 - items of other kinds have none
    value, unit = item.stash.get(_FIGURE, (0.0, "-"))
    if report.passed and unit == "-":
        report.outcome = "failed"
        report.longrepr = "a scenario takes its figure: `figure(value, unit)`"
    row = {
        "name": item.name,
        "promise": promise,
        "fault": fault,
        "figure": value,
        "unit": unit,
        "holds": None if report.skipped else report.passed,
    }
    terminal = item.config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None:
        terminal.write_line(f"\nCHAOS {json.dumps(row)}")
    if out := os.environ.get("CHAOS_OUT"):
        _keep(Path(out), row)


def _keep(path: Path, row: dict[str, Any]) -> None:
    """Put a row into the file, in place of an earlier one of the same scenario."""
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    machine = {"cpus": os.cpu_count(), "python": platform.python_version(), "kernel": platform.release()}
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    row |= {"at": datetime.now(UTC).isoformat(), "machine": machine, "commit": commit.stdout.strip()}
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = [each for each in rows if each["name"] != row["name"]]
    path.write_text(json.dumps({"rows": [*kept, row]}, indent=2) + "\n")
