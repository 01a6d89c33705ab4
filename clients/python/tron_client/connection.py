"""A channel with its stubs, opened anew in a forked child: what the clients for threads hold."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from tron_client import forks
from tron_client.channel import open_channel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import grpc

    from tron_client.address import Address


class Connection:
    """One channel to one address. Safe from any thread, and from any child of the process."""

    def __init__(self, address: Address, **stubs: Callable[[grpc.Channel], Any]) -> None:
        self._address = address
        self._makers = stubs
        self._lock = threading.Lock()
        self._closed = False
        self._channel: grpc.Channel | None = None
        self._stubs: dict[str, Any] = {}
        self._open()
        forks.watch(self)

    def stub(self, name: str) -> Any:
        """A stub of the channel. Calls on one that was closed raise ValueError."""
        with self._lock:
            if self._channel is None:
                if self._closed:
                    raise ValueError("the connection was closed")
                self._open()
            return self._stubs[name]

    def close(self) -> None:
        """Close the channel; the calls on it end."""
        with self._lock:
            self._closed = True
            channel = self._channel
        if channel is not None:
            channel.close()

    def after_fork(self) -> None:
        """In the child: the channel is the parent's; the next call opens one."""
        forks.keep(self._channel, self._stubs)
        self._lock, self._channel, self._stubs = threading.Lock(), None, {}

    def _open(self) -> None:
        forks.connecting()
        self._channel = open_channel(self._address)
        self._stubs = {name: make(self._channel) for name, make in self._makers.items()}


def answers(stream: Any) -> Iterator[Any]:
    """The answers of a stream, which is cancelled when nobody asks for more.

    Raises InheritedStream for the next one in a forked child: the stream is the parent's, and must be left alone.
    """
    depth = forks.depth()
    try:
        while depth == forks.depth():
            try:
                answer = next(stream)
            except StopIteration:
                return
            yield answer
        raise InheritedStream
    finally:
        if depth == forks.depth():
            stream.cancel()
        else:
            forks.keep(stream)


class InheritedStream(Exception):
    """The stream was opened by the parent of this process."""
