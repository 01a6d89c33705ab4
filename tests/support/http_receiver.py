"""A real HTTP receiver on loopback that can be made to misbehave, and to heal: for tests of what is sent out."""

from __future__ import annotations

import json
import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request that was read to its end."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


Behaviour = Callable[["_Handler", Delivery], None]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        """Read it, note it, and do what the receiver is set to."""
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        delivery = Delivery(self.command, self.path, headers, body)
        self.server.receiver.note(delivery)
        self.server.receiver.behaviour(self, delivery)

    def do_GET(self) -> None:
        """The same."""
        self.do_POST()

    def answer(self, status: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> None:
        """Answer in full."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def reset(self) -> None:
        """Lose the connection, as a crash does: a reset, not an end."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing: the tests look at what was received."""


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, receiver: Receiver) -> None:
        super().__init__(("127.0.0.1", 0), _Handler, bind_and_activate=False)
        self.receiver = receiver
        self.server_bind()

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: a client that went away, or whom we reset, is what these tests are about."""


class Receiver:
    """Answers 204 to everything until it is set otherwise."""

    def __init__(self) -> None:
        self._server = _Server(self)
        self._thread: threading.Thread | None = None
        self._released = threading.Event()
        self._requests: list[Delivery] = []
        self.taken: list[Delivery] = []
        """What was answered 2xx, or may well have been taken before the connection was lost; oldest first."""
        self.hanging = threading.Event()
        """Set while a request is held."""
        self.behaviour: Behaviour = self._take
        host, port = self._server.server_address[:2]
        self.url = f"http://{host!s}:{port}/hook"

    def note(self, delivery: Delivery) -> None:
        """A request came in whole."""
        self._requests.append(delivery)

    @property
    def requests(self) -> list[Delivery]:
        """Everything that came in whole, oldest first, whatever the answer was."""
        return list(self._requests)

    def listen(self) -> None:
        """Take connections; before this they are refused."""
        self._server.server_activate()
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def heal(self) -> None:
        """Take everything from now on. Requests that are held are dropped without an answer."""
        self.behaviour = self._take
        self._released.set()

    def answer(self, status: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> None:
        """Answer everything like this."""
        self.behaviour = lambda handler, _: handler.answer(status, headers, body)

    def hang(self) -> None:
        """Read requests and never answer."""
        self._released.clear()
        self.behaviour = self._hold

    def cut_requests(self) -> None:
        """Lose each connection once the request was read, without taking it."""
        self.behaviour = lambda handler, _: handler.reset()

    def cut_answers(self) -> None:
        """Take everything, and lose the connection in the middle of the answer."""
        self.behaviour = self._take_and_cut

    def close(self) -> None:
        """End it, and let go of what it holds."""
        self._released.set()
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def _take(self, handler: _Handler, delivery: Delivery) -> None:
        self.taken.append(delivery)
        handler.answer(204)

    def _take_and_cut(self, handler: _Handler, delivery: Delivery) -> None:
        self.taken.append(delivery)
        handler.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf of")
        handler.reset()

    def _hold(self, handler: _Handler, delivery: Delivery) -> None:
        self.hanging.set()
        self._released.wait()
        handler.reset()


@contextmanager
def start_receiver(*, listening: bool = True) -> Iterator[Receiver]:
    """A receiver until the block ends; if it is not listening, connections are refused until `listen`."""
    receiver = Receiver()
    try:
        if listening:
            receiver.listen()
        yield receiver
    finally:
        receiver.close()
