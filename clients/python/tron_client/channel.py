"""Where the registry is and how to connect to it: every channel option of the SDK is set here."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import grpc
import grpc.aio

from tron_client import forks
from tron_client.address import DEFAULT_MONITOR, DEFAULT_REGISTRY, Address, parse_address
from tron_client.endpoint import SYNC, Endpoint
from tron_client.monkey_patches import require_usable
from tron_client.proxy import grpc_proxy

if TYPE_CHECKING:
    from tron_client.proxy import Proxy

_OPTIONS: tuple[tuple[str, int], ...] = (
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
    ("grpc.min_reconnect_backoff_ms", 5_000),  # this is the connect timeout
    ("grpc.max_receive_message_length", 64 << 20),  # a page of 10,000 records
)


_OF_AGENTS: tuple[tuple[str, int], ...] = (
    # At most 64 kB are on their way down: if they take long to be read, the answers to keepalive and to heartbeats wait
    # behind them. gRPC would allow megabytes.
    ("grpc.http2.bdp_probe", 0),
)


def resolve_address(address: Address | str | None, field: str = "registry") -> Address:
    """The registry's address or endpoint: the argument, else the environment's TRON_REGISTRY, else loopback.

    Raises ValueError, with the name of the argument or the variable, for what is no address.
    """
    return _resolve(address, field, "TRON_REGISTRY", DEFAULT_REGISTRY)


def resolve_monitor_address(address: Address | str | None, field: str = "address") -> Address:
    """TRON's address: the argument, else the environment's TRON_MONITOR, else loopback. Raises as `resolve_address`."""
    return _resolve(address, field, "TRON_MONITOR", DEFAULT_MONITOR)


def _resolve(address: Address | str | None, field: str, variable: str, default: str) -> Address:
    if isinstance(address, Address):
        return address
    if address is not None and address != "":
        return parse_address(address, field, default)
    found = os.environ.get(variable, "").strip()
    return parse_address(found, variable, default) if found else parse_address(default, field, default)


def proxy_of(address: Address) -> Proxy | None:
    """The proxy between us and an address, by the environment as it is now; None for loopback."""
    return grpc_proxy(address, os.environ)


class Trust:
    """Which connection the agents of this process share: its number grows each time that one of them gives it up.

    All who share it follow to the next, so that a hundred agents that lose faith at once open one connection and not
    a hundred, at the very moment when the registry may be coming back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.generation = 0

    def give_up(self, generation: int) -> None:
        """Whoever connects from now on does not use the connection of this number, nor an older one."""
        with self._lock:
            self.generation = max(self.generation, generation + 1)

    def after_fork(self) -> None:
        """In a forked child; gRPC opens connections of its own there."""
        self._lock = threading.Lock()


TRUST = Trust()
forks.watch(TRUST)


def open_channel(address: Address | str) -> grpc.Channel:
    """A channel of the synchronous stack, for calls. Raises ValueError for what is no address."""
    return _open_channel(address, ())


def open_agent_channel(address: Address | str, generation: int) -> grpc.Channel:
    """A channel of the synchronous stack, for Heartbeat streams. Raises as `open_channel`.

    Those with the same address and generation share one connection, however many agents a process has.
    """
    return _open_channel(address, (*_OF_AGENTS, ("tron.connection_generation", generation)))


def _open_channel(address: Address | str, more: tuple[tuple[str, int], ...]) -> grpc.Channel:
    require_usable()
    target, options = _target(address, more)
    if not isinstance(address, Endpoint):
        return grpc.insecure_channel(target, options)
    if address.credentials is None:
        channel = grpc.insecure_channel(target, options)
    else:
        channel = grpc.secure_channel(target, address.credentials, options)
    interceptors = [each for each in address.interceptors if isinstance(each, SYNC)]
    return grpc.intercept_channel(channel, *interceptors) if interceptors else channel


def open_aio_channel(address: Address | str) -> grpc.aio.Channel:
    """A channel for the running event loop. Raises ValueError for what is no address."""
    require_usable(aio=True)
    target, options = _target(address)
    if not isinstance(address, Endpoint):
        return grpc.aio.insecure_channel(target, options)
    interceptors = [each for each in address.interceptors if isinstance(each, grpc.aio.ClientInterceptor)]
    if address.credentials is None:
        return grpc.aio.insecure_channel(target, options, interceptors=interceptors)
    return grpc.aio.secure_channel(target, address.credentials, options, interceptors=interceptors)


def direct_options(address: Address) -> tuple[tuple[str, int], ...]:
    """The options that keep a channel off a proxy if none may stand in between."""
    return (("grpc.enable_http_proxy", 0),) if proxy_of(address) is None else ()


def _target(address: Address | str, more: tuple[tuple[str, int], ...] = ()) -> tuple[str, tuple[tuple[str, int], ...]]:
    where = parse_address(address, "address") if isinstance(address, str) else address
    # grpc shares a connection among channels whose options are all the same; a connection that a forked child finds is
    # its parent's. These options mean nothing else to it.
    return where.text, (*_OPTIONS, *direct_options(where), ("tron.forks", forks.depth()), *more)
