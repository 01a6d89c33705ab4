"""The only place that creates a gRPC server, with its port, credentials, interceptors and limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import grpc

from grid_hosting.addresses import join, parse_listen
from grid_hosting.listening import check_bindable, concrete_host
from grid_hosting.main_loop import MainLoopServer
from grid_hosting.options import server_options
from grid_hosting.reflection import enable_reflection
from grid_hosting.requests import LateRequests, RequestReader
from grid_hosting.start import StartError
from grid_hosting.status import ErrorInterceptor


@dataclass(frozen=True, slots=True)
class BoundServer:
    """A gRPC server with a bound port, not yet started, and its address with the actual port."""

    server: MainLoopServer
    address: str


def build_server(
    listen: str,
    *,
    register: Callable[[grpc.aio.Server], None],
    services: Iterable[str],
    max_message_bytes: int,
    credentials: grpc.ServerCredentials | None = None,
    admission: grpc.aio.ServerInterceptor | None = None,
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    max_connection_age: float | None = None,
    max_streams: int = 0,
) -> BoundServer:
    """Create a server and bind its port. Raises StartError, with one line, if it cannot listen on the address.

    `register` adds the servicers; `services` are their full names, for reflection. Without credentials the port is
    plaintext. `max_connection_age`, `max_streams`: see `server_options`. `admission` admits or refuses a call before
    its request is read; the other interceptors run after that. An error that an interceptor raises is answered like an
    error of a servicer.
    """
    options = server_options(max_message_bytes, max_connection_age, max_streams)
    server = MainLoopServer(in_order(admission, interceptors), options)  # type: ignore[abstract]  # not at run time
    register(server)
    enable_reflection(services, server)
    return BoundServer(server, _bind(server, listen, credentials))


def in_order(
    admission: grpc.aio.ServerInterceptor | None = None, interceptors: Sequence[grpc.aio.ServerInterceptor] = ()
) -> list[grpc.aio.ServerInterceptor]:
    """Return all interceptors of a server in the order in which they see a call; for the arguments, see
    `build_server`."""
    admitting = [] if admission is None else [admission]
    return [LateRequests(), ErrorInterceptor(), *admitting, RequestReader(), *interceptors]


def _bind(server: grpc.aio.Server, listen: str, credentials: grpc.ServerCredentials | None) -> str:
    check_bindable(listen)  # gRPC would say only that it failed
    address = parse_listen(listen)
    host = concrete_host(address)
    wanted = join(host, address.port)
    try:
        port = server.add_secure_port(wanted, credentials) if credentials else server.add_insecure_port(wanted)
    except RuntimeError as error:  # another process was faster
        raise StartError(f"cannot listen on {listen}") from error
    return join(host, port)
