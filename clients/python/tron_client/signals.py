"""Sends a goodbye when SIGTERM or SIGHUP would end the program at once, and then ends the program by the same signal.

This happens only if the program handles neither signal. Python runs its signal handlers in the main thread, once that
thread returns from C code, so with a Python handler a program that hangs in C code would not end. Therefore the signal
is caught in C: faulthandler writes a line into a pipe, and a thread of the SDK reads it, sends the goodbyes, restores
the default action, and raises the signal again. The program sees its handlers unchanged: a handler that it installs
later replaces the SDK's.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import select
import signal
import threading
import time
from typing import TYPE_CHECKING, Protocol

from tron_client.monkey_patches import real_threads

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

_log = logging.getLogger("tron_client")

HANDLED = (signal.SIGTERM, signal.SIGHUP)
PATIENCE = 1.0
"""Seconds that the goodbyes of all agents of the process may take together."""
_LAST_RESORT = 1.0
"""Seconds after which a process that its own signal does not end (process 1 of a container) exits on its own."""


class Leaver(Protocol):
    """An object that can send a goodbye."""

    def say_goodbye(self, reason: str, *, unseen: bool = False) -> None:
        """Begin to leave. With `unseen`, the program must not notice that its agent ends, because a signal is about to
        end the program."""

    def join(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds until the object has left; return whether it has."""


class Farewells:
    """The agents that send a goodbye when a signal ends the program. There are never more entries than the process has
    agents. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._leavers: set[Leaver] = set()
        self._pipes: dict[int, tuple[int, int]] = {}  # by signal: where we read, where faulthandler writes
        self._ours: set[int] = set()
        self._forking = threading.local()

    def expect(self, leaver: Leaver) -> None:
        """Send a goodbye for this agent if SIGTERM or SIGHUP ends the program and the program does not handle that
        signal."""
        if not real_threads():
            return  # a blocked thread would stop all others
        with self._lock:
            self._leavers.add(leaver)
            for number in HANDLED:
                self._take(number)

    def left(self, leaver: Leaver) -> None:
        """Remove an agent that has ended. After the last one, restore the default actions of the signals."""
        with self._lock:
            self._leavers.discard(leaver)
            if not self._leavers:
                for number in tuple(self._ours):
                    self._give_back(number)

    def _take(self, number: int) -> None:
        if number in self._ours and not _caught(number, default=True):
            self._give_back(number)  # the program had a handler of its own meanwhile, and took it away again
        if number in self._ours or signal.getsignal(number) is not signal.SIG_DFL or _caught(number, default=False):
            return
        try:
            if not self._pipes:
                # One thread for all of them: each thread makes the end of a killed program a little later.
                self._pipes = {each: _pipe() for each in HANDLED}
                threading.Thread(target=self._listen, name="tron-signals", daemon=True).start()
            faulthandler.register(number, file=self._pipes[number][1], all_threads=False, chain=False)
        except (OSError, RuntimeError, ValueError, AttributeError):
            _log.debug("signal_not_handled signal=%d", number, exc_info=True)
            return
        self._ours.add(number)

    def _give_back(self, number: int) -> None:
        """Restore the default action, unless the program has installed a handler of its own."""
        if signal.getsignal(number) is signal.SIG_DFL:
            faulthandler.unregister(number)
            self._ours.discard(number)

    def _listen(self) -> None:
        numbers = {here: number for number, (here, _) in self._pipes.items()}
        poll = select.poll()
        for here in numbers:
            poll.register(here, select.POLLIN)
        while True:
            for here, _ in poll.poll():
                with contextlib.suppress(BlockingIOError):
                    if not os.read(here, 1 << 16):
                        return
                if numbers[here] in self._ours:
                    self._end(numbers[here])

    def _end(self, number: int) -> None:
        leavers, deadline = tuple(self._leavers), time.monotonic() + PATIENCE
        name = signal.Signals(number).name
        _log.info("leaving signal=%s agents=%d", name, len(leavers))
        for each in leavers:
            with contextlib.suppress(Exception):
                each.say_goodbye(f"ended by {name}", unseen=True)
        for each in leavers:
            with contextlib.suppress(Exception):
                each.join(deadline - time.monotonic())
        # Without our lock: its holder may be what hangs.
        default = signal.getsignal(number) is signal.SIG_DFL
        if default:
            faulthandler.unregister(number)
        os.kill(os.getpid(), number)  # also to a handler that the program has installed just now
        if default:
            time.sleep(_LAST_RESORT)
            os._exit(128 + number)

    def before_fork(self) -> None:
        """Block the signals during the fork: a signal to the child would otherwise reach the parent through the
        inherited pipe."""
        self._lock.acquire()
        self._forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED) if self._ours else None

    def after_fork_in_parent(self) -> None:
        """Unblock the signals in the parent process after the fork."""
        self._restore()
        self._lock.release()

    def after_fork_in_child(self) -> None:
        """Remove the SDK's signal handlers in a forked child. The child has no agent yet, and must not write into the
        pipes of the parent process."""
        for number in self._ours:
            if signal.getsignal(number) is signal.SIG_DFL:
                faulthandler.unregister(number)
        for here, there in self._pipes.values():
            os.close(here)
            os.close(there)
        self._leavers.clear()
        self._pipes.clear()
        self._ours.clear()
        self._lock = threading.RLock()
        self._restore()

    def _restore(self) -> None:
        mask: AbstractSet[int] | None = getattr(self._forking, "mask", None)
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _pipe() -> tuple[int, int]:
    here, there = os.pipe()
    os.set_blocking(here, False)
    os.set_blocking(there, False)
    return here, there


def _caught(number: int, *, default: bool) -> bool:
    """Return whether the process handles a signal, also outside Python; `default` if the kernel does not report it."""
    try:
        with open("/proc/thread-self/status", "rb") as file:  # noqa: PTH123
            caught = next(line for line in file if line.startswith(b"SigCgt:"))
        return bool(int(caught.split()[1], 16) >> (number - 1) & 1)
    except (OSError, StopIteration, ValueError, IndexError):
        return default


FAREWELLS = Farewells()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=FAREWELLS.before_fork,
        after_in_parent=FAREWELLS.after_fork_in_parent,
        after_in_child=FAREWELLS.after_fork_in_child,
    )
