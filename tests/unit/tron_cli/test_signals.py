"""`tron run` among signals, terminals and orphans, also as process 1: what it passes on, reaps, and ends by."""

from __future__ import annotations

import os
import pty
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support.canned_registry import Canned, canned_registry
from tests.support.waiting import wait_until
from tests.unit.tron_cli.test_commands import events_sent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

# Notes each signal that it gets, and ends when the file `end` holds its code.
NOTES_SIGNALS = """
import os, signal, sys
folder = sys.argv[1]
every = signal.valid_signals()
signal.pthread_sigmask(signal.SIG_BLOCK, every)
def note(name, line):
    with open(os.path.join(folder, name), "a") as file:
        print(line, file=file, flush=True)
note("pids", os.getpid())
while not os.path.exists(os.path.join(folder, "end")):
    found = signal.sigtimedwait(every, 0.02)
    if found is not None:
        note("heard", found.si_signo)
sys.exit(int(open(os.path.join(folder, "end")).read()))
"""
ENDING = [signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT, signal.SIGALRM, signal.SIGRTMIN + 2]
CATCHABLE = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD})

OF_THE_C_LIBRARY = 0b11 << 31
"""Signals 32 and 33, as /proc shows them. Nobody can set them through the C library; a parent may have ignored them."""


@pytest.fixture(scope="module")
def registry() -> Iterator[Canned]:
    """A registry that answers from a script."""
    with canned_registry() as canned:
        yield canned


def run_command(registry: Canned, program: Sequence[str], *flags: str) -> list[str]:
    """The command line of a `tron run`."""
    options = ["--id", "a", "--interval", "0.2", "--registry", registry.address, *flags]
    return [sys.executable, "-m", "tron_cli", "run", *options, "--", *program]


def noting(folder: Path) -> list[str]:
    """The program that notes signals in a folder."""
    return [sys.executable, "-I", "-S", "-c", NOTES_SIGNALS, str(folder)]


def lines(path: Path) -> list[int]:
    """The numbers in a file, one a line; none if it is not there."""
    return [int(each) for each in path.read_text().split()] if path.exists() else []


