"""A gRPC channel with its stubs, for the clients with threads. It is opened again in a forked child, and after a
certificate was renewed."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from tron_client import forks
from tron_client.channel import open_channel
from tron_client.credentials import credentials_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import grpc

    from tron_client.address import Address


class Connection:
    """One channel to one address. It can be used in any thread, and in any forked child of the process."""

    def __init__(self, address: Address, **stubs: Callable[[grpc.Channel], Any]) -> None:
        self._address = address
        self._makers = stubs
        self._lock = threading.Lock()
        self._closed = False
        self._channel: grpc.Channel | None = None
        self._credentials: grpc.ChannelCredentials | None = None
        # The channel before a renewal, on which streams may be open. At most one: the next renewal closes it.
        self._earlier: grpc.Channel | None = None
        self._stubs: dict[str, Any] = {}
        self._open()
        forks.watch(self)

    def stub(self, name: str) -> Any:
        """Return the stub with this name, on a channel that uses the current certificates. After `close`, ValueError is
        raised: by this method, or by the call that the caller makes on the stub."""
        with self._lock:
            if self._channel is None:
                if self._closed:
                    raise ValueError("the connection was closed")
                self._open()
            elif not self._closed and credentials_of(self._address) is not self._credentials:
                self._renew()
            return self._stubs[name]

    def close(self) -> None:
        """Close the channel; calls that are open on it end."""
        with self._lock:
            self._closed = True
            channels = (self._channel, self._earlier)
        for each in channels:
            if each is not None:
                each.close()

    def after_fork(self) -> None:
        """Drop the parent's channel in a forked child; the next call opens a new channel."""
        forks.keep(self._channel, self._earlier, self._stubs)
        self._lock, self._channel, self._earlier, self._stubs = threading.Lock(), None, None, {}

    def _renew(self) -> None:
        if self._earlier is not None:
            self._earlier.close()
        self._earlier = self._channel
        self._open()

    def _open(self) -> None:
        forks.connecting()
        self._credentials = credentials_of(self._address)
        self._channel = open_channel(self._address)
        self._stubs = {name: make(self._channel) for name, make in self._makers.items()}


def answers(stream: Any) -> Iterator[Any]:
    """Yield the answers of a stream, and cancel the stream when the caller stops iterating.

    Raises InheritedStream in a forked child: the stream belongs to the parent process, and the child cannot use it.
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
    """The parent process opened this stream, so a forked child cannot read it."""
