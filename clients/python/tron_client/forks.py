"""Handles forked children: threads, streams and connections of the SDK stay with the parent process.

Every object that has threads, streams or connections is registered here. In a forked child, the method `after_fork` of
each such object is called. This method ends the object, or prepares the object to open new streams and connections at
its next use. It must not take a lock, because the thread that held the lock does not exist in the child.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol

import grpc

from tron_client.monkey_patches import require_usable

_OFF = ("0", "false", "no", "off", "n", "f")


class Watcher(Protocol):
    """An object of the SDK that holds threads, locks or connections."""

    def after_fork(self) -> None:
        """Prepare the object for use in the child: create new locks, drop threads, and pass objects of grpc to
        `keep`."""


class _Forks:
    def __init__(self) -> None:
        self.watchers: weakref.WeakSet[Watcher] = weakref.WeakSet()
        self.depth = 0
        self.kept: list[object] = []
        self.connected = False
        self.connected_before = False
        self.engine: object = None

    def after_fork(self) -> None:
        self.depth += 1
        self.connected_before = self.connected_before or self.connected
        for each in tuple(self.watchers):
            each.after_fork()


_forks = _Forks()


def watch(watcher: Watcher) -> None:
    """Call `after_fork` of an object in each child that is forked while the object exists."""
    _forks.watchers.add(watcher)


def depth() -> int:
    """Return the number of forks between this process and the process that loaded the SDK."""
    return _forks.depth


def keep(*theirs: object) -> None:
    """Keep references to objects of grpc that the parent process created, because destroying one would wait for threads
    that do not exist in this child."""
    _forks.kept.extend(theirs)


def connecting() -> None:
    """Check whether this process may open a channel; call this before a channel is opened.

    Raises RuntimeError if gevent or eventlet has patched this process so that gRPC cannot work. Also raises
    RuntimeError if this process was forked from a process that had a channel, and GRPC_ENABLE_FORK_SUPPORT is off,
    because gRPC would then end this process without a message.
    """
    require_usable()
    if _forks.connected_before and os.environ.get("GRPC_ENABLE_FORK_SUPPORT", "").strip().lower() in _OFF:
        raise RuntimeError(
            "GRPC_ENABLE_FORK_SUPPORT is off and gRPC was in use before this process was forked: "
            "remove the variable, or start the child by exec (multiprocessing: spawn)"
        )
    _forks.connected = True
    if _forks.engine is None:
        # Holds gRPC itself, connected to nothing: closing the last channel would shut it down in its own threads, and
        # a fork just then leaves a child in which no channel can be opened any more.
        _forks.engine = grpc.insecure_channel("ipv4:127.0.0.1:1")


os.register_at_fork(after_in_child=_forks.after_fork)
