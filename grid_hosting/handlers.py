"""The base class of all interceptors of gRPC servers, which wrap the handlers of the methods."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import grpc

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class WrappingInterceptor(grpc.aio.ServerInterceptor):
    """Wraps the handler of each method once, and uses the wrapped handler for all calls of the method. If another
    interceptor creates a new handler for a call, the new handler is wrapped."""

    def __init__(self) -> None:
        self._wrapped: dict[str, tuple[Handler, Handler]] = {}
        """The last handler of each method, and the handler that wraps it."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Return the wrapped handler; None if the server has no such method."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = str(handler_call_details.method)
        known, wrapped = self._wrapped.get(method, (None, None))
        if wrapped is None or known is not handler:
            wrapped = self._wrap(handler, method)
            self._wrapped[method] = handler, wrapped
        return wrapped

    @abstractmethod
    def _wrap(self, handler: Any, method: str) -> Handler:
        """Return the handler to use in place of this one, of the same kind; see `kind_of`."""


def kind_of(handler: Any) -> tuple[Any, Callable[..., Handler]]:
    """Return the function of a handler, and the function of gRPC that creates handlers of the same kind (unary or
    streaming)."""
    match bool(handler.request_streaming), bool(handler.response_streaming):
        case False, False:
            return handler.unary_unary, grpc.unary_unary_rpc_method_handler
        case False, True:
            return handler.unary_stream, grpc.unary_stream_rpc_method_handler
        case True, False:
            return handler.stream_unary, grpc.stream_unary_rpc_method_handler
        case _:
            return handler.stream_stream, grpc.stream_stream_rpc_method_handler
