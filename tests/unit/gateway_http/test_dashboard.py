"""The pure modules of the dashboard, tested by node; and what is true of all its files."""

from __future__ import annotations

import re
import subprocess
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from gateway_http.page.files import FOLDER, HEADERS, load_page
from tests.support.binaries import find_binary

TESTS = Path(__file__).parent / "dashboard"

PURE = (
    "announcer",
    "event_types",
    "format",
    "grouping",
    "hierarchy",
    "history",
    "listing",
    "messages",
    "selectors",
    "state",
    "translate",
    "tree",
)


@pytest.mark.needs("node")
@pytest.mark.parametrize("name", sorted(path.name for path in TESTS.glob("*.test.mjs")))
def test_the_rules_of_the_page_hold(name: str) -> None:
    node = find_binary("node")
    assert node is not None
    done = subprocess.run(
        [node, "--test", "--test-reporter=tap", str(TESTS / name)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^# pass [1-9]", done.stdout, re.MULTILINE), "it tested nothing"


def test_the_page_loads_nothing_from_elsewhere() -> None:
    for path in FOLDER.iterdir():
        outside = re.findall(r"""(?:src|href|url|import)[^\n]{0,8}["'(](?:https?:)?//[^"')]+""", path.read_text())
        assert outside == [], path.name


def test_text_only_ever_goes_in_as_text() -> None:
    for path in FOLDER.glob("*.js"):
        found = re.findall(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", path.read_text()
        )
        assert found == [], path.name


def test_there_is_nothing_inline_in_the_page() -> None:
    html = (FOLDER / "index.html").read_text()
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", html) == []
    assert "unsafe" not in HEADERS["content-security-policy"]


def test_every_module_that_is_imported_is_served() -> None:
    files = load_page()
    for path in FOLDER.glob("*.js"):
        for name in re.findall(r'from "\./([^"]+)"', path.read_text()):
            assert name in files, f"{path.name} imports {name}"
    assert "package.json" not in files


def test_no_modules_import_each_other_in_a_cycle() -> None:
    imports = {path.name: re.findall(r'from "\./([^"]+)"', path.read_text()) for path in FOLDER.glob("*.js")}
    assert list(TopologicalSorter(imports).static_order())


def test_modules_without_the_word_document_are_pure() -> None:
    for name in PURE:
        text = re.sub(r"//.*|/\*.*?\*/", "", (FOLDER / f"{name}.js").read_text())
        found = re.findall(
            r"\b(?:document|window|fetch|EventSource|localStorage|setTimeout|Date\.now|Math\.random)\b", text
        )
        assert found == [], name
