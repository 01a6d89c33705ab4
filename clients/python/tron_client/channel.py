"""Where the registry is and how to connect to it: every channel option of the SDK is set here."""

from __future__ import annotations

import os

import grpc
import grpc.aio

DEFAULT_ADDRESS = "127.0.0.1:6122"

_OPTIONS: tuple[tuple[str, int], ...] = (
    # A dead connection is found in about 10 s; all three are needed, else core waits 60 s more for the ping.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # A registry that restarted must be found again quickly: a broken stream is judged after 2 s.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.min_reconnect_backoff_ms", 5_000),  # this is the connect timeout
    ("grpc.max_receive_message_length", 64 << 20),  # a page of 10,000 records
)


def resolve_address(address: str | None) -> str:
    """The registry's address, `host:port`: the argument, else the environment's TRON_REGISTRY, else loopback."""
    return address or os.environ.get("TRON_REGISTRY", "").strip() or DEFAULT_ADDRESS


def open_channel(address: str, *, unshared: bool = False) -> grpc.Channel:
    """A channel of the synchronous stack.

    Channels with the same address and options share one connection, so hundreds of agents in a process cost one.
    `unshared` makes a connection of its own, for when the shared one is under suspicion.
    """
    return grpc.insecure_channel(address, _unshared() if unshared else _OPTIONS)


def open_aio_channel(address: str) -> grpc.aio.Channel:
    """A channel for the running event loop."""
    return grpc.aio.insecure_channel(address, _OPTIONS)


def _unshared() -> tuple[tuple[str, int], ...]:
    return (*_OPTIONS, ("grpc.use_local_subchannel_pool", 1))
