"""The documents tell the truth: what they show runs, what they list is what the programs have."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tron_client import RegistryClient

from gateway_http.config import Config as GatewayConfig
from grid_hosting.program import ProgramConfig, read_config
from registry_server.config import Config as RegistryConfig
from tests.support.waiting import wait_until
from tests.support.watched import Watched, start_watched
from tron.config import Config as MonitorConfig
from tron.policy import Policy

ROOT = Path(__file__).parents[2]
DOCS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "clients").glob("*.md")])


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with start_watched(tmp_path_factory.mktemp("docs")) as running:
        yield running


def _run(system: Watched, script: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(script)],
        env={"TRON_REGISTRY": system.registry_address, "PATH": "/usr/bin:/bin", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_the_agent_of_the_readme_works_when_pasted(system: Watched, tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert blocks, "the README shows no agent"
    agent = blocks[0]
    assert len([line for line in agent.splitlines() if line.strip()]) <= 12
    script = tmp_path / "agent.py"
    script.write_text(agent)
    with RegistryClient(system.registry_address) as client:
        before = {each.service_id for each in client.list_services().services}
        with _run(system, script) as process:
            try:
                wait_until(
                    lambda: [
                        each
                        for each in client.list_services().services
                        if each.service_id not in before and each.connected and each.liveness == "ALIVE"
                    ],
                    15,
                    "the pasted agent is alive",
                )
                assert process.poll() is None
            finally:
                process.send_signal(signal.SIGINT)
                said, _ = process.communicate(timeout=15)
            assert process.returncode == 0
            assert "Traceback" not in said


def test_the_example_of_a_parent_and_its_child_runs_to_its_end(system: Watched) -> None:
    with _run(system, ROOT / "examples" / "parent_and_child.py") as process:
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    for expected in ("service_suspect", "service_down", "heartbeat_restored"):
        assert expected in output


def test_the_example_of_a_supervisor_runs_to_its_end(system: Watched) -> None:
    with _run(system, ROOT / "examples" / "supervisor.py") as process:
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "restart 2 of 3" in output
    assert "restart_succeeded" in output


@pytest.mark.parametrize(
    ("kind", "table"), [(RegistryConfig, "registry"), (MonitorConfig, "monitor"), (GatewayConfig, "gateway")]
)
def test_the_example_settings_load_and_are_the_defaults(
    kind: type[ProgramConfig], table: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = read_config(kind, table, ["--config", str(ROOT / "tron.example.toml")])
    defaults = read_config(kind, table, [])
    left_out = {"overrides"}  # shown with an example, empty by default
    assert shown.model_dump(exclude=left_out) == defaults.model_dump(exclude=left_out)
    text = (ROOT / "tron.example.toml").read_text()
    missing = [name for name in kind.model_fields if name not in text]
    assert not missing


def test_a_setting_that_is_not_known_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wrong.toml").write_text("[registry]\nlisten_on = 'x'\n")
    with pytest.raises(SystemExit) as stopped:
        read_config(RegistryConfig, "registry", ["--config", "wrong.toml"])
    assert stopped.value.code == 2


def test_every_setting_and_threshold_is_documented() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    names = {*RegistryConfig.model_fields, *MonitorConfig.model_fields, *GatewayConfig.model_fields, *Policy.__slots__}
    assert not [name for name in sorted(names) if name not in text]


@pytest.mark.parametrize("document", DOCS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|mailto:|#)([^)#]+)", document.read_text())
    assert not [target for target in targets if not (document.parent / target).exists()]


RECORDS = sorted((ROOT / "docs" / "adr").glob("0*.md"))


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.stem)
def test_a_decision_has_a_number_a_status_and_the_three_sections(record: Path) -> None:
    text = record.read_text()
    number = int(record.name[:4])
    assert re.match(rf"# {number}\. \S.+\n\n## Status\n(Accepted|Superseded by \[\d+\])", text)
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Status", "Context", "Decision", "Consequences"]


def test_the_list_of_decisions_names_all_of_them_by_their_titles() -> None:
    listed = re.findall(r"^- \[(\d+)\]\((.+)\) (.+)$", (ROOT / "docs" / "adr" / "README.md").read_text(), re.MULTILINE)
    titles = [path.read_text().partition("\n")[0].partition(". ")[2] for path in RECORDS]
    assert listed == [(path.name[:4], path.name, title) for path, title in zip(RECORDS, titles, strict=True)]
