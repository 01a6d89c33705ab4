"""`tron up` and the programs that it runs as commands, with stand-ins for the three programs."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import GATEWAY_FLAGS, is_alive, start_system
from tests.support.waiting import wait_until

# Stands where the real package would: the path in PYTHONPATH comes before the installed ones.
STAND_IN = """
import json, os, signal, sys
if "--ready-file" not in sys.argv:
    print(json.dumps(sys.argv[1:]))
    sys.exit(7)
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
addresses = {}
for number, (key, flag) in enumerate(KEYS.items()):
    host, port = options[flag].split(":")
    addresses[key] = f"{host}:{os.getpid() + number if port == '0' else port}"
with open(os.path.join(options["--data-dir"], "arguments"), "w") as file:
    json.dump(options, file)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
with open(options["--ready-file"] + ".tmp", "w") as file:
    json.dump({**addresses, "pid": os.getpid()}, file)
os.replace(options["--ready-file"] + ".tmp", options["--ready-file"])
while True:
    signal.pause()
"""


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """The environment in which the stand-ins are found."""
    programs = {
        "registry_server": {"registry_grpc": "--listen"},
        "tron": {"tron_grpc": "--listen"},
        "gateway_http": GATEWAY_FLAGS,
    }
    for package, keys in programs.items():
        folder = tmp_path / "stand_ins" / package
        folder.mkdir(parents=True)
        (folder / "__init__.py").touch()
        (folder / "__main__.py").write_text(STAND_IN.replace("KEYS", repr(keys)))
    return {"PYTHONPATH": str(tmp_path / "stand_ins")}


def test_up_runs_all_three_and_says_where(tmp_path: Path, env: dict[str, str]) -> None:
    with start_system(tmp_path, env=env) as system:
        wait_until(lambda: "tron run --id hello" in system.log, 10, "welcome")
        assert system.registry_address in system.log
        assert system.tron_address in system.log
        for key in GATEWAY_FLAGS:
            assert system.ready[key] in system.log
        assert set(system.ready["pids"]) == {"registry", "monitor", "gateway"}
        assert str((tmp_path / "data").resolve()) in system.log.replace("\n", "")
        assert f"tron services --registry {system.registry_address}" in system.log
        assert system.stop() == 0
        assert not system.ready


def test_each_program_gets_its_own_folder_and_the_monitor_the_registry(tmp_path: Path, env: dict[str, str]) -> None:
    config = tmp_path / "tron.toml"
    config.touch()
    with start_system(tmp_path, "--config", str(config), env=env) as system:
        told = json.loads((tmp_path / "data" / "monitor" / "arguments").read_text())
        assert told["--registry"] == system.registry_address
        assert told["--config"] == str(config)
        assert (tmp_path / "data" / "registry" / "arguments").exists()
        told = json.loads((tmp_path / "data" / "gateway" / "arguments").read_text())
        assert (told["--registry"], told["--tron"]) == (system.registry_address, system.tron_address)


@pytest.mark.parametrize("name", ["registry", "monitor", "gateway"])
def test_a_restarted_child_keeps_its_addresses(tmp_path: Path, env: dict[str, str], name: str) -> None:
    with start_system(tmp_path, env=env) as system:
        before = {key: value for key, value in system.ready.items() if key != "pids"}
        old_pid = system.kill_child(name)
        assert is_alive(system.wait_restarted(name, old_pid))
        assert {key: value for key, value in system.ready.items() if key != "pids"} == before


def test_nothing_lingers_after_the_supervisor_is_killed(tmp_path: Path, env: dict[str, str]) -> None:
    with start_system(tmp_path, env=env) as system:
        pids = [system.child_pid(name) for name in ("registry", "monitor", "gateway")]
        system.kill()
        wait_until(lambda: not any(is_alive(pid) for pid in pids), 5, "children are gone")


def test_two_do_not_share_a_data_directory(tmp_path: Path, env: dict[str, str]) -> None:
    with start_system(tmp_path, env=env):
        second = tron("up", "--data-dir", str(tmp_path / "data"), env=env)
        assert second.returncode == 1
        assert "another `tron up` uses" in second.stderr


def test_ctrl_c_in_a_terminal_drains_in_order(tmp_path: Path, env: dict[str, str]) -> None:
    ready_file = tmp_path / "ready.json"
    command = [sys.executable, "-m", "tron_cli", "up", "--data-dir", str(tmp_path / "data")]
    flags = ("--registry-listen", "--tron-listen", *GATEWAY_FLAGS.values())
    listens = [*(word for flag in flags for word in (flag, "127.0.0.1:0")), "--ready-file", str(ready_file)]
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*command, *listens], stdin=theirs, stdout=theirs, stderr=theirs, env=os.environ | env, start_new_session=True
    )
    os.close(theirs)
    try:
        wait_until(ready_file.exists, 20, "ready")
        pids = json.loads(ready_file.read_text())["pids"].values()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the whole foreground group
        assert process.wait(20) == 0
        assert not any(is_alive(pid) for pid in pids)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


@pytest.mark.parametrize("word", ["registry", "monitor", "gateway"])
def test_the_programs_get_every_flag_as_it_is(word: str, env: dict[str, str]) -> None:
    flags = ["--help", "-h", "--listen=127.0.0.1:0", "--log-level", "debug", "-xyz"]
    done = tron(word, *flags, env=env)
    assert json.loads(done.stdout) == flags
    assert done.returncode == 7


def test_a_config_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    done = tron("up", "--data-dir", str(tmp_path / "data"), "--config", str(tmp_path / "missing.toml"))
    assert (done.returncode, "no such file" in done.stderr) == (2, True)


def test_the_supervising_process_does_not_load_grpc() -> None:
    code = "import sys, tron_cli.app; sys.exit('grpc' in sys.modules or 'tron_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_the_server_extra_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['typer'] = None; import tron_cli; tron_cli.run()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install 'tron-grid[server]'" in done.stderr
    assert "Traceback" not in done.stderr


def tron(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run `tron` to its end."""
    command = [sys.executable, "-m", "tron_cli", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=os.environ | (env or {})
    )
