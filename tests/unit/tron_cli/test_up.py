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
