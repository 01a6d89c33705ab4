"""A task that fails ends its program at once, with its traceback: no thread of a client or server keeps it alive."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.grid_hosting.test_starting import SERVERS

SCRIPT = """
import asyncio, importlib, runpy, sys
module, owner, method = sys.argv.pop(1), sys.argv.pop(1), sys.argv.pop(1)

async def broken(*_, **__):
    await asyncio.sleep(0.5)
    raise RuntimeError("a task broke")

setattr(getattr(importlib.import_module(module), owner), method, broken)
sys.argv[0] = sys.argv.pop(1)
runpy.run_module(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize(
    ("program", "package", "task"),
    [
        ("registry", "registry_server", ("registry_server.io.grpc_heartbeat", "HeartbeatStreams", "sweep_forever")),
        ("registry", "registry_server", ("registry_server.io.loop", "RegistryLoop", "_keep_time")),
        ("monitor", "tron", ("tron.monitor", "Monitor", "run")),
        ("gateway", "gateway_http", ("gateway_http.server", "Port", "serve")),
    ],
)
def test_the_program_ends_with_it(tmp_path: Path, program: str, package: str, task: tuple[str, str, str]) -> None:
    _, *flags = SERVERS[program]
    command = [sys.executable, "-c", SCRIPT, *task, package, *flags, "--data-dir", str(tmp_path / "data")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "RuntimeError: a task broke" in done.stderr
