"""A program that cannot start says so in one line that names the path, and exits with a code; never a traceback."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import tests.support.unprivileged
from grid_hosting.start import StartError, prepare_data_dir
from tests.support import warm
from tests.support.processes import start_registry

SERVERS = {
    "registry": ("registry", "--listen", "127.0.0.1:0"),
    "monitor": ("monitor", "--listen", "127.0.0.1:0", "--registry", "127.0.0.1:1"),
    "gateway": (
        "gateway",
        *("--registry-http-listen", "127.0.0.1:0", "--tron-http-listen", "127.0.0.1:0"),
        *("--events-http-listen", "127.0.0.1:0", "--hmi-listen", "127.0.0.1:0", "--registry", "127.0.0.1:1"),
    ),
    "up": (
        "up",
        *("--registry-listen", "127.0.0.1:0", "--tron-listen", "127.0.0.1:0", "--registry-http-listen", "127.0.0.1:0"),
        *("--tron-http-listen", "127.0.0.1:0", "--events-http-listen", "127.0.0.1:0", "--hmi-listen", "127.0.0.1:0"),
    ),
}
MODULES = {"registry": "registry_server", "monitor": "tron", "gateway": "gateway_http"}
"""What `tron registry`, `tron monitor` and `tron gateway` become."""

SINKS = '[{program}.sinks]\napprise = ["json://127.0.0.1:1"]\n'


def start(folder: Path, *words: str, module: str = "tron_cli", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `tron`, or one of its programs, to its end, as a user whom permission bits bind."""
    return warm.run(module, words, os.environ | environment, timeout=60, cwd=folder, unprivileged=True)


def start_one(folder: Path, program: str, *flags: str) -> subprocess.CompletedProcess[str]:
    """Run `tron up`, or the program that a command becomes, to its end."""
    command, *given = SERVERS[program]
    if program in MODULES:
        return start(folder, *given, *flags, module=MODULES[program])
    return start(folder, command, *given, *flags)


def make(folder: Path, trouble: str) -> tuple[list[str], str]:
    """Prepare one trouble; return the flags, and what must be named."""
    data = folder / "data"
    match trouble:
        case "data directory is a file":
            data.write_text("")
            return ["--data-dir", "data"], f"{data}: is a file, not a directory"
        case "data directory below a file":
            (folder / "file").write_text("")
            return ["--data-dir", "file/data"], f"{folder / 'file' / 'data'}: part of the path is a file"
        case "data directory is read-only":
            data.mkdir(mode=0o500)
            return ["--data-dir", "data"], f"{data}: Permission denied"
        case "data directory is no real one":
            return ["--data-dir", "/proc/nowhere"], "/proc/nowhere: No such file or directory"
        case "ready file is a directory":
            return ["--data-dir", "data", "--ready-file", "."], f"{folder}: is a directory"
        case "ready file in a read-only folder":
            (folder / "closed").mkdir(mode=0o500)
            return [
                "--data-dir",
                "data",
                "--ready-file",
                "closed/ready",
            ], f"{folder / 'closed/ready'}: Permission denied"
        case "settings are unreadable":
            (folder / "tron.toml").touch(mode=0)
            return ["--data-dir", "data"], f"{folder / 'tron.toml'}: Permission denied"
        case "settings are a directory":
            return ["--data-dir", "data", "--config", "."], f"{folder}: Is a directory"
        case "settings are not there":
            return ["--data-dir", "data", "--config", "nowhere.toml"], f"{folder / 'nowhere.toml'}: no such file"
        case "settings are not text":
            (folder / "tron.toml").write_bytes(b"\xff\xfe")
            return ["--data-dir", "data"], f"{folder / 'tron.toml'}: is not UTF-8 text"
        case "settings are not TOML":
            (folder / "tron.toml").write_text("[registry")
            return ["--data-dir", "data"], f"{folder / 'tron.toml'}: "
    raise AssertionError(trouble)


