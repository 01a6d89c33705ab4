"""A channel of `grpc.aio` that uses renewed certificates: after a file was replaced, later calls use a new connection.

Open calls continue on the former connection, which is closed when the last of them has ended. So there are never more
former connections than open calls.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

import grpc
import grpc.aio

from tron_client.bearer import with_token
from tron_client.credentials import credentials_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from tron_client.address import Address
    from tron_client.bearer import TokenSource


class _Connection:
    """One channel, the credentials that it was opened with, and the number of its open calls."""

    def __init__(self, credentials: grpc.ChannelCredentials | None, channel: grpc.aio.Channel) -> None:
        self.credentials = credentials
        self.channel = channel
        self.calls = 0


class RenewingChannel(grpc.aio.Channel):
    """A channel of `grpc.aio` that opens a new connection after its certificates were renewed. It belongs to one event
    loop."""

    def __init__(
        self,
        address: Address,
        open_channel: Callable[[grpc.ChannelCredentials | None], grpc.aio.Channel],
        token: TokenSource | None = None,
    ) -> None:
        """Open the first connection. `open_channel` takes credentials (None means plaintext), and returns a channel to
        the address. `token` is the source of the token that is sent with each call. Raises ValueError if the
        certificates cannot be used."""
        credentials = credentials_of(address)
        self.token = token
        self._address = address
        self._open_channel = open_channel
        self._current = _Connection(credentials, open_channel(credentials))
        self._former: set[_Connection] = set()
        self._closing: set[asyncio.Task[None]] = set()

    def connection(self) -> _Connection:
        """Return the connection for the next call; it is a new one if the certificates were renewed."""
        credentials = credentials_of(self._address)
        if credentials is not None and credentials is not self._current.credentials:
            former, self._current = self._current, _Connection(credentials, self._open_channel(credentials))
            self._former.add(former)
            self._close_if_unused(former)
        return self._current

    def track(self, connection: _Connection, call: Any) -> None:
        """Count this call among the open calls of its connection, until the call ends."""
        connection.calls += 1

        def ended(_: object) -> None:
            connection.calls -= 1
            self._close_if_unused(connection)

        call.add_done_callback(ended)

    def _close_if_unused(self, connection: _Connection) -> None:
        if connection in self._former and not connection.calls:
            self._former.discard(connection)
            task = asyncio.ensure_future(connection.channel.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def close(self, grace: float | None = None) -> None:
        """Close all connections; open calls end after `grace` seconds."""
        former, self._former = self._former, set()
        for each in (self._current, *former):
            await each.channel.close(grace)
        await asyncio.gather(*self._closing)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self.close()

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """Return the state of the current connection."""
        return self._current.channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Wait until the state of the current connection changes."""
        await self._current.channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Wait until the current connection is open."""
        await self._current.channel.channel_ready()

    def unary_unary(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Return a function that calls the RPC `method`, which takes one request and returns one answer."""
        return _Method(self, "unary_unary", method, arguments, options)

    def unary_stream(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Return a function that calls the RPC `method`, which takes one request and returns a stream of answers."""
        return _Method(self, "unary_stream", method, arguments, options)

    def stream_unary(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Return a function that calls the RPC `method`, which takes a stream of requests and returns one answer."""
        return _Method(self, "stream_unary", method, arguments, options)

    def stream_stream(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Return a function that calls the RPC `method`, which takes a stream of requests and returns a stream of
        answers."""
        return _Method(self, "stream_stream", method, arguments, options)


class _Method:
    """Makes the calls of one method, each on the connection that is current then."""

    def __init__(
        self, channel: RenewingChannel, kind: str, method: str, arguments: tuple[Any, ...], options: dict[str, Any]
    ) -> None:
        self._channel = channel
        self._kind = kind
        self._definition = (method, *arguments), options
        self._made: tuple[_Connection, Callable[..., Any]] | None = None

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        connection = self._channel.connection()
        if self._made is None or self._made[0] is not connection:
            words, named = self._definition
            self._made = (connection, getattr(connection.channel, self._kind)(*words, **named))
        if self._channel.token is not None:
            # An interceptor of grpc.aio would put a queue in front of each stream.
            options["metadata"] = tuple(with_token(options.get("metadata"), self._channel.token))
        call = self._made[1](*arguments, **options)
        self._channel.track(connection, call)
        return call
