"""Replaces this process by a program, and has the kernel kill the program when the parent of this process dies: `python
tether.py PARENT_PID SIGNALS PROGRAM ARGS...`.

A supervisor that is killed (kill -9, out of memory) cannot end its children; without this module they would keep their
ports and serve unsupervised. The kernel can end them: PR_SET_PDEATHSIG survives exec. It is set here, in a small
process that then becomes the child, because running Python between fork and exec (`preexec_fn`) can deadlock. This
module imports nothing of the package, so that it starts in milliseconds. On a system without prctl (not Linux) the
child continues to run when its parent dies.

SIGNALS are the numbers of the signals that stay blocked, or `-` to change nothing. A parent that blocks signals also
blocks them here until the program takes over, so that no signal is lost, and none reaches Python.
"""

from __future__ import annotations

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def tethered(command: list[str], blocked: set[int] | None = None) -> list[str]:
    """Return a command line that runs `command` as a program that the kernel kills when the calling process dies.
    `blocked`: the signals that are blocked in this program; None means the signals that the calling process blocks."""
    mask = "-" if blocked is None else ",".join(str(int(each)) for each in sorted(blocked)) or "0"
    # -I -S: neither the environment nor site-packages, so that nothing can slow down or break this step.
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), mask, *command]


def become_reaper() -> None:
    """Make orphaned descendants children of this process, so that it can reap them. Process 1 has them as children
    anyway; for any other process this works only on Linux."""
    if os.getpid() != 1 and sys.platform.startswith("linux"):
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _die_with(parent_pid: int) -> None:
    if not sys.platform.startswith("linux"):
        return
    import ctypes  # slow to import, and needed in the child only

    # SIGKILL rather than SIGTERM: it also ends a child that hangs or is stopped, and losing nothing by kill -9 is what
    # the programs promise anyway.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:
        sys.exit(1)  # the parent died before the tether held


def _become(parent_pid: int, mask: str, command: list[str]) -> None:
    _die_with(parent_pid)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)  # Python ignores them, and an ignored one stays so
    if mask != "-":
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # not a traceback of ours
        signal.pthread_sigmask(signal.SIG_SETMASK, {int(each) for each in mask.split(",")} - {0})
    try:
        os.execvp(command[0], command)
    except OSError as error:
        print(f"tron: cannot run {command[0]}: {error.strerror}", file=sys.stderr)
        sys.exit(127 if isinstance(error, FileNotFoundError) else 126)


if __name__ == "__main__":
    _become(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
