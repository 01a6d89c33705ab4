"""Settings: what is wrong stops the start with one clear line; what is left out has a default."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway_http.config import Config as GatewayConfig
from grid_hosting.program import ProgramConfig, read_config
from registry_server.config import Config
from tron.config import Config as TronConfig


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_flags_win_over_the_environment_and_that_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("tron.toml").write_text('[registry]\nlisten = "file:1"\nmax_streams = 7\nevent_retention_days = 1.5\n')
    monkeypatch.setenv("TRON_REGISTRY_LISTEN", "environment:1")
    monkeypatch.setenv("TRON_REGISTRY_MAX_STREAMS", "8")
    config = read_config(Config, "registry", ["--listen", "flag:1"])
    assert (config.listen, config.max_streams, config.event_retention_days) == ("flag:1", 8, 1.5)


def test_a_file_without_a_table_for_this_program_leaves_it_at_its_defaults() -> None:
    Path("tron.toml").write_text("[monitor.policy]\nreconnect_grace = 1.0\n")
    assert read_config(Config, "registry", []).listen == "127.0.0.1:6122"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[registri]\n", "registri"),
        ("[registry\n", "wrong.toml"),
        ("[registry]\nlisten_on = 'x'\n", "listen_on"),
        ("[registry]\nmax_streams = 0\n", "max_streams"),
        ("[registry]\nlog_level = 'loud'\n", "log_level"),
    ],
)
def test_what_is_wrong_is_named_and_stops_the_start(text: str, named: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("wrong.toml").write_text(text)
    with pytest.raises(SystemExit) as stopped:
        read_config(Config, "registry", ["--config", "wrong.toml"])
    assert stopped.value.code == 2
    assert named in capsys.readouterr().err


def test_a_file_that_was_named_must_be_there(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        read_config(Config, "registry", ["--config", "nowhere.toml"])
    assert stopped.value.code == 2
    assert "nowhere.toml" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "flag"), [(TronConfig, "registry"), (GatewayConfig, "registry"), (GatewayConfig, "tron")]
)
def test_an_address_of_another_server_that_is_none_stops_the_start(
    kind: type[ProgramConfig], flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        read_config(kind, "monitor", [f"--{flag}", "http://127.0.0.1:6121"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"tron monitor: {flag}: ")
    assert "has a scheme" in said


@pytest.mark.parametrize(("kind", "table"), [(Config, "registry"), (TronConfig, "monitor")])
def test_metrics_are_served_nowhere_if_they_are_off(
    kind: type[Config | TronConfig], table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_config(kind, table, ["--metrics-listen", "off"]).metrics_listen == ""
    Path("tron.toml").write_text(f'[{table}]\nmetrics_listen = ""\n')
    assert read_config(kind, table, []).metrics_listen == ""
    monkeypatch.setenv(f"TRON_{table.upper()}_METRICS_LISTEN", "127.0.0.1:7")
    assert read_config(kind, table, []).metrics_listen == "127.0.0.1:7"


def test_a_wrong_address_of_metrics_stops_the_start(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        read_config(Config, "registry", ["--metrics-listen", "on"])
    assert stopped.value.code == 2
    assert "metrics_listen: 'on' has no port" in capsys.readouterr().err
