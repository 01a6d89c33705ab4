"""Finds out why streams cannot be opened, in one thread per process that runs only while a stream waits.

gRPC waits for a connection silently. So if a stream has waited for long, this module checks what is at its address, and
checks it again at intervals.
"""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tron_client.reachability import what_answers

if TYPE_CHECKING:
    from collections.abc import Callable

    from tron_client.address import Address
    from tron_client.reachability import Answer

_log = logging.getLogger("tron_client")

AGAIN = 30.0
"""Seconds between two checks of one address."""

SHARED = 2.0
"""A check also counts for other streams whose own check of the same address is due within this many seconds."""


@dataclass(slots=True)
class _Wait:
    address: Address
    tell: Callable[[Answer], None]
    due: float


class Outages:
    """The streams that wait for a connection, each with its address. There are never more entries than the process has
    streams. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waits: dict[int, _Wait] = {}
        self._numbers = itertools.count(1)
        self._thread: threading.Thread | None = None

    def begin(self, address: Address, tell: Callable[[Answer], None], after: float) -> int:
        """Record that a stream waits for a connection to `address`. After `after` seconds, and then every `AGAIN`
        seconds, the address is checked, and `tell` is called with the result in a thread of the SDK.

        The checks end once a gRPC server answers, because the stream then waits for an answer and not for a connection.
        Returns a number, which must be passed to `end`.
        """
        with self._changed:
            number = next(self._numbers)
            due = time.monotonic() + after
            soonest = min((each.due for each in self._waits.values()), default=None)
            self._waits[number] = _Wait(address, tell, due)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="tron-outages", daemon=True)
                self._thread.start()
            elif soonest is None or due < soonest:
                self._changed.notify()
        return number

    def end(self, number: int) -> None:
        """End the wait with this number; do nothing if it has ended already."""
        with self._changed:
            self._waits.pop(number, None)

    def forget(self) -> None:
        """Drop all waits in a forked child, where neither the streams nor the thread exist."""
        self._changed = threading.Condition()
        self._waits.clear()
        self._thread = None

    def _run(self) -> None:
        while (address := self._next()) is not None:
            answer = what_answers(address)
            with self._changed:
                now = time.monotonic()
                here = [(number, each) for number, each in self._waits.items() if each.address == address]
                here = [(number, each) for number, each in here if each.due <= now + SHARED]
                for number, each in here:
                    each.due = now + AGAIN
                    if answer.kind == "grpc":
                        del self._waits[number]
            for _, each in here:
                try:
                    each.tell(answer)
                except Exception:
                    _log.exception("callback_failed registry=%s", address)

    def _next(self) -> Address | None:
        """Wait until an address is due for a check and return it; return None, so that the thread may end, once no
        stream waits."""
        with self._changed:
            while self._waits:
                first = min(self._waits.values(), key=lambda each: each.due)
                left = first.due - time.monotonic()
                if left <= 0:
                    return first.address
                self._changed.wait(left)
            self._thread = None
            return None


OUTAGES = Outages()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=OUTAGES.forget)
