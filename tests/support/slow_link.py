"""A TCP link whose way to the client becomes slow, and whose other way does not: a reader that cannot keep up."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_PIECES_PER_SECOND = 20
_BUFFER = 4096
"""Bytes that the kernel may hold back on our side; without a bound it would hide that the reader is slow."""


class SlowLink:
    """Where to connect to, and how fast the way to the client is."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.bytes_per_second = 0
        """0: as fast as it can be."""
        self.over = threading.Event()


@contextmanager
def slow_link(address: str) -> Iterator[SlowLink]:
    """Forward connections to `address` until the block ends, as fast as can be until it is told to be slow."""
    host, _, port = address.rpartition(":")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        link = SlowLink(f"127.0.0.1:{listener.getsockname()[1]}")

        def accept() -> None:
            while not link.over.is_set():
                with suppress(OSError):
                    client, _ = listener.accept()
                    server = socket.socket()
                    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
                    server.connect((host, int(port)))
                    _start(_forward, client, server, link, False)
                    _start(_forward, server, client, link, True)

        _start(accept)
        try:
            yield link
        finally:
            link.over.set()
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)


def _start(target: object, *arguments: object) -> None:
    threading.Thread(target=target, args=arguments, daemon=True).start()  # type: ignore[arg-type]


def _forward(source: socket.socket, sink: socket.socket, link: SlowLink, down: bool) -> None:
    """One direction, until either side ends it."""
    try:
        while not link.over.is_set():
            speed = link.bytes_per_second if down else 0
            data = source.recv(speed // _PIECES_PER_SECOND or 1 << 16)
            if not data:
                break
            sink.sendall(data)
            if speed:
                time.sleep(len(data) / speed)
    except OSError:
        pass
    finally:
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
