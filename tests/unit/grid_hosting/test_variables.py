"""Variables of the environment that look like settings: an unknown one stops the start, as an unknown name in the file
does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from grid_hosting.program import read_config
from grid_hosting.security import read_security
from grid_hosting.start import StartError
from grid_hosting.variables import unknown_variables
from registry_server.config import Config
from tron.config import Config as TronConfig


@pytest.fixture(autouse=True)
def _bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [each for each in os.environ if each.startswith("TRON_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    "name", ["TRON_SECURITY_AUTENTICATION", "TRON_SECURITY_", "TRON_REGISTRY_LISTEM", "tron_registry_authentification"]
)
def test_an_unknown_variable_stops_the_start_in_one_line_that_names_it(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, "true")
    with pytest.raises(SystemExit) as stopped:
        read_config(Config, "registry", [])
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"tron registry: {name}: [")
    assert "it has " in line
    assert "authentication" in line


def test_tron_up_names_it_before_it_starts_a_program() -> None:
    with pytest.raises(StartError, match=r"^TRON_SECURITY_AUTH: \[security\] has no setting auth; it has accept_"):
        read_security("registry", {}, {"TRON_SECURITY_AUTH": "true"}, {})


def test_lower_case_counts_as_for_all_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("tron_security_authentication", "true")
    assert read_config(Config, "registry", []).authentication


def test_other_programs_and_what_others_set_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {
        "TRON_REGISTRY": "127.0.0.1:6122",
        "TRON_MONITOR_LISTEM": "x",
        "TRON_REGISTRY_LISTEM": "",
        "TRON_REGISTRY_SERVICE_HOST": "10.0.0.1",
        "TRON_REGISTRY_SERVICE_PORT": "6122",
        "TRON_REGISTRY_SERVICE_PORT_GRPC": "6122",
        "TRON_REGISTRY_PORT": "tcp://10.0.0.1:6122",
        "TRON_REGISTRY_PORT_6122_TCP": "tcp://10.0.0.1:6122",
        "TRON_REGISTRY_PORT_6122_TCP_ADDR": "10.0.0.1",
        "TRON_REGISTRY_LISTEN": "127.0.0.1:0",
    }
    assert unknown_variables(environ, "registry", Config.model_fields) == []
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert read_config(Config, "registry", []).listen == "127.0.0.1:0"


def test_a_variable_that_a_setting_names_is_no_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("tron.toml").write_text(
        '[[monitor.sinks.webhook]]\nname = "a"\nurl = "https://a.example"\nsecret_env = "TRON_MONITOR_SECRET"\n'
    )
    monkeypatch.setenv("TRON_MONITOR_SECRET", "whsec_" + "x" * 32)
    read_config(TronConfig, "monitor", [])
