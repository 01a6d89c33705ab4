"""The list of benchmarks is complete, and their figures have the fields that readers of `latest.json` expect."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from benchmarks import latest
from benchmarks._peer_systems import SYSTEMS
from benchmarks._report import Figure, conclude, write

FIELDS = ["name", "value", "unit", "yardstick", "yardstick_value", "ratio", "goal", "holds", "machine", "commit"]


def test_every_benchmark_is_listed_and_exists() -> None:
    package = importlib.util.find_spec("benchmarks")
    assert package is not None
    assert package.submodule_search_locations
    modules = {
        path.stem
        for folder in package.submodule_search_locations
        for path in Path(folder).glob("[a-z]*.py")
        if path.stem != "latest"
    }
    assert set(latest.BENCHMARKS) == modules
    assert len(latest.BENCHMARKS) == len(modules)


def test_the_driver_of_the_peers_knows_every_system() -> None:
    source = (Path(latest.__file__).parent / "peers_driver" / "main.go").read_text()
    known = re.search(r"var peers = map.*?\{\n(.*?)\n\}", source, re.DOTALL)
    assert known is not None
    assert set(re.findall(r'"(\w+)":', known[1])) == {system.name for system in SYSTEMS}
    assert all({setting.name for setting in system.settings} == {"shortest", "defaults"} for system in SYSTEMS)


def test_each_row_has_exactly_the_ten_fields(tmp_path: Path) -> None:
    figures = [
        Figure("speed", 80.0, "messages/s", "bare", 100.0, goal=0.75),
        Figure("latency", 7.0, "ms", goal=5, at_least=False),
        Figure("size", 3.0, "MB"),
    ]
    write("fake", tmp_path / "fake.json", {"samples": [1]}, figures)
    (tmp_path / "broken.json").write_text("{}")
    missing = {"crashed": "failed with exit code 2"}
    rows = latest.collect(tmp_path, ["fake", "broken", "crashed", "absent"], missing)
    assert [list(row) for row in rows] == [FIELDS] * 6
    assert [row["holds"] for row in rows] == [True, False, None, False, False, None]
    assert rows[0]["ratio"] == 0.8
    assert rows[4]["name"] == "crashed: failed with exit code 2"
    assert "not measured" in rows[5]["name"]
    latest.show(rows)


@pytest.mark.parametrize(
    ("figure", "holds"),
    [
        (Figure("no goal", 1.0, "s"), None),
        (Figure("at the lower limit", 2.0, "s", goal=2), True),
        (Figure("above the upper limit", 2.1, "s", goal=2, at_least=False), False),
        (Figure("the goal is one of the ratio", 10.0, "s", "bare", 40.0, goal=0.5), False),
        (Figure("the ratio of pairs comes first", 10.0, "s", "bare", 40.0, goal=0.5, paired=0.6), True),
        (Figure("never measured", None, "s", goal=2, at_least=False), False),
        (Figure("without a yardstick's number", 1.0, "s", "bare", goal=1, at_least=False), False),
    ],
)
def test_a_goal_holds_or_not(figure: Figure, holds: bool | None) -> None:
    assert figure.holds is holds


@pytest.mark.parametrize(("value", "code"), [(1.0, 0), (3.0, 1)])
def test_a_benchmark_ends_with_1_if_a_goal_does_not_hold(tmp_path: Path, value: float, code: int) -> None:
    with pytest.raises(SystemExit) as ended:
        conclude("fake", tmp_path / "fake.json", [Figure("x", value, "s", goal=2, at_least=False)], {})
    assert ended.value.code == code
    assert json.loads((tmp_path / "fake.json").read_text())["rows"][0]["holds"] is (code == 0)


@pytest.mark.parametrize(
    ("code", "writes", "why"),
    [(1, True, ""), (0, True, ""), (3, False, "failed with exit code 3"), (0, False, "not measured here")],
)
def test_a_result_counts_only_if_this_run_wrote_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, writes: bool, why: str
) -> None:
    file = tmp_path / "peers.json"
    file.write_text("of an earlier run")
    os.utime(file, (0, 0))

    def fake(command: list[str], *, check: bool) -> subprocess.CompletedProcess[bytes]:
        assert command[-1] == "benchmarks.peers"
        if writes:
            file.write_text("{}")
        return subprocess.CompletedProcess(command, code)

    monkeypatch.setattr(subprocess, "run", fake)
    assert latest.run("peers", tmp_path)[: len(why) or None] == why
