"""HTTP/2 connections as bytes: frames that carry gRPC calls, with what a broken or hostile client may write."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from hypothesis import strategies as st

from tests.fuzz.mutation import changed, sometimes_changed

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RESET, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS = 1, 4


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Return one frame."""
    return struct.pack("!I", len(payload))[1:] + bytes([kind, flags]) + struct.pack("!I", stream) + payload


def header_block(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return headers as HPACK literals that are not indexed."""
    return b"".join(b"\x00" + _text(name) + _text(value) for name, value in headers)


def call_headers(path: bytes) -> list[tuple[bytes, bytes]]:
    """Return the headers of a plaintext gRPC call of the method with this path."""
    return [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", path),
        (b":authority", b"localhost"),
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
    ]


def message(data: bytes, *, compressed: int = 0, length: int | None = None) -> bytes:
    """Return a message with the prefix of gRPC."""
    return struct.pack("!BI", compressed, len(data) if length is None else length & 0xFFFFFFFF) + data


def calls(methods: Sequence[str], payload: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Return connections with one call or two, and frames around them that the protocol has no place for."""
    call = st.builds(
        _call,
        st.sampled_from(methods),
        st.lists(st.sampled_from(_HEADERS), max_size=3),
        payload,
        st.sampled_from([0, 0, 0, 1, 255]),
        st.sampled_from([None, None, None, 0, 5, 1 << 20, (1 << 32) - 1]),
        st.sampled_from([1, 1, 1, 3, 0, 2, (1 << 31) - 1]),
    )
    stray = st.builds(
        frame,
        st.integers(0, 12),
        st.sampled_from([0, 1, 4, 5, 8, 0x20, 0xFF]),
        st.sampled_from([0, 1, 3, (1 << 32) - 1]),
        st.sampled_from(_PAYLOADS) | st.binary(max_size=20),
    )
    frames = st.lists(call | call | stray, min_size=1, max_size=4).map(b"".join)
    return sometimes_changed(frames.map(lambda rest: PREFACE + frame(SETTINGS, 0, 0, b"") + rest)) | changed(frames)


_HEADERS = (
    (b"grpc-timeout", b"1n"),
    (b"grpc-timeout", b"99999999H"),
    (b"grpc-timeout", b"-1S"),
    (b"grpc-timeout", b"abc"),
    (b"grpc-encoding", b"gzip"),
    (b"grpc-encoding", b"x"),
    (b"grpc-accept-encoding", b"\xff"),
    (b"x-bin", b"!!!"),
    (b"grpc-status-details-bin", b"\xff"),
    (b"authorization", b"Bearer tron_x"),
    (b"authorization", b"Bearer \xff\n"),
    (b"authorization", b""),
    (b":path", b"/"),
    (b":status", b"200"),
    (b"x", b"y" * 20_000),
    (b"X-Upper", b"1"),
    (b"", b""),
    (b"te", b"gzip"),
    (b"content-type", b"application/grpc+json"),
    (b"content-length", b"3"),
    (b"connection", b"close"),
)
_PAYLOADS = (
    b"",
    b"\x00" * 4,
    b"\x00" * 8,
    b"\xff" * 6,
    struct.pack("!HI", 4, 1 << 31),
    struct.pack("!HI", 1, 1 << 31),
    b"\x82" * 50,
)


def _call(
    method: str, more: Sequence[tuple[bytes, bytes]], data: bytes, compressed: int, length: int | None, stream: int
) -> bytes:
    headers = header_block([*call_headers(method.encode(errors="surrogatepass")), *more])
    opening = frame(HEADERS, END_HEADERS, stream, headers)
    body = message(data, compressed=compressed, length=length)
    parts = [body[start : start + 16_000] for start in range(0, len(body), 16_000)]
    return opening + b"".join(
        frame(DATA, END_STREAM if number == len(parts) else 0, stream, part)
        for number, part in enumerate(parts, start=1)
    )


def _text(text: bytes) -> bytes:
    size = len(text)
    if size < 127:
        return bytes([size]) + text
    size -= 127
    length = bytearray([127])
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    return bytes([*length, size]) + text
