"""Collects what went wrong without an error at the caller: in logs, in tasks and in threads."""

from __future__ import annotations

import asyncio
import logging
import threading
import traceback
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import structlog

EXPECTED = frozenset(
    {"notice_invalid", "operators_told", "policy_unreadable", "policy_left_out", "operator_queue_damaged"}
)
"""Errors in the log that are right: answers to bad input, and what operators are notified of."""


class Alarms:
    """What was noticed since the last call of `check`."""

    def __init__(self) -> None:
        self._noticed: list[str] = []
        self.over = False
        """Set once the harness itself breaks tasks off."""

    def notice(self, what: str) -> None:
        """Add something that must not happen."""
        if not self.over:
            self._noticed.append(what)

    def check(self) -> None:
        """Raise AssertionError if anything was noticed since the last call."""
        noticed, self._noticed = self._noticed, []
        if noticed:
            raise AssertionError("\n".join(noticed)[-20_000:])

    def watch_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Notice what a task or a callback raises if nobody waits for it."""

        def handler(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            error = context.get("exception")
            if _is_of_an_earlier_loop(error):
                return
            shown = "".join(traceback.format_exception(error)) if error is not None else ""
            self.notice(f"event loop: {context.get('message')}\n{shown}")

        loop.set_exception_handler(handler)


class _Handler(logging.Handler):
    def __init__(self, alarms: Alarms) -> None:
        super().__init__(logging.ERROR)
        self._alarms = alarms
        self.setFormatter(logging.Formatter("%(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self._alarms.notice(self.format(record))


def _is_of_an_earlier_loop(error: BaseException | None) -> bool:
    """Whether gRPC could not report an end to the closed loop of an earlier test of this process. It raises that in the
    loop that runs now, which is open."""
    return isinstance(error, RuntimeError) and str(error) == "Event loop is closed"


def _is_exception(record: logging.LogRecord) -> bool:
    return bool(record.exc_info)


@contextmanager
def raised() -> Iterator[Alarms]:
    """Yield the alarms of everything that is logged or raised until the block ends. Nothing is printed meanwhile."""
    alarms = Alarms()

    def keep_errors(_: Any, method: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if (method in ("error", "exception", "critical") or entry.get("exc_info")) and entry["event"] not in EXPECTED:
            shown = traceback.format_exc() if entry.get("exc_info") is True else str(entry.get("exc_info", ""))
            alarms.notice(f"log: {dict(entry)}\n{shown}")
        raise structlog.DropEvent

    def in_thread(failed: threading.ExceptHookArgs) -> None:
        alarms.notice("thread: " + "".join(traceback.format_exception(failed.exc_value)))

    before, hook, handler = structlog.get_config(), threading.excepthook, _Handler(alarms)
    structlog.configure(processors=[keep_errors], wrapper_class=structlog.BoundLogger)
    threading.excepthook = in_thread
    root = logging.getLogger()
    root.addHandler(handler)
    talkative = [logging.getLogger(name) for name in ("engineio.server", "socketio.server")]
    for logger in talkative:
        logger.addFilter(_is_exception)  # they log each bad request as an error, once
    try:
        yield alarms
    finally:
        for logger in talkative:
            logger.removeFilter(_is_exception)
        root.removeHandler(handler)
        threading.excepthook = hook
        structlog.configure(**before)
