"""Where the registry is and how to connect to it: every channel option of the SDK is set here."""

from __future__ import annotations

import os
import threading

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


TRUST = Trust()


def open_channel(address: str, generation: int = 0) -> grpc.Channel:
    """A channel of the synchronous stack.

    Channels with the same address and generation share one connection, so hundreds of agents in a process cost one.
    """
    # grpc shares a connection among channels whose options are all the same; this one means nothing else to it.
    return grpc.insecure_channel(address, (*_OPTIONS, ("tron.connection_generation", generation)))


def open_aio_channel(address: str) -> grpc.aio.Channel:
    """A channel for the running event loop."""
    return grpc.aio.insecure_channel(address, _OPTIONS)
