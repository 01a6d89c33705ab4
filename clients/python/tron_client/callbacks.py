"""Calls the program's callbacks from threads: a function runs in the calling thread, a coroutine in the event loop that
ran when the agent was started.

A call has succeeded only once everything that it began has ended: if the callback returns an awaitable or a future, the
SDK waits for the result.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable
from concurrent.futures import CancelledError, Future
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_running_in: ContextVar[frozenset[int]] = ContextVar("tron_client_callbacks", default=frozenset())


class CallbackFailed(Exception):
    """A callback ended without a usable result: it was cancelled, it tried to exit, or it returned a generator, which
    would never run."""


class Callbacks:
    """The callbacks of one agent or supervisor. Thread-safe."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        """The event loop in which coroutines run. If it is None or closed, each coroutine runs in an event loop of its
        own, in the thread that makes the call."""
        self._lock = threading.Lock()
        self._calls: set[Future[Any]] = set()

    def attach_running_loop(self) -> None:
        """From now on, run coroutine callbacks in the event loop that runs in the current thread. Change nothing if no
        event loop runs in this thread."""
        try:
            self.loop = asyncio.get_running_loop()
        except RuntimeError:
            return

    @property
    def is_calling(self) -> bool:
        """Whether the current code runs inside one of these callbacks. Such code must not wait until the callbacks have
        ended."""
        return id(self) in _running_in.get()

    @property
    def can_be_awaited(self) -> bool:
        """Whether the current code may wait for a coroutine callback. Code that runs in the event loop of the callbacks
        may not wait, because it would block that loop."""
        try:
            return asyncio.get_running_loop() is not self.loop
        except RuntimeError:
            return True

    def call(self, callback: Callable[[Any], object], argument: object, timeout: float | None = None) -> None:
        """Call the callback and wait until it has ended, at most `timeout` seconds for a coroutine or a future, and
        without a limit for a function.

        Raises the exception of the callback, or CallbackFailed if it was cancelled, tried to exit, or returned a
        generator.
        """
        token = _running_in.set(_running_in.get() | {id(self)})
        try:
            result = callback(argument)
            under_way = self._under_way(result, timeout)
            if under_way is not None:
                self._wait(under_way, timeout if under_way is result else None)
        except Exception:
            raise
        except BaseException as error:
            raise CallbackFailed(f"{type(error).__name__}: {error}") from error
        finally:
            _running_in.reset(token)

    def begin(
        self, callback: Callable[[Any], object], argument: object, ended: Callable[[Exception | None], None]
    ) -> None:
        """Call the callback. When the callback and everything that it began have ended, call `ended`: with None, or
        with the error that `call` would raise.

        Blocks only while a callback that is a plain function runs. A callback that is a coroutine function occupies no
        thread, and its `ended` is called in the event loop.
        """
        failed: Exception | None = None
        under_way: Future[Any] | None = None
        token = _running_in.set(_running_in.get() | {id(self)})
        try:
            under_way = self._under_way(callback(argument), None)
        except Exception as error:
            failed = error
        except BaseException as error:
            failed = CallbackFailed(f"{type(error).__name__}: {error}")
        finally:
            _running_in.reset(token)
        if under_way is None:
            ended(failed)
            return
        with self._lock:
            self._calls.add(under_way)
        under_way.add_done_callback(partial(self._ended, ended))

    def cancel(self) -> None:
        """Cancel the coroutines that run; functions cannot be cancelled."""
        with self._lock:
            calls = tuple(self._calls)
        for call in calls:
            call.cancel()

    def after_fork(self) -> None:
        """Drop running calls and the event loop in a forked child, because both belong to the parent process."""
        self.loop, self._lock, self._calls = None, threading.Lock(), set()

    def _under_way(self, result: object, timeout: float | None) -> Future[Any] | None:
        """Return a future for what the callback began; None if nothing runs any more."""
        if inspect.isgenerator(result) or inspect.isasyncgen(result):
            raise CallbackFailed(f"the callback returned a {type(result).__name__}, which would never run")
        if isinstance(result, Future):
            return result
        if not inspect.isawaitable(result):
            return None
        if self.loop is None or self.loop.is_closed():
            asyncio.run(_bounded(result, timeout))
            return None
        return self._in_loop(self.loop, result, timeout)

    def _ended(self, ended: Callable[[Exception | None], None], call: Future[Any]) -> None:
        with self._lock:
            self._calls.discard(call)
        if call.cancelled():
            ended(CallbackFailed("the callback was cancelled"))
            return
        error = call.exception()
        ended(error if error is None or isinstance(error, Exception) else CallbackFailed(repr(error)))

    def _in_loop(
        self, loop: asyncio.AbstractEventLoop, awaited: Awaitable[object], timeout: float | None
    ) -> Future[Any]:
        bounded = _bounded(awaited, timeout)
        try:
            return asyncio.run_coroutine_threadsafe(bounded, loop)
        except BaseException:  # the loop was closed just now
            for each in (bounded, awaited):
                if inspect.iscoroutine(each):
                    each.close()
            raise

    def _wait(self, call: Future[Any], timeout: float | None) -> None:
        with self._lock:
            self._calls.add(call)
        try:
            call.result(timeout)
        except CancelledError as error:
            raise CallbackFailed("the callback was cancelled") from error
        except TimeoutError as error:
            raise (error if call.done() else _late(timeout)) from None
        finally:
            with self._lock:
                self._calls.discard(call)


async def _bounded(awaited: Awaitable[object], timeout: float | None) -> None:
    limit = asyncio.timeout(timeout)
    try:
        async with limit:
            await awaited
    except TimeoutError:
        if limit.expired():
            raise _late(timeout) from None
        raise


def _late(timeout: float | None) -> TimeoutError:
    return TimeoutError(f"the callback did not end within {timeout:g} s")
