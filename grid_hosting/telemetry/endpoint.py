"""Serves the metrics page of a program that has no HTTP server of its own, in a thread that sleeps between requests.

One request is served at a time, each with a deadline. A client that sends nothing takes up one socket of a bounded
backlog, and no thread.
"""

from __future__ import annotations

import io
import socket
import ssl
import sys
import threading
from contextlib import suppress
from typing import Any, TextIO
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import structlog
from prometheus_client import CollectorRegistry, make_wsgi_app

from grid_hosting.credential import serial_of
from grid_hosting.listening import bind_socket
from grid_hosting.rare_lines import RareLines
from grid_hosting.security import SecuritySettings
from grid_hosting.start import StartError
from grid_hosting.telemetry.guarded_page import CERTIFICATE_SERIAL, guarded, with_asked_host
from grid_hosting.telemetry.scrapers import Scrapers
from grid_hosting.transport_security import TransportSecurity

log = structlog.get_logger("metrics")

ANSWER_WITHIN = 5.0
"""Seconds that a client has for the TLS handshake and its request, and again to read the answer."""

BACKLOG = 16
"""Maximum number of connections that wait to be served. Overflow rule: the operating system refuses further ones."""


PAUSE = 0.5
"""Seconds to wait after a connection could not be accepted. If file descriptors are missing, the thread would otherwise
try again without a pause, and use up a processor."""


class _Handler(WSGIRequestHandler):
    timeout = ANSWER_WITHIN
    server: _Server

    def setup(self) -> None:
        """Perform the TLS handshake, within the deadline, if the page is served over TLS."""
        tls = self.server.tls
        if tls is not None:
            self.request = tls.wrap_socket(self.request, server_side=True, do_handshake_on_connect=False)
        # The timeout of a socket begins anew with each byte, so a client could take the thread forever.
        self._deadline = threading.Timer(ANSWER_WITHIN, _end, (self.request,))
        self._deadline.daemon = True
        self._deadline.start()
        self.request.settimeout(ANSWER_WITHIN)
        try:
            if tls is not None:
                self.request.do_handshake()
            super().setup()
        except BaseException:
            self._deadline.cancel()
            self.request.close()
            raise

    def get_environ(self) -> dict[str, Any]:
        """Stop the deadline, because the request has arrived, and return the WSGI environment of the request."""
        self._deadline.cancel()
        certificate = None if self.server.tls is None else self.request.getpeercert(binary_form=True)
        return with_asked_host({**super().get_environ(), CERTIFICATE_SERIAL: serial_of(certificate)}, self.path)

    def finish(self) -> None:
        """Close the connection. The server closes only the socket below TLS, so the TLS connection is closed here."""
        self._deadline.cancel()
        super().finish()
        if self.server.tls is not None:
            self.request.close()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the word of the base class
        """Log nothing, because a request for metrics is no event."""

    def get_stderr(self) -> TextIO:
        """Return a stream that discards the traceback that the library prints, because the error was already logged
        when the values were read."""
        return io.StringIO()


def _end(connection: socket.socket) -> None:
    """End a connection, so that the thread that waits for its client continues."""
    with suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)  # that of TLS is for the thread that uses it only


class _Server(WSGIServer):
    request_queue_size = BACKLOG

    def __init__(self, bound: socket.socket, address: tuple[str, int], tls: ssl.SSLContext | None) -> None:
        super().__init__(address, _Handler, bind_and_activate=False)
        self.tls = tls
        self.socket.close()
        self.socket = bound
        self.server_name, self.server_port = address  # binding would ask the name service, and wait for it
        self.setup_environ()
        self.server_activate()
        self.ending = threading.Event()
        self._lines = RareLines()

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept the next connection. If this fails, wait before raising OSError."""
        try:
            connection: tuple[socket.socket, Any] = super().get_request()
        except OSError:
            self.ending.wait(PAUSE)
            raise
        return connection

    def handle_error(self, request: object, client_address: object) -> None:
        """Log a client that disconnected or was too slow, at level debug. Any other error is a bug, and is logged with
        its traceback, at most once a minute."""
        error = sys.exception()
        if isinstance(error, OSError):  # errors of TLS are, too
            log.debug("scrape_failed", why=str(error))
        elif self._lines.is_due("scrape_broken"):
            log.exception("scrape_broken")


class Endpoint:
    """Serves the metrics page on one address until `close` is called. `scrapers` decides which callers are served; if
    it is None, all callers are. Raises StartError if the address cannot be used, and ExposedError if `security` does
    not admit it."""

    def __init__(
        self,
        listen: str,
        page: CollectorRegistry,
        security: TransportSecurity | None = None,
        scrapers: Scrapers | None = None,
    ) -> None:
        bound, self.address = bind_socket(listen)
        tls = None
        if security is not None:
            try:
                security.admit(self.address)
            except StartError:
                bound.close()
                raise
            tls = security.ssl_context()
        rules = (security or TransportSecurity("the program", SecuritySettings())).http_rules(self.address)
        host, _, port = self.address.rpartition(":")
        self._server = _Server(bound, (host.strip("[]"), int(port)), tls)
        self._server.set_app(guarded(make_wsgi_app(page), rules, scrapers))
        threading.Thread(target=self._serve, name="metrics", daemon=True).start()

    def close(self) -> None:
        """Accept no more requests; the thread ends when the current request is answered."""
        self._server.ending.set()
        try:
            self._server.socket.shutdown(socket.SHUT_RDWR)  # wakes the thread
        except OSError:  # elsewhere than on Linux: the thread sleeps on, without a port
            self._server.server_close()

    def _serve(self) -> None:
        # The thread closes the socket that it waits for. If another one did, the number of the socket could belong to
        # the next file of the process by then, and the thread would wait for that.
        with self._server:
            while not self._server.ending.is_set():
                with suppress(OSError, ValueError):  # the socket was closed
                    self._server.handle_request()
