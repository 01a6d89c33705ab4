"""The real gRPC handlers of a server, called without a network: with bytes, behind the interceptors of all servers.

`Doors` takes what a server takes at its registration. A call runs what gRPC would run: the wrapped handler, which reads
the request, and the serializer of its answers.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import grpc

from grid_hosting.grpc_server import in_order

ANSWERED_WITHIN = 10.0
"""Seconds within which a call must be answered."""

STREAM_LENGTH = 20
"""Messages that are read of a stream that the server sends."""

FORBIDDEN = frozenset({grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.DATA_LOSS})


class Doors:
    """The methods of a server. It takes the place of the server at registration, and keeps the handlers."""

    def __init__(self) -> None:
        self._handlers: dict[str, Any] = {}
        self._interceptors = in_order()

    def add_generic_rpc_handlers(self, handlers: Iterable[Any]) -> None:
        """Ignore these: generated code adds each handler by `add_registered_method_handlers` too."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """Keep the handlers of a service."""
        self._handlers |= {f"/{service}/{name}": handler for name, handler in handlers.items()}

    @property
    def methods(self) -> tuple[str, ...]:
        """The full names of the methods."""
        return tuple(self._handlers)

    async def handler(self, method: str) -> Any:
        """Return the handler of a method as the server calls it."""

        async def found(_: Any) -> Any:
            return self._handlers[method]

        find = found
        for interceptor in reversed(self._interceptors):
            find = partial(interceptor.intercept_service, find)
        return await find(cast(Any, _Details(method)))

    async def call(self, method: str, data: bytes) -> grpc.StatusCode:
        """Make a call with one request. Return its status; a stream of answers is read up to STREAM_LENGTH messages.
        Raises AssertionError if there is no answer, or a forbidden one."""
        context = CallContext(data)
        handler = await self.handler(method)
        try:
            async with asyncio.timeout(ANSWERED_WITHIN):
                await self._answer(handler, context)
        except TimeoutError:
            raise AssertionError(f"{method}: no answer within {ANSWERED_WITHIN:g} s") from None
        except grpc.aio.AbortError:
            pass
        context.check(method)
        return context.code

    async def _answer(self, handler: Any, context: CallContext) -> None:
        if not handler.response_streaming:
            handler.response_serializer(await handler.stream_unary(None, context))
            return
        function = handler.stream_stream
        assert inspect.isasyncgenfunction(function)
        async with aclosing(function(None, context)) as answers:
            for _ in range(STREAM_LENGTH):
                # A stream that has nothing to send for now waits; that is an answer too.
                waiting = asyncio.ensure_future(anext(answers, None))
                done, _pending = await asyncio.wait({waiting}, timeout=0 if context.opened else 0.002)
                if not done:
                    done, _pending = await asyncio.wait({waiting}, timeout=0.002)
                if not done:
                    waiting.cancel()
                    await asyncio.wait({waiting})
                    return
                answer = waiting.result()
                if answer is None:
                    return
                context.opened = True
                handler.response_serializer(answer)


@dataclass(frozen=True)
class _Details:
    method: str
    invocation_metadata: tuple[()] = ()


class CallContext:
    """What a handler gets beside the request; remembers how the call ended."""

    def __init__(self, *requests: bytes) -> None:
        """`requests` are the messages of the client."""
        self.code = grpc.StatusCode.OK
        self.text = ""
        self.opened = False
        self._requests = iter(requests)

    async def read(self) -> Any:
        """Return the next message of the client."""
        return next(self._requests, grpc.aio.EOF)

    def peer(self) -> str:
        """Return the address of the caller."""
        return "ipv4:127.0.0.1:1"

    def invocation_metadata(self) -> tuple[()]:
        """Return the metadata of the caller."""
        return ()

    def auth_context(self) -> dict[str, Any]:
        """Return what TLS says about the caller."""
        return {}

    def trailing_metadata(self) -> tuple[()]:
        """Return the metadata that the handler has set."""
        return ()

    def set_code(self, _: grpc.StatusCode) -> None:
        """Do nothing: generated code calls this before it raises."""

    def set_details(self, _: str) -> None:
        """Do nothing."""

    async def send_initial_metadata(self, _: Any) -> None:
        """Do nothing."""

    async def abort(self, code: grpc.StatusCode, details: str = "", _: Any = ()) -> None:
        """End the call."""
        self.code, self.text = code, details
        raise grpc.aio.AbortError

    def check(self, method: str) -> None:
        """Raise AssertionError if the call ended in a way that is always a mistake."""
        assert self.code not in FORBIDDEN, f"{method}: {self.code.name} {self.text}"


class StreamContext(CallContext):
    """The context of a Heartbeat stream: the messages of a client go in, and the answers come out."""

    def __init__(self) -> None:
        super().__init__()
        self._up: asyncio.Queue[Any] = asyncio.Queue()
        self._taken = asyncio.Event()
        self.answers: list[Any] = []

    def feed(self, message: Any) -> None:
        """Add a message of the client, or EOF."""
        self._taken.clear()
        self._up.put_nowait(message)

    async def read(self) -> Any:
        """Return the next message; called by the handler."""
        if self._up.empty():
            self._taken.set()
        return await self._up.get()

    async def write(self, message: Any) -> None:
        """Keep an answer; called by the handler."""
        self.answers.append(message)

    async def abort(self, code: grpc.StatusCode, details: str = "", _: Any = ()) -> None:
        """End the stream: the handler reads its end, as with gRPC."""
        self.code, self.text = code, details
        self._up.put_nowait(grpc.aio.EOF)
        raise grpc.aio.AbortError

    async def taken(self, ended: asyncio.Future[Any]) -> None:
        """Wait until the handler has taken all messages, or ended. Raises AssertionError if it does neither."""
        waiting = asyncio.ensure_future(self._taken.wait())
        done, _ = await asyncio.wait({waiting, ended}, timeout=ANSWERED_WITHIN, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        assert done, f"Heartbeat: a message is not taken within {ANSWERED_WITHIN:g} s"


class OpenStream:
    """One Heartbeat stream of a case."""

    def __init__(self, handler: Any) -> None:
        self.context = StreamContext()
        self._deserialize = handler.request_deserializer
        self._serialize = handler.response_serializer
        self._task = asyncio.ensure_future(handler.stream_stream(None, self.context))

    async def send(self, data: bytes) -> None:
        """Send one message, and wait until it is taken."""
        if not self._task.done():
            self.context.feed(self._deserialize(data))
            await self.context.taken(self._task)

    async def close(self) -> None:
        """End the stream, and wait for the handler. Raises AssertionError for an end that is a mistake."""
        self.context.feed(grpc.aio.EOF)
        done, _ = await asyncio.wait({self._task}, timeout=ANSWERED_WITHIN)
        assert done, f"Heartbeat: the handler does not end within {ANSWERED_WITHIN:g} s"
        error = self._task.exception()
        if error is not None and not isinstance(error, grpc.aio.AbortError):
            raise error
        self.context.check("Heartbeat")
        for answer in self.context.answers:
            self._serialize(answer)
