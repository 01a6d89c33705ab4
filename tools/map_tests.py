"""Keeps tests/test-map.txt: for every test of the baseline, the test that holds its promise now, or why it may go.

`python -m tools.map_tests` finds tests again that were moved to another file under the same name, writes the file anew,
and lists the tests whose place somebody must write down by hand. A line is `FILE::NAME`, if the test is still there;
`FILE::NAME -> FILE::NAME, FILE::NAME`; or `FILE::NAME -- why it may go`.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAP = ROOT / "tests" / "test-map.txt"
BASELINE = "f244ec2"


def _names(source: str) -> Iterator[str]:
    """The names of the tests in a module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node.name


def current_tests() -> set[str]:
    """Every test in the tree, as `FILE::NAME`."""
    files = (ROOT / "tests").rglob("test_*.py")
    return {f"{path.relative_to(ROOT)}::{name}" for path in files for name in _names(path.read_text())}


def baseline_tests() -> list[str]:
    """Every test of the baseline, as `FILE::NAME`. Raises CalledProcessError if this clone does not have its commit."""
    listed = _git("ls-tree", "-r", "--name-only", BASELINE, "tests").splitlines()
    files = [name for name in listed if Path(name).match("test_*.py")]
    return [f"{file}::{name}" for file in files for name in _names(_git("show", f"{BASELINE}:{file}"))]


def read_map() -> dict[str, str]:
    """For each test of the baseline: its places now as `FILE::NAME, FILE::NAME`, or `-- ` and why it may go."""
    found: dict[str, str] = {}
    for line in MAP.read_text().splitlines():
        old, arrow, now = line.partition(" -> ")
        gone, dashes, why = line.partition(" -- ")
        found[gone if dashes else old] = f"-- {why}" if dashes else now if arrow else old
    return found


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def main() -> int:
    """Update the map; return 1 if something must be written by hand."""
    now = current_tests()
    places: dict[str, list[str]] = {}
    for test in sorted(now):
        places.setdefault(test.partition("::")[2], []).append(test)
    known = read_map() if MAP.exists() else {}
    lines, missing = [], []
    for old in baseline_tests():
        place = known.get(old, old)
        if place.startswith("-- "):
            lines.append(f"{old} {place}")
            continue
        if not now.issuperset(place.split(", ")):
            place = next(iter(places.get(place.partition("::")[2], [])), "")
        if not place:
            missing.append(old)
        lines.append(old if place in ("", old) else f"{old} -> {place}")
    MAP.write_text("".join(f"{line}\n" for line in lines))
    print(*missing, sep="\n")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