EVERYWHERE = [
    "data directory is a file",
    "data directory below a file",
    "data directory is read-only",
    "data directory is no real one",
    "ready file is a directory",
    "ready file in a read-only folder",
    "settings are unreadable",
    "settings are a directory",
    "settings are not there",
    "settings are not text",
    "settings are not TOML",
]


# The three servers share the code that looks; of TRON and the gateway it is enough to see that they use it.
CASES = [
    *(("up", trouble) for trouble in EVERYWHERE),
    *(("registry", trouble) for trouble in EVERYWHERE if trouble != "settings are not TOML"),
    *((program, EVERYWHERE[at]) for program in ("monitor", "gateway") for at in (0, 2, 4, 6)),
]


@pytest.mark.parametrize(("program", "trouble"), CASES)
def test_a_file_that_a_start_needs_is_named_in_one_line(tmp_path: Path, program: str, trouble: str) -> None:
    flags, named = make(tmp_path, trouble)
    done = start_one(tmp_path, program, *flags)
    assert done.returncode in (1, 2), done.stderr
    (line,) = (each for each in done.stderr.splitlines() if "loop_paused" not in each)
    assert line.startswith("tron")
    assert named in line


@pytest.mark.parametrize(
    ("program", "inside", "what"),
    [
        ("registry", "registry.lock", "directory"),
        ("registry", "registry.db", "directory"),
        ("registry", "registry.db", "garbage"),
        ("registry", "registry.db-wal", "directory"),
        ("registry", "sinks", "file"),
        ("monitor", "sinks", "file"),
        ("monitor", "policy.json", "directory"),
    ],
)
def test_a_file_inside_the_data_directory_is_named(tmp_path: Path, program: str, inside: str, what: str) -> None:
    path = tmp_path / "data" / inside
    path.parent.mkdir()
    if what == "directory":
        path.mkdir()
    else:
        path.write_bytes(os.urandom(5000))
    (tmp_path / "tron.toml").write_text(SINKS.format(program=program))
    done = start_one(tmp_path, program, "--data-dir", "data")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    last = [line for line in done.stderr.splitlines() if "loop_paused" not in line][-1]  # as a busy machine adds
    assert str(path).removesuffix("-wal") in last


def test_with_authentication_only_the_owner_enters_the_data_directory(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o755)
    prepare_data_dir(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    prepare_data_dir(folder, private=True)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(0o1777)
    with pytest.raises(StartError, match="is shared with other users"):
        prepare_data_dir(folder, private=True)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o1777


def test_a_second_registry_on_a_data_directory_is_told_which(tmp_path: Path) -> None:
    with start_registry(tmp_path / "data"):
        done = start(tmp_path, *SERVERS["registry"], "--data-dir", "data")
    assert (done.returncode, done.stderr) == (
        1,
        f"tron registry: {tmp_path / 'data'} is in use by another registry\n",
    )


def test_up_does_not_repeat_what_a_program_said_of_its_data(tmp_path: Path) -> None:
    (tmp_path / "data" / "registry" / "registry.db").mkdir(parents=True)
    done = start(tmp_path, *SERVERS["up"], "--data-dir", "data")
    assert done.returncode == 1
    said = [line for line in done.stderr.splitlines() if "registry.db" in line]
    assert said == [f"tron registry: {tmp_path}/data/registry/registry.db: is a directory"]
    assert "Traceback" not in done.stderr


def test_up_without_a_folder_for_temporary_files_says_what_to_set(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    script = (
        "import sys, tempfile; closed = sys.argv.pop(1); tempfile._candidate_tempdir_list = lambda: [closed];"
        "import tron_cli; tron_cli.run()"
    )
    plain = [sys.executable, "-I", "-S", tests.support.unprivileged.__file__]
    done = subprocess.run(
        [*plain, sys.executable, "-c", script, str(tmp_path / "closed"), *SERVERS["up"], "--data-dir", "data"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 1, done.stderr
    (line,) = (each for each in done.stderr.splitlines() if "loop_paused" not in each)
    assert "set TMPDIR" in line
