"""A TCP proxy between clients and a server that behaves as bad networks and middleboxes do; one thread carries it.

It can throttle one direction, delay, hold back everything without a word, keep the server's connection open after the
client died (as a proxy or a NAT does), and reset every connection.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

_PIECES_PER_SECOND = 20
_BUFFER = 4096
"""Bytes that the kernel may hold back on our side; without a bound it would hide that the reader is slow."""

_PIECE = 1 << 16
_IN_FLIGHT = 256
"""Pieces on their way in one direction of a connection; then nothing more is read."""

_LINGER_RESET = b"\x01\x00\x00\x00\x00\x00\x00\x00"
"""struct linger: on, 0 s. close(2) then sends RST."""

T = TypeVar("T")


class Link:
    """Where to connect to, and how the way behaves now. All methods are safe from any thread."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self.address = ""
        self.bytes_per_second = 0
        """On the way to the client. 0: as fast as possible."""
        self.delay = 0.0
        """Seconds that each piece is under way, in both directions."""
        self.keeps_dead = False
        """Whether the connection to the server stays open when the client is dead."""
        self._pairs: set[_Pair] = set()
        self._carrying: set[asyncio.Task[None]] = set()
        self._open = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def hold(self) -> None:
        """Let nothing through any more, either way: no data, no end of a connection. Nobody is notified."""
        self._do(self._open.clear)

    def release(self) -> None:
        """Let everything through again, first what was held back."""
        self._do(self._open.set)

    def cut(self) -> int:
        """Reset all connections on both sides; return how many there were. New ones are accepted."""

        def cut() -> int:
            pairs = list(self._pairs)
            for pair in pairs:
                pair.reset()
            return len(pairs)

        return self._do(cut)

    @property
    def connections(self) -> int:
        """How many connections to the server are open now."""
        return self._do(lambda: len(self._pairs))

    def start(self) -> None:
        """Listen on a free port."""
        self._thread.start()
        self._run(self._listen())

    def stop(self) -> None:
        """End everything."""
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # --- on the thread ----------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        self._open.set()
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0, limit=_BUFFER)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _end(self) -> None:
        self._server.close()
        for task in self._carrying:
            task.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._connect(reader, writer))
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._open.wait()
        there = socket.socket()
        there.setblocking(False)
        there.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        try:
            await self._loop.sock_connect(there, self._target)
            far_reader, far_writer = await asyncio.open_connection(sock=there, limit=_BUFFER)
        except OSError:
            there.close()
            _reset(writer)
            return
        pair = _Pair(writer, far_writer)
        self._pairs.add(pair)
        up = asyncio.create_task(self._carry(reader, far_writer, to_client=False))
        down = asyncio.create_task(self._carry(far_reader, writer, to_client=True))
        try:
            await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
            while self.keeps_dead and up.done() and not down.done():
                await asyncio.wait({down}, timeout=0.2)
            await self._open.wait()
        finally:
            up.cancel()
            down.cancel()
            pair.reset() if _failed(up) or _failed(down) else pair.close()
            self._pairs.discard(pair)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, to_client: bool) -> None:
        """One direction, until its source ends. Raises OSError if the source or the sink was reset."""
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_IN_FLIGHT)
        delivering = asyncio.create_task(self._deliver(under_way, writer, to_client=to_client))
        try:
            while True:
                speed = self.bytes_per_second if to_client else 0
                data = await reader.read(speed // _PIECES_PER_SECOND or _PIECE)
                await under_way.put((time.monotonic() + self.delay, data))
                if not data or delivering.done():
                    await delivering
                    return
                if speed:
                    await under_way.join()
        finally:
            delivering.cancel()

    async def _deliver(
        self, under_way: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter, *, to_client: bool
    ) -> None:
        while True:
            due, data = await under_way.get()
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await self._open.wait()
            if not data:
                return
            writer.write(data)
            try:
                await writer.drain()
            except OSError:
                if not (to_client and self.keeps_dead):  # the client is dead, and the server does not learn it
                    raise
            if to_client and self.bytes_per_second:
                await asyncio.sleep(len(data) / self.bytes_per_second)
            under_way.task_done()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def _do(self, work: Callable[[], T]) -> T:
        async def done() -> T:
            return work()

        return self._run(done())


class _Pair:
    """The two connections of one client."""

    def __init__(self, *writers: asyncio.StreamWriter) -> None:
        self._writers = writers
        for writer in writers:
            writer.transport.set_write_buffer_limits(high=_BUFFER)

    def close(self) -> None:
        for writer in self._writers:
            writer.close()

    def reset(self) -> None:
        for writer in self._writers:
            _reset(writer)


def _reset(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, AttributeError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
    writer.transport.abort()


def _failed(task: asyncio.Task[None]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is not None


@contextmanager
def link(target: str) -> Iterator[Link]:
    """Forward connections to `target` until the block ends; as fast as possible until it is set otherwise."""
    way = Link(target)
    way.start()
    try:
        yield way
    finally:
        way.stop()
