"""Opens gRPC channels to the registry and TRON. All channel options of the SDK are set here."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from tron_client import forks
from tron_client.address import DEFAULT_MONITOR, DEFAULT_REGISTRY, Address, parse_address
from tron_client.bearer import of_environment, read_token, require_protected, with_token
from tron_client.credentials import credentials_of
from tron_client.endpoint import SYNC, Endpoint
from tron_client.monkey_patches import require_usable
from tron_client.profiles import files_for, find_profile, token_for
from tron_client.proxy import grpc_proxy
from tron_client.renewing_channel import RenewingChannel
from tron_client.tls import NO_FILES, choose, from_environment, name_to_verify

if TYPE_CHECKING:
    from tron_client.bearer import TokenSource
    from tron_client.proxy import Proxy
    from tron_client.tls import TlsFiles

Options = tuple[tuple[str, int | str], ...]

_OPTIONS: Options = (
    # A ping each 10 s keeps the way through firewalls open. A connection is closed only after 30 s without an answer
    # (of the registry, and of its kernel: gRPC makes TCP_USER_TIMEOUT of the second): what is torn down during a short
    # cut of the network looks like a crash when the network is back. The ping has a time-out of its own, the third.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 30_000),
    ("grpc.http2.ping_timeout_ms", 30_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # A connection without a call is closed before the registry does it, after 60 s; of that, gRPC would tell stderr.
    ("grpc.client_idle_timeout_ms", 45_000),
    # A registry that restarted must be found again quickly: a broken stream is judged after 2 s.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.max_receive_message_length", 64 << 20),  # a page of 10,000 records
)

_CONNECT_TIMEOUT: Options = (("grpc.min_reconnect_backoff_ms", 5_000),)  # despite its name, this is the connect timeout

_TLS_CONNECT_TIMEOUT: Options = (("grpc.min_reconnect_backoff_ms", 20_000),)
"""With TLS, the timeout includes the handshake. When a registry restarts under 10,000 agents, their handshakes take it
more than 10 s; an agent that gave up earlier would make it begin again."""

_OF_AGENTS: Options = (
    # At most 64 kB are on their way down: if they take long to be read, the answers to keepalive and to heartbeats wait
    # behind them. gRPC would allow megabytes.
    ("grpc.http2.bdp_probe", 0),
)


def resolve_address(address: Address | str | None, field: str = "registry") -> Address:
    """Return the address or Endpoint of the registry: the argument, else the environment variable TRON_REGISTRY, else
    the address in the profile, else 127.0.0.1:6122.

    Raises ValueError, with the name of the argument, the variable or the setting, for an invalid address, and for
    certificates that cannot be used.
    """
    return _usable(_resolve(address, field, "TRON_REGISTRY", DEFAULT_REGISTRY))


def resolve_monitor_address(address: Address | str | None, field: str = "address") -> Address:
    """Return the address of TRON: the argument, else the environment variable TRON_MONITOR, else the address in the
    profile, else 127.0.0.1:6123. Raises ValueError as `resolve_address` does, and also for a profile that contains the
    address of the registry but not the address of TRON."""
    return _usable(_resolve(address, field, "TRON_MONITOR", DEFAULT_MONITOR))


def _resolve(address: Address | str | None, field: str, variable: str, default: str) -> Address:
    if isinstance(address, Address):
        return address
    if address is not None and address != "":
        return parse_address(address, field, default)
    found = os.environ.get(variable, "").strip()
    return parse_address(found, variable, default) if found else _of_profile(default)


def _of_profile(default: str) -> Address:
    profile = find_profile(os.environ, address_given=False)
    if profile is None:
        return parse_address(default, "")
    named = profile.registry if default == DEFAULT_REGISTRY else profile.tron
    if not named and profile.registry:
        raise ValueError(f"profiles.{profile.name}.tron: is missing; set TRON's address, or pass it as an argument")
    address = parse_address(named or default, "")
    files = choose(from_environment(os.environ), profile.files)
    token = of_environment(os.environ) or profile.token
    return address if files is None and token is None else Endpoint.with_files(address, files or NO_FILES, token)


def _usable(address: Address) -> Address:
    tls = credentials_of(address) is not None  # a mistake is raised to the program, and not in a thread later
    if (token := token_for(address, os.environ)) is not None:
        require_protected(address, token, tls=tls)
        read_token(token)
    _verified_name(address, _files_of(address))
    return address


def _files_of(address: Address) -> TlsFiles | None:
    """Return the files for TLS to an address; None without TLS, and if the program brings credentials of its own."""
    return None if address.own_credentials else files_for(address, os.environ)


def _verified_name(address: Address, files: TlsFiles | None) -> tuple[tuple[str, str], ...]:
    """Return the option with the name that the server's certificate must have, if gRPC would take another one: for
    several addresses or a Unix socket it takes the text of the address."""
    if files is None:
        return ()
    name = name_to_verify([host for host, _ in address.endpoints], files)
    return (("grpc.ssl_target_name_override", name),) if files.server_name or len(address.endpoints) != 1 else ()


def proxy_of(address: Address) -> Proxy | None:
    """Return the proxy that gRPC uses for an address, as the environment variables now say; None if gRPC connects
    directly."""
    return grpc_proxy(address, os.environ)


class Trust:
    """Holds the number (`generation`) of the connection that the agents of this process use now. The number grows when
    an agent abandons that connection.

    All agents that share a connection move to the next one together. If a connection of a hundred agents is dead, these
    agents open one new connection. A hundred connections would burden a registry that may be just coming back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.generation = 0

    def give_up(self, generation: int) -> None:
        """Ensure that later streams use neither the connection with this number nor an older one."""
        with self._lock:
            self.generation = max(self.generation, generation + 1)

    def after_fork(self) -> None:
        """Replace the lock in a forked child, because another thread of the parent may hold it."""
        self._lock = threading.Lock()


