"""Finds out why streams cannot be opened, in one thread per process that runs only while a stream waits.

gRPC waits for a connection silently. This module checks each address for which a stream has waited for long, and checks
it again at intervals.
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
"""Seconds between two looks at one address."""

SHARED = 2.0
"""Seconds for which others who are about to look at the same address hear this answer instead."""


@dataclass(slots=True)
class _Wait:
    address: Address
    tell: Callable[[Answer], None]
    due: float


class Outages:
    """The streams that wait, and the address for which each waits. Bounded by the streams of the process. Safe from any
    thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waits: dict[int, _Wait] = {}
        self._numbers = itertools.count(1)
        self._thread: threading.Thread | None = None

    def begin(self, address: Address, tell: Callable[[Answer], None], after: float) -> int:
        """Record that a stream waits for `address`; after `after` seconds, and then every `AGAIN` seconds, call `tell`
        with the result of a check.

        The checks end once a gRPC server is there, because the stream then waits for an answer and not for a
        connection. `tell` is called in a thread of the SDK. Returns the number with which `end` ends the wait.
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
        """End a wait; do nothing if it has ended before."""
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
