"""Handles forked children: threads, streams and connections of the SDK stay with the parent process.

Every object that holds one of these is registered here, and its `after_fork` ends the object in the child, or opens it
anew at its next use. `after_fork` must not take a lock, because the thread that held the lock does not exist in the
child.
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
        """Prepare the object for use in the child: create new locks, drop threads, and `keep` objects of grpc."""


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
    """Call `after_fork` of an object in each child that is forked while the object lives."""
    _forks.watchers.add(watcher)


def depth() -> int:
    """Return the number of forks between this process and the process that loaded the SDK."""
    return _forks.depth


def keep(*theirs: object) -> None:
    """Keep a reference to an object of grpc that the parent process created: destroying it would wait for threads that
    do not exist here."""
    _forks.kept.extend(theirs)


def connecting() -> None:
    """Check that this process may open a channel, before it does.

    Raises RuntimeError in a process that was patched in a way that gRPC cannot work with, and in a child of a process
    that had a channel, if gRPC is configured not to support forks: gRPC would end such a child without a message.
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