TRUST = Trust()
forks.watch(TRUST)


class TokenInterceptor(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Adds the current token of the client to the metadata of each call on a synchronous channel."""

    def __init__(self, source: TokenSource) -> None:
        self._source = source

    def _call(self, continuation: Any, details: Any, request: Any) -> Any:
        return continuation(_Details(details, with_token(details.metadata, self._source)), request)

    def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        """Make the call with the token in its metadata."""
        return self._call(continuation, client_call_details, request)

    def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        """Make the call with the token in its metadata."""
        return self._call(continuation, client_call_details, request)

    def intercept_stream_unary(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        """Make the call with the token in its metadata."""
        return self._call(continuation, client_call_details, request_iterator)

    def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        """Make the call with the token in its metadata."""
        return self._call(continuation, client_call_details, request_iterator)


class _Details(grpc.ClientCallDetails):
    def __init__(self, details: Any, metadata: list[tuple[str, str | bytes]]) -> None:
        for name in ("method", "timeout", "credentials", "wait_for_ready", "compression"):
            setattr(self, name, getattr(details, name, None))
        self.metadata = tuple(metadata)


def open_channel(address: Address | str) -> grpc.Channel:
    """Return a synchronous gRPC channel for unary calls. Raises ValueError for an invalid address, and for certificates
    that cannot be used."""
    return _open_channel(address, ())


def open_agent_channel(address: Address | str, generation: int) -> grpc.Channel:
    """Return a synchronous gRPC channel for Heartbeat streams. Raises ValueError as `open_channel` does.

    All channels with the same address and the same `generation` (see `Trust`) share one connection, however many agents
    a process has.
    """
    return _open_channel(address, (*_OF_AGENTS, ("tron.connection_generation", generation)))


def _open_channel(address: Address | str, more: Options) -> grpc.Channel:
    require_usable()
    where, options = _target(address, more)
    credentials = credentials_of(where)
    if credentials is None:
        channel = grpc.insecure_channel(where.text, options)
    else:
        channel = grpc.secure_channel(where.text, credentials, options)
    given = where.interceptors if isinstance(where, Endpoint) else ()
    interceptors = [each for each in given if isinstance(each, SYNC)]
    if (token := token_for(where, os.environ)) is not None:
        require_protected(where, token, tls=credentials is not None)
        interceptors.append(TokenInterceptor(token))
    return grpc.intercept_channel(channel, *interceptors) if interceptors else channel


def open_aio_channel(address: Address | str) -> grpc.aio.Channel:
    """Return a channel of `grpc.aio` for the running event loop. After a certificate was renewed, later calls use the
    new one. Raises ValueError as `open_channel` does."""
    require_usable(aio=True)
    where, options = _target(address)
    given = where.interceptors if isinstance(where, Endpoint) else ()
    interceptors = [each for each in given if isinstance(each, grpc.aio.ClientInterceptor)]
    credentials = credentials_of(where)
    token = token_for(where, os.environ)
    if token is not None:
        require_protected(where, token, tls=credentials is not None)
    if credentials is None and token is None:
        return grpc.aio.insecure_channel(where.text, options, interceptors=interceptors)

    def opened(credentials: grpc.ChannelCredentials | None) -> grpc.aio.Channel:
        if credentials is None:
            return grpc.aio.insecure_channel(where.text, options, interceptors=interceptors)
        return grpc.aio.secure_channel(where.text, credentials, options, interceptors=interceptors)

    return RenewingChannel(where, opened, token)


def direct_options(address: Address) -> tuple[tuple[str, int], ...]:
    """Return the channel options about proxies for an address: an option that disables proxies if gRPC connects to the
    address directly, else none."""
    return (("grpc.enable_http_proxy", 0),) if proxy_of(address) is None else ()


def _target(address: Address | str, more: Options = ()) -> tuple[Address, Options]:
    where = parse_address(address, "address") if isinstance(address, str) else address
    # grpc shares a connection among channels whose options are all the same; a connection that a forked child finds is
    # its parent's. These options mean nothing else to it.
    forked = ("tron.forks", forks.depth())
    files = _files_of(where)
    timeout = _TLS_CONNECT_TIMEOUT if where.own_credentials or files is not None else _CONNECT_TIMEOUT
    return where, (*_OPTIONS, *timeout, *direct_options(where), forked, *_verified_name(where, files), *more)
