"""Two limits of a connection, each apart: none of them may judge an agent before TRON does."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import grpc
import grpc.aio
import pytest

from grid_hosting.options import HANDS_OFF, server_options
from tron.policy import Policy

OPTIONS = dict(server_options(1 << 20))

LONGEST_BOUNDS = [Policy().silence(interval, 2) for interval in (15.0, 60.0, 600.0, 3000.0)] + [Policy().busy_cap]


def test_keepalive_precedes_no_silence_bound() -> None:
    assert OPTIONS["grpc.keepalive_time_ms"] >= 2 * 3600 * 1000
    assert OPTIONS["grpc.keepalive_time_ms"] > 1000 * max(LONGEST_BOUNDS)
    # 60 s, unless it is said: every other ping would be a judge too.
    assert OPTIONS["grpc.http2.ping_timeout_ms"] > 1000 * max(LONGEST_BOUNDS)


def test_data_that_stays_unacknowledged_ends_no_connection_before_silence_is_judged() -> None:
    assert OPTIONS["grpc.keepalive_timeout_ms"] >= 30_000
    assert OPTIONS["grpc.keepalive_timeout_ms"] > 1000 * max(LONGEST_BOUNDS)


def test_a_client_that_pings_often_is_not_thrown_out() -> None:
    assert OPTIONS["grpc.http2.max_ping_strikes"] == 0


async def test_a_connection_that_says_nothing_is_closed() -> None:
    assert OPTIONS["grpc.server_handshake_timeout_ms"] <= 20_000
    soon = {**OPTIONS, "grpc.server_handshake_timeout_ms": 300}
    server = grpc.aio.server(options=list(soon.items()))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:

            def read_to_the_end() -> None:
                while connection.recv(4096):
                    pass

            await asyncio.to_thread(read_to_the_end)
    finally:
        await server.stop(None)


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux only")
async def test_the_kernel_is_told_so_for_each_connection() -> None:
    server = grpc.aio.server(options=server_options(1 << 20))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            await channel.channel_ready()
            assert HANDS_OFF * 1000 in _user_timeouts(port)
    finally:
        await server.stop(None)


def _user_timeouts(port: int) -> set[int]:
    """TCP_USER_TIMEOUT of the connections of this process that were accepted on this port."""
    found: set[int] = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            with socket.fromfd(int(descriptor.name), socket.AF_INET, socket.SOCK_STREAM) as connection:
                name = connection.getsockname()
                if isinstance(name, tuple) and name[1] == port:
                    found.add(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT))
        except OSError:
            continue
    return found
