"""The gRPC options of every server of ours, in one place.

Sources: measurements on grpcio 1.85. The pending limits let ten thousand streams open at once (the defaults, 1000 and
3000, reject most of them). `ping_timeout_ms` is the time-out that keepalive really uses. `min_ping_interval` must stay
below what clients use for `keepalive_time_ms`, or they are thrown out for pinging too often.
"""

from __future__ import annotations


def server_options(max_message_bytes: int) -> list[tuple[str, int]]:
    """Options for a server that receives messages of at most so many bytes."""
    return [
        ("grpc.so_reuseport", 0),
        ("grpc.server.max_pending_requests", 20_000),
        ("grpc.server.max_pending_requests_hard_limit", 30_000),
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.http2.ping_timeout_ms", 5_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        ("grpc.http2.bdp_probe", 0),
        ("grpc.max_receive_message_length", max_message_bytes),
    ]
