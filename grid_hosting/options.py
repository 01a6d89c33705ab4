"""The gRPC options of all servers of the system.

The values come from measurements with grpcio 1.85. The limits of pending requests allow ten thousand streams to open at
once (the default limits, 1000 and 3000, reject most of them).

**Neither gRPC nor the kernel decides that a client is dead.** In grpc.aio, a stream that the server's own keepalive
ends looks the same as a stream that the client closed, and TRON suspects a service whose stream broke. So every
mechanism of gRPC and the kernel that would end a silent connection waits for HANDS_OFF seconds, so that TRON decides
first. A connection that was closed or reset is still noticed immediately. The registry ends the streams of silent
agents itself, and a connection without a call is closed after IDLE_FOR seconds.
"""

from __future__ import annotations

HANDS_OFF = 2 * 3600
"""Seconds for which a connection may be silent, or sent data may stay unacknowledged, before gRPC or the kernel ends
the connection."""

IDLE_FOR = 60
"""Seconds after which a connection without a call is closed. The client opens another connection when it needs one."""

SPEAK_WITHIN = 20
"""Seconds within which a new connection must speak HTTP/2, or it is closed; gRPC's default is 120. A client ends its
attempt after 20 s too. Silent connections hold file descriptors that others need."""


MOST_METADATA = 24 << 10
"""Maximum size of the metadata of one call in bytes: room for two tokens of 8 KB, one of a relay and one of its
caller."""


CALLS_BESIDE = 15_000
"""Maximum number of open calls on one connection, beside the streams that the server itself limits. Overflow rule: the
client keeps further calls back until others end, or they fail with UNAVAILABLE. An open call takes about 15 KB, even
before its caller is admitted. Calls are normally refused earlier, each with a reason: this bounds those whose client
does not read the refusal."""


def server_options(
    max_message_bytes: int, max_connection_age: float | None = None, max_streams: int = 0
) -> list[tuple[str, int]]:
    """Return the options of a server that receives messages of at most this many bytes, and itself refuses more than
    `max_streams` streams of a connection, with an error. `max_connection_age` is the time in seconds, which gRPC varies
    by a tenth, after which a connection accepts no new calls; if it is None, a connection always accepts new calls.
    gRPC does not end the open calls of an old connection, because that would look as if the client had ended them."""
    age = [] if max_connection_age is None else [("grpc.max_connection_age_ms", int(max_connection_age * 1000))]
    return [
        *age,
        ("grpc.so_reuseport", 0),
        ("grpc.server.max_pending_requests", 20_000),
        ("grpc.server.max_pending_requests_hard_limit", 30_000),
        ("grpc.keepalive_time_ms", HANDS_OFF * 1000),
        # Not the time-out of keepalive, as its name says: gRPC makes TCP_USER_TIMEOUT of it ...
        ("grpc.keepalive_timeout_ms", HANDS_OFF * 1000),
        # ... and this is the time-out of keepalive, and of every other ping.
        ("grpc.http2.ping_timeout_ms", HANDS_OFF * 1000),
        ("grpc.keepalive_permit_without_calls", 1),
        # A client may ping as often as it likes: else gRPC would close its connection, as if the client had gone.
        ("grpc.http2.max_ping_strikes", 0),
        ("grpc.max_concurrent_streams", max_streams + CALLS_BESIDE),
        ("grpc.max_connection_idle_ms", IDLE_FOR * 1000),
        ("grpc.server_handshake_timeout_ms", SPEAK_WITHIN * 1000),
        ("grpc.http2.bdp_probe", 0),
        ("grpc.max_receive_message_length", max_message_bytes),
        # Between the two limits gRPC refuses some of the calls, by chance.
        ("grpc.max_metadata_size", MOST_METADATA),
        ("grpc.absolute_max_metadata_size", MOST_METADATA),
    ]
