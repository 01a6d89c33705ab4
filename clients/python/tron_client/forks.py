"""What becomes of the SDK's objects in a forked child: threads, streams and connections stay with the parent.

Whatever holds one of these watches for a fork, and says in `after_fork` what it is in the child: ended, or opened anew
when it is next used. It must take no lock there: the thread that held it is not in the child.
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
        """In the child: make new locks, let go of threads, and `keep` what belongs to grpc."""


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
    """Call `after_fork` of an object in each child that is forked while it lives."""
    _forks.watchers.add(watcher)


def depth() -> int:
    """How many forks lie between this process and the one that loaded the SDK; changes in a child only."""
    return _forks.depth


def keep(*theirs: object) -> None:
    """Hold on to objects of grpc that the parent made: their end would wait for threads that are not here."""
    _forks.kept.extend(theirs)


def connecting() -> None:
    """A channel is about to be opened.

    Raises RuntimeError in a process that was patched in a way that gRPC cannot work with, and in a child of a process
    that had a channel, if gRPC is configured not to support forks: it would end the child without a message.
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
