"""How gRPC wakes the threads of a program: all waiting wake-ups of the event loop are read at once, and threads that
wait in synchronous calls are woken only when something arrives.

For each finished operation, a thread of grpc.aio writes one byte to a socket pair, and the loop reads one byte in each
of its turns, however many operations it handles in that turn. Bytes accumulate, and after 278 of them (on Linux) the
thread blocks. From then on, the loop receives one operation in each turn, and each new operation waits behind all
earlier ones. Measured: with 10,000 streams the socket pair was always full, and while 2,000 connections ended, no
heartbeat of the other 8,000 was read for 1.5 s. If all bytes are read at once, the loop is woken once for all
operations.
"""

from __future__ import annotations

import asyncio
import importlib
import socket
from collections.abc import Callable
from typing import Any

import grpc

MOST = 4096
"""Maximum number of bytes that are read at once; a socket pair holds fewer."""


LONGEST_WAIT = 60.0
"""Seconds for which a thread waits in a synchronous call before it checks again whether something arrived."""


def wake_threads_rarely() -> None:
    """Let threads that wait in synchronous calls of gRPC sleep until something arrives. gRPC wakes each of them ten
    times a second, so that a main thread that waits can handle signals; the main thread of our programs runs an event
    loop. Without effect if gRPC no longer has this setting."""
    common: Any = importlib.import_module("grpc._common")
    if hasattr(common, "MAXIMUM_WAIT_TIMEOUT"):
        common.MAXIMUM_WAIT_TIMEOUT = LONGEST_WAIT


def read_wakeups_at_once(loop: asyncio.AbstractEventLoop) -> None:
    """Start grpc.aio on this running loop, so that all waiting wake-ups are read at once. Call this before any object
    of grpc.aio is created; later it has no effect."""
    original = loop.add_reader

    def add_reader(source: Any, handle: Callable[..., object], *args: Any) -> None:
        if isinstance(source, socket.socket) and not args:
            original(source, _drained(source, handle))
        else:
            original(source, handle, *args)

    # gRPC adds its reader here, and offers no other way to reach it.
    loop.add_reader = add_reader  # type: ignore[method-assign, assignment]
    try:
        grpc.aio.init_grpc_aio()
    finally:
        del loop.add_reader


def _drained(source: socket.socket, handle: Callable[[], object]) -> Callable[[], None]:
    """Return a handler that first reads all waiting bytes but one, which `handle` reads."""
    flags = socket.MSG_PEEK | socket.MSG_DONTWAIT

    def drain() -> None:
        try:
            waiting = len(source.recv(MOST, flags))
        except BlockingIOError:
            return  # read in an earlier turn
        if waiting > 1:
            source.recv(waiting - 1)
        handle()

    return drain
