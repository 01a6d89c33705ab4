"""A program whose gRPC server accepts no calls any more ends, so that its supervisor starts it again."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.e2e.conftest import Grid
from tests.support.waiting import wait_until

FAILS_AT_THE_SECOND_CALL = """
import runpy, sys
from grid_hosting import main_loop

original, asked = main_loop._Core._request_registered_call, {}

async def request(core, method):
    asked[method] = asked.get(method, 0) + 1
    if method.endswith(b"Health/Check") and asked[method] == 2:
        raise RuntimeError("out of calls")
    return await original(core, method)

main_loop._Core._request_registered_call = request
module, *sys.argv[1:] = sys.argv[1:]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("program", ["registry_server", "tron"])
def test_a_program_that_accepts_no_calls_any_more_ends(tmp_path: Path, grid: Grid, program: str) -> None:
    script, ready, log = tmp_path / "fails.py", tmp_path / "ready.json", tmp_path / "log"
    script.write_text(FAILS_AT_THE_SECOND_CALL)
    more = [] if program == "registry_server" else ["--registry", grid.address, "--no-self-register"]
    command = [
        *(sys.executable, str(script), program, "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"),
        *("--data-dir", str(tmp_path / "data"), "--ready-file", str(ready), *more),
    ]
    with log.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        try:
            wait_until(lambda: ready.exists() or process.poll() is not None, 30, "it serves")
            address = re.findall(r'_grpc": "([^"]*)"', ready.read_text())[0]
            with grpc.insecure_channel(address) as channel:
                health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
            assert process.wait(20) == 1, log.read_text()
        finally:
            process.kill()
    line = r"^tron \w+: the gRPC server accepts no calls any more: RuntimeError: out of calls$"
    assert re.search(line, log.read_text(), re.MULTILINE), log.read_text()
