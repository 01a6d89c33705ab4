"""Reads the request of a unary call or server stream only after the caller was admitted.

gRPC reads and decodes the one request of such a call before it calls the handler. Then callers without a credential
could make the server decode large requests, and keep calls open without limit: a call whose request never comes
reaches no handler. So for gRPC, all handlers here are those of streams of requests, and `RequestReader`, which runs
behind the authentication, reads the one request within a time limit.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grid_model.errors import FieldError, InvalidRequest, QuotaExceeded, SilentStream

from grid_hosting.addresses import client_block
from grid_hosting.handlers import Handler, WrappingInterceptor, kind_of
from grid_hosting.open_counts import OpenCounts

Context = grpc.aio.ServicerContext[Any, Any]

REQUEST_WITHIN = 10.0
"""Seconds within which the request of an admitted call must arrive."""

MOST_AWAITED = 10_000
"""Maximum number of admitted calls whose requests have not arrived. Overflow rule: a further call is refused."""

MOST_AWAITED_OF_CLIENT = 2_000
"""The same maximum for one client address."""


def undecodable() -> InvalidRequest:
    """Return the error for a request whose bytes are not a valid message."""
    return InvalidRequest.of(FieldError("request", "is not a valid message for this method, or is nested too deeply"))


class LateRequests(WrappingInterceptor):
    """Makes gRPC call the handler before it reads the request. This must be the first interceptor; the others receive
    None in place of the request, until `RequestReader`."""

    def _wrap(self, handler: Any, method: str) -> Handler:
        if handler.request_streaming:
            return handler  # type: ignore[no-any-return]
        function, _ = kind_of(handler)

        async def answer(_: Any, context: Context) -> Any:
            return await function(None, context)

        async def answer_many(_: Any, context: Context) -> AsyncIterator[Any]:
            async for response in function(None, context):
                yield response

        if handler.response_streaming:
            many: Any = answer_many if inspect.isasyncgenfunction(function) else answer
            return grpc.stream_stream_rpc_method_handler(many, None, handler.response_serializer)
        return grpc.stream_unary_rpc_method_handler(answer, None, handler.response_serializer)


class RequestReader(WrappingInterceptor):
    """Reads the one request of a call, for the interceptors and the handler after this one."""

    def __init__(self) -> None:
        super().__init__()
        self._awaited = OpenCounts()

    async def _read(self, context: Context, deserialize: Any) -> Any:
        """Return the request. Raises InvalidRequest, QuotaExceeded, SilentStream."""
        client = client_block(context.peer())
        if self._awaited.total >= MOST_AWAITED or self._awaited.of(client) >= MOST_AWAITED_OF_CLIENT:
            raise QuotaExceeded("too many calls wait for their requests; no more are allowed")
        try:
            with self._awaited.one(client):
                async with asyncio.timeout(REQUEST_WITHIN):
                    data = await context.read()
        except TimeoutError:
            raise SilentStream(f"the request of the call did not arrive within {REQUEST_WITHIN:g} s") from None
        if data is grpc.aio.EOF:
            raise InvalidRequest.of(FieldError("request", "is missing: the client ended the call without a message"))
        try:
            return deserialize(data)
        except DecodeError:
            raise undecodable() from None

    def _wrap(self, handler: Any, method: str) -> Handler:
        if handler.request_streaming:
            return handler  # type: ignore[no-any-return]
        function, make = kind_of(handler)
        deserialize = handler.request_deserializer

        async def answer(_: Any, context: Context) -> Any:
            return await function(await self._read(context, deserialize), context)

        async def answer_many(_: Any, context: Context) -> AsyncIterator[Any]:
            async for response in function(await self._read(context, deserialize), context):
                yield response

        wrapper: Any = answer_many if inspect.isasyncgenfunction(function) else answer
        return make(wrapper, deserialize, handler.response_serializer)
