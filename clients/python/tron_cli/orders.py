"""Receives the orders to a running demo over its socket, each as one JSON object on one line, and answers them. The
module `control` sends them."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
from typing import TYPE_CHECKING, Any

from tron_cli import messages
from tron_cli.control import ControlError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

_ASKING_SECONDS = 30.0
"""Seconds within which a caller must send its order, and read the answer."""
_MOST_CALLERS = 64
"""Maximum number of callers at a time; further callers are refused."""


class OrderRefused(Exception):
    """An order cannot be carried out; the text gives the reason."""


@contextlib.asynccontextmanager
async def take_orders(path: Path, obey: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]) -> AsyncIterator[None]:
    """Listen on a socket at `path` until the block ends. `obey` receives each order, and returns the answer or raises
    OrderRefused.

    Raises ControlError if another process listens at `path`.
    """
    callers: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        caller = asyncio.current_task()
        assert caller is not None
        full = len(callers) >= _MOST_CALLERS
        callers.add(caller)
        try:
            answer = {"ok": False, "error": messages.TOO_MANY_CALLERS} if full else await _answer(reader, obey)
            writer.write(json.dumps(answer).encode() + b"\n")
            async with asyncio.timeout(_ASKING_SECONDS):
                await writer.drain()
        except (ConnectionError, TimeoutError, asyncio.CancelledError):
            pass  # the caller is gone
        finally:
            callers.discard(caller)
            writer.close()

    with _place(path):
        server = await asyncio.start_unix_server(serve, path)
        try:
            yield
        finally:
            server.close()
            for each in tuple(callers):
                each.cancel()


@contextlib.contextmanager
def _place(path: Path) -> Iterator[None]:
    """Reserve the path of the socket for this process. The kernel releases it however the process ends."""
    with path.with_suffix(".lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ControlError(messages.ANOTHER_DEMO) from None
        path.unlink(missing_ok=True)  # left behind by one that was killed
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


async def _answer(
    reader: asyncio.StreamReader, obey: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
) -> dict[str, Any]:
    async with asyncio.timeout(_ASKING_SECONDS):
        try:
            order = json.loads(await reader.readline())
        except ValueError as error:  # no JSON, or a line that is too long
            return {"ok": False, "error": f"the order is not valid JSON: {error}"}
    if not isinstance(order, dict):
        return {"ok": False, "error": messages.ORDER_IS_AN_OBJECT}
    try:
        return {"ok": True, **await obey(order)}
    except OrderRefused as error:
        return {"ok": False, "error": str(error)}
