"""What deploy/ has for Prometheus and Grafana: taken by the real promtool, and about metrics that exist."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.binaries import find_binary

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARD = ROOT / "deploy" / "grafana" / "tron.json"

SUFFIXES = re.compile(r"_(bucket|sum|count)$")
OF_PROMETHEUS = {"up", "ALERTS"}


def promtool(*arguments: str, stdin: str | None = None) -> str:
    """Run promtool, which must succeed; return what it says."""
    program = find_binary("promtool")
    assert program is not None
    done = subprocess.run([program, *arguments], input=stdin, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rules() -> dict[str, str]:
    """The expression of each alert, by its name."""
    groups = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


def panels() -> list[dict[str, Any]]:
    """All panels of the dashboard."""
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def expressions() -> Iterator[str]:
    """All expressions of rules and dashboard, as Prometheus would be asked."""
    yield from rules().values()
    for panel in panels():
        for target in panel.get("targets", ()):
            yield target["expr"].replace("$__rate_interval", "5m")


def documented() -> set[str]:
    """The metrics in the table of docs/operations.md; another test holds it to what the programs expose."""
    section = (ROOT / "docs" / "operations.md").read_text().partition("\n## Metrics\n")[2].partition("\n## ")[0]
    return set(re.findall(r"^\| `([a-z_]+)` \|", section, re.MULTILINE))


def named_in(expression: str) -> set[str]:
    """The metrics that an expression names."""
    without_texts = re.sub(r'"[^"]*"', "", expression)
    without_labels = re.sub(r"\bby\s*\([^)]*\)|\{[^}]*\}|\[[^\]]*\]", "", without_texts)
    return {SUFFIXES.sub("", word) for word in re.findall(r"\b[a-z][a-z_]+\b(?!\s*\()", without_labels)} - {"by"}


def test_every_metric_of_a_rule_or_panel_exists() -> None:
    named = {name for expression in expressions() for name in named_in(expression)}
    assert named - OF_PROMETHEUS <= documented()
    assert len(named) > 20


@pytest.mark.needs("promtool")
def test_prometheus_takes_the_example_with_its_rules() -> None:
    promtool("check", "config", str(PROMETHEUS / "prometheus.yml"))
    promtool("check", "rules", str(PROMETHEUS / "alerts.yml"))


@pytest.mark.needs("promtool")
def test_each_rule_fires_when_it_should_and_only_then() -> None:
    promtool("test", "rules", str(PROMETHEUS / "alerts_test.yml"))
    tested = {each["name"] for each in yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text())["tests"]}
    assert tested == rules().keys()


@pytest.mark.needs("promtool")
def test_prometheus_takes_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    recorded = [{"record": f"panel_{number}", "expr": each} for number, each in enumerate(expressions())]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": recorded}]}))
    promtool("check", "rules", str(file))


def test_each_rule_says_what_it_means_and_how_severe_it_is() -> None:
    for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in ("warning", "critical")
            assert rule["annotations"].keys() == {"summary", "description"}


def test_the_dashboard_can_be_imported() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    assert {"title", "uid", "panels", "schemaVersion", "templating", "time"} <= dashboard.keys()
    (datasource,) = dashboard["templating"]["list"]
    ids = [panel["id"] for panel in panels()]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, f"{panel['title']} lies on another panel"
        assert max(x for x, _ in cells) < 24
        taken |= cells
        if panel["type"] != "row":
            assert panel["title"]
            assert panel["description"]
            assert panel["datasource"]["uid"] == f"${{{datasource['name']}}}"
            assert panel["targets"]
