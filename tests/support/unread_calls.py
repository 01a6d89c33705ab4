"""A gRPC client that reads nothing: the window of its calls is zero, so that every message of the server waits."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from google.protobuf.message import Message

from tests.fuzz.http2_bytes import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PREFACE,
    SETTINGS,
    call_headers,
    frame,
    header_block,
    message,
)

INITIAL_WINDOW_SIZE = 4


@contextmanager
def unread_calls(address: str, method: str, request: Message, number: int = 1) -> Iterator[None]:
    """Keep `number` calls open on one plaintext connection, of which no answer is read."""
    host, _, port = address.rpartition(":")
    headers = header_block(call_headers(method.encode()))
    body = message(request.SerializeToString())
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(PREFACE + frame(SETTINGS, 0, 0, struct.pack("!HI", INITIAL_WINDOW_SIZE, 0)))
        for stream in range(1, 2 * number, 2):
            connection.sendall(frame(HEADERS, END_HEADERS, stream, headers) + frame(DATA, END_STREAM, stream, body))
        yield
