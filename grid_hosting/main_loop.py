"""A gRPC server whose main loop, the task that accepts all calls, no call can end; and whose end is noticed.

The main loop of grpc.aio 1.85 decodes the path of each call of an unknown method, and ends if the path is not UTF-8:
the process continues, but accepts no call any more, and no credential is needed to do this to it. Known methods are
not affected, because gRPC compares their paths as bytes. So this server answers the calls of unknown methods itself,
without decoding their paths, and the main loop never receives them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # what types-grpcio leaves out

from grid_hosting.start import StartError

if TYPE_CHECKING:
    from grpc.aio import Server as _Server
else:
    from grpc.aio._server import Server as _Server  # the public name is that of its abstract base class

UNKNOWN = "unknown method"
"""What gRPC logs as the name of each unknown method."""

APART = hasattr(cygrpc.AioServer, "_request_registered_call")
"""Whether this grpcio receives the calls of unknown methods apart from those of known ones."""


class _NoMethods:
    """Finds no handler for any call."""

    def resolve_handler(self, _: grpc.HandlerCallDetails) -> None:
        """Return None: gRPC answers UNIMPLEMENTED."""


class _Core(cygrpc.AioServer):  # type: ignore[misc]  # it is written in Cython
    """The part of a grpc.aio.Server that is written in Cython; it calls these methods of its own by their names."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.failure: asyncio.Future[NoReturn] = asyncio.get_running_loop().create_future()
        self._answers: set[asyncio.Task[None]] = set()

    async def _request_call(self) -> Any:
        """Return the next call that `_request_registered_call` does not return. Where those are the calls of unknown
        methods, answer them here instead; then this ends with an error once the server stops."""
        while APART:
            call = await super()._request_call()
            loop = asyncio.get_running_loop()
            answer = cygrpc._handle_rpc(UNKNOWN, _NoMethods(), (), call, loop, False)  # noqa: SLF001  # no public way
            task = loop.create_task(cygrpc._schedule_rpc_coro(answer, call, loop, UNKNOWN))  # noqa: SLF001
            self._answers.add(task)
            task.add_done_callback(self._answers.discard)
        return await super()._request_call()

    def _serving_task_crash_handler(self, main_loop: asyncio.Task[None]) -> None:
        """Note the error with which the main loop ended, if there is one."""
        super()._serving_task_crash_handler(main_loop)
        if not main_loop.cancelled() and (error := main_loop.exception()) is not None and not self.failure.done():
            self.failure.set_exception(error)


class MainLoopServer(_Server):
    """A grpc.aio.Server, not yet started. The code that protoc generated must register all of its methods."""

    def __init__(self, interceptors: Sequence[grpc.aio.ServerInterceptor], options: Sequence[tuple[str, Any]]) -> None:
        """Create it on the running event loop."""
        self._loop = cygrpc.get_working_loop()
        self._server = _Core(self._loop, None, (), tuple(interceptors), tuple(options), None)

    async def watch(self) -> NoReturn:
        """Wait until the main loop fails. Raises StartError then: this process can accept no call any more, although
        its open calls continue, and must be started again."""
        try:
            await asyncio.shield(self._server.failure)
        except Exception as error:
            raise StartError(f"the gRPC server accepts no calls any more: {type(error).__name__}: {error}") from error
        raise AssertionError("the future has no result")
