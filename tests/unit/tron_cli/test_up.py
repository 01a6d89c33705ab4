"""What `tron up` refuses before it starts anything."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from tron_cli.app import app
from typer.testing import CliRunner

FLAGS = ("registry", "tron", "registry-http", "tron-http", "events-http", "hmi")


@pytest.mark.parametrize("taken", FLAGS)
def test_an_address_in_use_is_named_before_any_program_could_find_another_system_there(
    tmp_path: Path, taken: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        flags = [word for flag in FLAGS for word in (f"--{flag}-listen", address if flag == taken else "127.0.0.1:0")]
        result = CliRunner().invoke(app, ["up", "--data-dir", str(tmp_path / "data"), *flags])
    assert result.exit_code == 1
    assert f"{address} is in use" in result.output
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("address", ["localhost", "127.0.0.1:99999", "::1:0", "unix:/tmp/x", "http://127.0.0.1:1", ""])
def test_a_wrong_address_is_refused_at_once_in_one_line_that_names_the_flag(
    tmp_path: Path, flag: str, address: str
) -> None:
    result = CliRunner().invoke(app, ["up", "--data-dir", str(tmp_path / "data"), f"--{flag}-listen", address])
    assert result.exit_code == 2
    (line,) = result.output.splitlines()
    assert line.startswith(f"tron: --{flag}-listen: ")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("flag", ["registry-metrics", "tron-metrics"])
def test_a_wrong_address_of_metrics_is_refused_too(tmp_path: Path, flag: str) -> None:
    flags = [word for each in FLAGS for word in (f"--{each}-listen", "127.0.0.1:0")]
    arguments = ["up", "--data-dir", str(tmp_path / "data"), *flags, f"--{flag}-listen", "localhost"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    (line,) = result.output.splitlines()
    assert line.startswith(f"tron: --{flag}-listen: ")


def test_one_address_for_two_ports_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    flags = ["--registry-listen", address, "--tron-listen", address]
    result = CliRunner().invoke(app, ["up", "--data-dir", str(tmp_path / "data"), *flags])
    assert (result.exit_code, result.output) == (
        2,
        f"tron: --tron-listen: the address {address} is already used by --registry-listen; choose another address\n",
    )
