"""A gateway that says what a test tells it: for what the page shows in states that a real system takes long to reach.

It has no rules at all; what the page shows of the real one is tested with the real one.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from gateway_http.page.files import HEADERS, load_page


def now() -> str:
    """Now, as the API says it."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def status(**changes: Any) -> dict[str, Any]:
    """A `state` message of a gateway that is well; `tron` is merged."""
    tron = {"reachable": True, "watching": True, "guard_active": False, **changes.pop("tron", {})}
    return {"live": True, "stale_for": 0, "revision": 1, "now": now(), "tron": tron, **changes}


@dataclass
class CannedGateway:
    """What it serves, and what it was asked."""

    url: str = ""
    services: list[dict[str, Any]] = field(default_factory=list)
    state: dict[str, Any] = field(default_factory=dict)
    history: dict[str, Any] = field(default_factory=lambda: {"events": [], "covered": now(), "gaps": [], "open": []})
    explanations: dict[str, dict[str, Any]] = field(default_factory=dict)
    acknowledged: list[str] = field(default_factory=list)
    cursors: list[str] = field(default_factory=list)
    # How many streams were opened so far, and how many are open.
    opened: int = 0
    streams: int = 0
    chunk: int = 500
    _messages: list[tuple[str, bytes]] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _life: int = 0
    # What `services` is true at.
    revision: int = 1
    # Set: streams stay open and send nothing at all.
    frozen: bool = False

    def push(self, kind: str, data: Any) -> None:
        """Send a message on every open stream."""
        with self._changed:
            self._messages.append((kind, json.dumps(data).encode()))
            self._changed.notify_all()

    def say(self, **changes: Any) -> None:
        """Send a `state`, and keep it for streams that open later."""
        self.state = changes
        self.push("state", status(**changes))

    def drop(self) -> None:
        """Break every open stream."""
        with self._changed:
            self._life += 1
            self._changed.notify_all()

    def _wait(self, life: int, at: int, left: threading.Event) -> bool:
        return self._changed.wait_for(
            lambda: self._life != life or len(self._messages) > at or left.is_set(), timeout=2
        )

    def _watch(self, connection: socket.socket, left: threading.Event) -> None:
        with contextlib.suppress(OSError):
            connection.recv(1)  # a browser sends nothing after its request: this returns at the end of the connection
        with self._changed:
            left.set()
            self._changed.notify_all()

    def stream(self, write: Any, connection: socket.socket) -> None:
        """One stream, until it is dropped or the browser closes it."""
        left = threading.Event()
        threading.Thread(target=self._watch, args=(connection, left), daemon=True).start()
        with self._changed:
            self.opened += 1
            life, at = self._life, len(self._messages)
            services = list(self.services)
        if not self.frozen:
            write(_message("state", json.dumps(status(**self.state)).encode()))
            starts = range(0, max(1, len(services)), self.chunk)
            for start in starts:
                last = start + self.chunk >= len(services)
                part = {
                    "revision": 1,
                    "services": services[start : start + self.chunk],
                    "first": start == 0,
                    "complete": last,
                }
                write(_message("snapshot", json.dumps(part).encode(), "1" if last else ""))
        while True:
            with self._changed:
                came = self._wait(life, at, left)
                if self._life != life or left.is_set():
                    return
                waiting, at = self._messages[at:], len(self._messages)
            if self.frozen:
                continue
            for kind, data in waiting:
                write(_message(kind, data, str(at)))
            if not came:
                write(_message("state", json.dumps(status(**self.state)).encode()))


def _message(kind: str, data: bytes, cursor: str = "") -> bytes:
    head = f"id: {cursor}\n".encode() if cursor else b""
    return head + b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n"


def _handler(canned: CannedGateway) -> type[BaseHTTPRequestHandler]:
    files = load_page()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
            name = "index.html" if path == "/" else path.removeprefix("/dashboard/")
            if path == "/v1/stream":
                self._stream(query)
            elif path == "/v1/status":
                self._answer(status(**canned.state))
            elif path == "/v1/services":
                self._answer({"revision": canned.revision, "services": canned.services})
            elif path == "/v1/history":
                self._answer(canned.history)
            elif path == "/v1/explain":
                asked = query.get("service_id", [""])[0]
                found = canned.explanations.get(asked)
                self._answer(
                    found or {"service": None, "explanation": None, "note": "Nothing is known."}, 200 if found else 404
                )
            elif name in files:
                self._send(files[name].body, files[name].media_type, HEADERS)
            else:
                self._answer({"error": "not found"}, 404)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            canned.acknowledged.append(body["alert_id"])
            self._answer({"acknowledged": 1})

        def _stream(self, query: dict[str, list[str]]) -> None:
            canned.cursors.append(query.get("cursor", [self.headers.get("last-event-id", "")])[0])
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("connection", "close")
            self.end_headers()
            self.close_connection = True

            def write(data: bytes) -> None:
                self.wfile.write(data)
                self.wfile.flush()

            canned.streams += 1
            with contextlib.suppress(OSError):  # the browser went away
                canned.stream(write, self.connection)
            canned.streams -= 1
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)  # the thread that watches it ends too

        def _answer(self, document: Any, code: int = 200) -> None:
            self._send(json.dumps(document).encode(), "application/json", {}, code)

        def _send(self, body: bytes, media_type: str, headers: dict[str, str], code: int = 200) -> None:
            self.send_response(code)
            for header, value in {"content-type": media_type, "content-length": str(len(body)), **headers}.items():
                self.send_header(header, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@contextmanager
def canned_gateway(port: int = 0) -> Iterator[CannedGateway]:
    """Serve the page and a script on a free loopback port until the block ends."""
    canned = CannedGateway()
    server = ThreadingHTTPServer(("127.0.0.1", port), _handler(canned))
    server.daemon_threads = True
    canned.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield canned
    finally:
        canned.drop()
        server.shutdown()
        server.server_close()