@contextmanager
def started(registry: Canned, folder: Path, *flags: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the program that notes signals, without a terminal, until the block ends."""
    process = subprocess.Popen(run_command(registry, noting(folder), *flags), start_new_session=True)
    try:
        wait_until(lambda: lines(folder / "pids"), 30, "the program runs")
        yield process
    finally:
        (folder / "end").write_text("0")
        process.wait(30)


def test_every_signal_that_can_be_caught_is_passed_on_once(registry: Canned, tmp_path: Path) -> None:
    with started(registry, tmp_path) as process:
        for count, number in enumerate(CATCHABLE, 1):
            process.send_signal(number)
            wait_until(lambda count=count: len(lines(tmp_path / "heard")) >= count, 20, f"signal {number}")  # type: ignore[misc]
        # Those to the whole group too: the program has one of its own.
        os.killpg(process.pid, signal.SIGTERM)
        wait_until(lambda: len(lines(tmp_path / "heard")) > len(CATCHABLE), 20, "the group's signal")
        (tmp_path / "end").write_text("9")
        assert process.wait(30) == 9
    assert lines(tmp_path / "heard") == [*CATCHABLE, signal.SIGTERM]
    assert len(lines(tmp_path / "pids")) == 1


@pytest.mark.parametrize(
    "number", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT, signal.SIGALRM, signal.SIGRTMIN + 2]
)
def test_the_code_of_a_program_that_a_signal_ends_is_returned_and_told(registry: Canned, number: int) -> None:
    registry.requests.clear()
    process = subprocess.Popen(
        run_command(registry, ["sh", "-c", "echo; exec sleep 60"]), stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert [event.details["exit_code"] for event in events_sent(registry)] == [128 + number]


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1])
def test_a_signal_that_the_program_survives_does_not_end_its_restarts(
    registry: Canned, tmp_path: Path, number: int
) -> None:
    with started(registry, tmp_path, "--restart", "3") as process:
        process.send_signal(number)
        wait_until(lambda: lines(tmp_path / "heard"), 20, "it survived the signal")
        os.kill(lines(tmp_path / "pids")[0], signal.SIGKILL)
        wait_until(lambda: len(lines(tmp_path / "pids")) == 2, 20, "it was started again")
        assert process.poll() is None


def test_an_end_that_was_asked_for_is_said_to_be_final(registry: Canned) -> None:
    process = subprocess.Popen(
        run_command(registry, ["sh", "-c", "echo; exec sleep 60"], "--restart", "3"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGHUP)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 129
    assert said.endswith(b"\ntron: the program ended by SIGHUP; it is not restarted, because SIGHUP asked it to stop\n")


def test_the_program_finds_no_signal_ignored_or_blocked(registry: Canned) -> None:
    look = "grep -E '^Sig(Blk|Ign)' /proc/self/status | cut -f2"
    done = subprocess.run(
        run_command(registry, ["sh", "-c", look]), capture_output=True, text=True, timeout=30, check=True
    )
    assert {int(each, 16) & ~OF_THE_C_LIBRARY for each in done.stdout.split()} == {0}


def test_what_was_ignored_before_stays_so(registry: Canned, tmp_path: Path) -> None:
    command = run_command(registry, ["sh", "-c", "grep ^SigIgn /proc/self/status | cut -f2; exec sleep 60"])
    process = subprocess.Popen(["nohup", *command], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    assert int(process.stdout.readline(), 16) & ~OF_THE_C_LIBRARY == 1 << (signal.SIGHUP - 1)
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 143


# Takes a terminal for its own, as a login does, and becomes a command whose stdin leads nowhere.
LOGIN = """
import os, sys
terminal = os.open(sys.argv[1], os.O_RDWR)
os.dup2(os.open(os.devnull, os.O_RDONLY), 0), os.dup2(terminal, 1), os.dup2(terminal, 2)
os.execv(sys.argv[2], sys.argv[2:])
"""


@contextmanager
def at_a_terminal(command: Sequence[str]) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Run a command as the leader of a new terminal until the block ends; yields the terminal's other side."""
    here, there = pty.openpty()
    login = [sys.executable, "-I", "-S", "-c", LOGIN, os.ttyname(there), *command]
    process = subprocess.Popen(login, start_new_session=True)
    try:
        yield here, process
    finally:
        process.kill()
        process.wait()
        os.close(here)
        os.close(there)


def test_a_key_of_the_terminal_reaches_the_program_once_though_stdin_leads_elsewhere(
    registry: Canned, tmp_path: Path
) -> None:
    with at_a_terminal(run_command(registry, noting(tmp_path))) as (terminal, process):
        wait_until(lambda: lines(tmp_path / "pids"), 30, "it runs")
        for count, (key, number) in enumerate(((b"\x03", signal.SIGINT), (b"\x1c", signal.SIGQUIT)), 1):
            os.write(terminal, key)
            wait_until(lambda n=count: len(lines(tmp_path / "heard")) >= n, 20, f"{number.name}")  # type: ignore[misc]
        # Signals come lowest first, and one that still waits swallows the next: once it has this, it has had those.
        process.send_signal(signal.SIGUSR1)
        wait_until(lambda: signal.SIGUSR1 in lines(tmp_path / "heard"), 20, "SIGUSR1")
        process.send_signal(signal.SIGINT)  # sent to us alone
        wait_until(lambda: len(lines(tmp_path / "heard")) >= 4, 20, "SIGINT alone")
        (tmp_path / "end").write_text("4")
        assert process.wait(30) == 4
    assert lines(tmp_path / "heard") == [signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGINT]


ENDS_WITH_6 = """
import os, sys, time
folder = sys.argv[1]
with open(os.path.join(folder, "pids"), "w") as file:
    print(os.getpid(), file=file)
while not os.path.exists(os.path.join(folder, "end")):
    time.sleep(0.02)
sys.exit(6)
"""


@pytest.mark.needs("bash")
def test_ctrl_z_stops_both_and_the_shell_continues_both(registry: Canned, tmp_path: Path) -> None:
    # A program that starts no other: a shell that runs `sleep` in a loop may never stop, because Ctrl-Z can stop the
    # child of its vfork before that runs `sleep`, and until then the kernel does not let the shell go on.
    program = [sys.executable, "-I", "-S", "-c", ENDS_WITH_6, str(tmp_path)]
    job = shlex.join(run_command(registry, program))
    note = f"echo $? > {tmp_path}/code"
    bash = shutil.which("bash") or "bash"
    shell = [bash, "-c", f"set -m; {job}; echo stopped > {tmp_path}/stopped; fg; {note}"]
    with at_a_terminal(shell) as (terminal, _):
        wait_until(lambda: lines(tmp_path / "pids"), 30, "it runs")
        os.write(terminal, b"\x1a")
        wait_until((tmp_path / "stopped").exists, 20, "the shell sees that the job stopped")
        (tmp_path / "end").touch()
        wait_until(lambda: lines(tmp_path / "code"), 20, "it went on in the foreground")
    assert lines(tmp_path / "code") == [6]


@pytest.fixture
def as_process_1() -> list[str]:
    """The words before a command that make it process 1 of a PID namespace. Skips, or fails under CI, without one."""
    for words in (["unshare"], ["unshare", "--user", "--map-root-user"]):
        command = [*words, "--pid", "--fork", "--kill-child", "--mount-proc"]
        try:
            if subprocess.run([*command, "true"], capture_output=True, timeout=20, check=False).returncode == 0:
                return command
        except FileNotFoundError:
            break
    reason = "no PID namespace can be made here (unshare of util-linux, root or user namespaces)"
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


ORPHANS = """
for i in 1 2 3 4 5; do sh -c 'sleep 0.1 &'; done
echo $$ > {folder}/pids
zombies() {{ grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l; }}
while pgrep -x sleep > /dev/null || [ "$(zombies)" != 0 ]; do :; done
trap 'exit 7' TERM
touch {folder}/reaped
while :; do read -t 0.05 _ < {folder}/fifo; done
"""


@pytest.mark.needs("bash")
def test_as_process_1_it_reaps_orphans_and_passes_signals_on(
    registry: Canned, tmp_path: Path, as_process_1: list[str]
) -> None:
    os.mkfifo(tmp_path / "fifo")
    script = ORPHANS.format(folder=tmp_path)
    command = [*as_process_1, *run_command(registry, ["bash", "-c", script])]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        wait_until((tmp_path / "reaped").exists, 30, "all orphans were reaped")
        [init] = children_of(process.pid)
        assert f"NSpid:\t{init}\t1\n" in status_of(init)
        os.kill(init, signal.SIGTERM)
        assert process.wait(30) == 7
    finally:
        process.kill()
        process.wait()


def status_of(pid: int) -> str:
    """What the kernel says of a process."""
    with open(f"/proc/{pid}/status") as file:  # noqa: PTH123
        return file.read()


def children_of(pid: int) -> list[int]:
    """The pids of its children."""
    with open(f"/proc/{pid}/task/{pid}/children") as file:  # noqa: PTH123
        return [int(each) for each in file.read().split()]


def test_orphans_are_reaped_also_where_it_is_not_process_1(registry: Canned, tmp_path: Path) -> None:
    orphan = (
        f"import os, time\nif os.fork() == 0:\n  open('{tmp_path}/orphan', 'w').write(str(os.getpid())); os._exit(0)"
    )
    script = f'"{sys.executable}" -I -S -c "{orphan}"; exec sleep 60'
    process = subprocess.Popen(run_command(registry, ["sh", "-c", script]), start_new_session=True)
    try:
        [pid] = wait_until(lambda: lines(tmp_path / "orphan"), 30, "the orphan")
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"), 20, "it was reaped")  # noqa: PTH110
    finally:
        process.terminate()
        process.wait(30)
