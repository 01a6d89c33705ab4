"""Sends the goodbyes of a process that exits normally without stopping its agents, so that no alert is raised.

The exit handlers of the interpreter send the goodbyes. A child process of multiprocessing runs no exit handlers: it
runs finalizers and then calls `os._exit`, so there a finalizer sends the goodbyes. If a program calls `os._exit`, or is
killed, no goodbye is sent.
"""

from __future__ import annotations

import atexit
import os
import sys
import time
import weakref
from typing import Any, Protocol

PATIENCE = 1.0
"""Seconds that the goodbyes of all agents may take."""

_AFTER_ITS_CHILDREN = -100
"""The priority of the finalizer: a process of multiprocessing first waits for its own children and queues."""


class Leaver(Protocol):
    """An object that can send a goodbye."""

    def say_goodbye(self, reason: str) -> None:
        """Begin to leave: send a goodbye with this reason. This method does not wait until the object has left."""

    def join(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds until the object has left; return whether it has."""


_running: weakref.WeakSet[Leaver] = weakref.WeakSet()
_arranged_in = 0


def expect(leaver: Leaver) -> None:
    """Make this object send a goodbye when the process exits, unless it has left before."""
    global _arranged_in
    _running.add(leaver)
    if _arranged_in != os.getpid():
        _arranged_in = os.getpid()
        atexit.unregister(leave)  # inherited by a fork; not where multiprocessing has cleared the handlers
        atexit.register(leave)
        _arrange_in_multiprocessing()


def left(leaver: Leaver) -> None:
    """Record that this object has left, so that it sends no goodbye when the process exits."""
    _running.discard(leaver)


def leave(reason: str = "the process exits") -> None:
    """Send the goodbyes of all objects that have not left, and wait up to `PATIENCE` seconds until they have left."""
    leavers = tuple(_running)
    for each in leavers:
        each.say_goodbye(reason)
    deadline = time.monotonic() + PATIENCE
    for each in leavers:
        each.join(max(0.0, deadline - time.monotonic()))


def after_fork() -> None:
    """Forget all agents in a forked child, because they run in the parent process."""
    _running.clear()


def _arrange_in_multiprocessing() -> None:
    process: Any = sys.modules.get("multiprocessing.process")
    util: Any = sys.modules.get("multiprocessing.util")
    if util is not None and process is not None and process.parent_process() is not None:
        util.Finalize(None, leave, exitpriority=_AFTER_ITS_CHILDREN)


os.register_at_fork(after_in_child=after_fork)
