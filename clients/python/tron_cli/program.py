"""Runs the program under `tron run`: starts it, forwards every signal once, and reaps orphans as an init process does.

Signals are blocked, and a thread fetches each of them together with the kernel's information about its sender. So no
signal is lost, and none interrupts other code. A signal that the terminal sent to the whole foreground group has
reached the program already; it is distinguished from one that was sent to `tron run` alone, which must be forwarded.
Create a Program before any other thread, because threads inherit the blocked signals.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING

from tron_cli.endings import Ending, EndRequests
from tron_cli.tether import become_reaper, tethered

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

_SI_KERNEL = 0x80
_FROM_TERMINAL = frozenset(
    {signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGHUP, signal.SIGWINCH}
)
_STOPPED_BY_TERMINAL = frozenset({signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU})
_KEPT = frozenset({signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD})


class Program:
    """The program under `tron run`. The kernel kills it if `tron run` dies, because an agent that TRON has declared
    down must not continue to work."""

    def __init__(self, command: Sequence[str], environment: dict[str, str], without: Sequence[str] = ()) -> None:
        """Start `command` with the environment variables of this process, except those listed in `without`, and with
        those in `environment`. From now on a thread of this object receives all signals of the process; signal handlers
        receive none."""
        self._passed_on = signal.valid_signals() - _KEPT
        # Signals that our parent process ignored (nohup) stay ignored in the program, unless it decides otherwise.
        self._ignored = {each for each in signal.valid_signals() if signal.getsignal(each) is signal.SIG_IGN}
        signal.signal(signal.SIGCHLD, _nothing)  # an ignored one, inherited, would hide how the program ended
        before = signal.pthread_sigmask(signal.SIG_BLOCK, self._passed_on | {signal.SIGCHLD})
        self._command = tethered(list(command), before)
        ours = {name: value for name, value in os.environ.items() if name not in without}
        self._environment = ours | environment
        self._shares_terminal = _in_foreground()
        self._changed = threading.Condition(threading.RLock())
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = self._slept = False
        self._requests = EndRequests()
        become_reaper()
        self.start()
        threading.Thread(target=self._pass_on, name="tron-signals", daemon=True).start()

    def start(self) -> None:
        """Start the program, for the first time or again."""
        # In the foreground of a terminal it shares our group, for Ctrl-C, Ctrl-Z and reading. Elsewhere it has one of
        # its own: a signal to our group then reaches it through us, once.
        group = None if self._shares_terminal else 0
        with self._changed:
            self._stopped = False
            self._process = subprocess.Popen(self._command, env=self._environment, process_group=group)

    @property
    def pid(self) -> int:
        """The program's process id; 0 before it was started."""
        return 0 if self._process is None else self._process.pid

    def wait(self) -> Ending:
        """Wait until the program ends; return its ending."""
        with self._changed:
            while (ending := self._reap()) is None:
                self._changed.wait()
            return ending

    def end(self) -> None:
        """Send SIGTERM to the program, and wait until it has ended."""
        with self._changed:
            self._send(signal.SIGTERM)
        self.wait()

    def end_was_asked_for(self, ending: Ending) -> str | None:
        """Return the name of the signal that asked for this ending. If no signal did, return None, and forget all
        earlier signals, so that none of them counts for the next run of the program."""
        with self._changed:
            asked = self._requests.answered(ending, time.monotonic())
            if asked is None:
                self._requests.forget()
            return asked

    def rest_until(self, moment: float) -> bool:
        """Wait until `moment` on the monotonic clock, and return True; return False once a signal asks the program to
        stop."""
        with self._changed:
            while not self._requests.pending(now := time.monotonic()):
                if now >= moment:
                    return True
                self._changed.wait(moment - now)
            return False

    def _pass_on(self) -> None:
        """Fetch signals as they arrive, forward them, and reap processes that have ended."""
        while True:
            fetched = _fetch(self._passed_on | {signal.SIGCHLD})
            with self._changed:
                if fetched is not None and fetched[0] != signal.SIGCHLD:
                    self._handle_signal(*fetched)
                self._reap()
                self._changed.notify_all()

    def _handle_signal(self, number: int, by_kernel: bool, sender: int) -> None:
        if sender == os.getpid():
            return  # a pipe of ours broke
        shared = by_kernel and number in _FROM_TERMINAL and self._shares_terminal
        if shared and number == signal.SIGHUP and os.getsid(0) == os.getpid():
            shared = False  # the terminal is gone, and only we received the signal
        if number not in self._ignored:
            self._requests.heard(number, time.monotonic(), from_terminal=by_kernel)
        if number == signal.SIGCONT and self._slept:
            self._slept = False
            self._reap()
            shared = not self._stopped  # the shell continued all of the group
        if not shared:
            self._send(number)

    def _send(self, number: int) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    def _reap(self) -> Ending | None:
        """Reap all processes that have ended; return how the program ended, None while it runs."""
        assert self._process is not None
        while self._process.returncode is None:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
            except ChildProcessError:
                self._process.returncode = 0  # taken by somebody else, who did not say
                break
            if pid == 0:
                return None
            if pid != self._process.pid:
                continue
            if os.WIFSTOPPED(status):
                self._stop_with_it(os.WSTOPSIG(status))
            elif os.WIFCONTINUED(status):
                self._stopped = False
            else:
                self._process.returncode = os.waitstatus_to_exitcode(status)
        return Ending.of(self._process.returncode)

    def _stop_with_it(self, number: int) -> None:
        """If the terminal stopped the program, stop this process too, so that the shell sees that; the shell continues
        both."""
        self._stopped = True
        if self._shares_terminal and number in _STOPPED_BY_TERMINAL:
            self._slept = True
            os.kill(os.getpid(), signal.SIGSTOP)


def _nothing(_: int, __: FrameType | None) -> None:
    """Handle a signal by doing nothing, so that the kernel keeps it until it is fetched."""


def _fetch(numbers: set[signal.Signals | int]) -> tuple[int, bool, int] | None:
    """Wait for a signal; return its number, whether the kernel sent it, and the sender's pid (0: unknown). Return None
    if none arrived."""
    if hasattr(signal, "sigwaitinfo"):
        try:
            found = signal.sigwaitinfo(numbers)
        except InterruptedError:
            return None
        by_kernel = found.si_code == _SI_KERNEL
        return found.si_signo, by_kernel, 0 if by_kernel else found.si_pid
    number = signal.sigwait(numbers)  # not Linux
    return number, number in _FROM_TERMINAL and _in_foreground(), 0


def _in_foreground() -> bool:
    """Return whether this process is in the foreground of a terminal, even if its stdin is redirected."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
