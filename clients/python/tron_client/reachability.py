"""Finds out why no registry answers at an address, and describes the cause in one sentence for the person who must
correct it.

gRPC reports an HTTP server, TLS and a proxy all as "failed to connect". This module therefore connects once with a
socket, plain or with TLS, as the client would.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tron_client.profiles import files_for
from tron_client.proxy import grpc_proxy
from tron_client.tls import name_to_verify
from tron_client.tls_check import shake_hands
from tron_client.tls_files import read_files

if TYPE_CHECKING:
    from tron_client.address import Address
    from tron_client.proxy import Proxy
    from tron_client.tls import TlsFiles

PATIENCE = 2.0
"""Seconds that the whole check may take."""

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"  # and empty SETTINGS
_SETTINGS = 4


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a check: `words` describes it for people, and `kind` is a name for programs. A server answered:
    grpc, http1, tls (but this client uses plaintext), plaintext (but this client uses TLS), untrusted (the client or
    the server refused the certificate of the other), other (neither gRPC nor HTTP). A program accepted the connection,
    but closed it (closed) or did not answer (silent). No connection: refused, unresolved (the host name), unreachable,
    or proxy (the proxy failed)."""

    kind: str
    words: str

    @property
    def absent(self) -> bool:
        """Whether no program listens at the address, so that starting a registry may help."""
        return self.kind == "refused"


def what_answers(address: Address, patience: float = PATIENCE) -> Answer:
    """Check what answers at an address. This blocks the thread, for at most `patience` seconds. All results, also
    failures to connect, are returned and not raised."""
    deadline = time.monotonic() + patience
    proxy = grpc_proxy(address, os.environ)
    try:
        files = files_for(address, os.environ)
        if files is not None and not address.own_credentials:
            return _ask_by_tls(address, proxy, files, deadline)
        with _connect(address, proxy, deadline) as connection:
            return _ask(connection, address, proxy, deadline)
    except _Found as found:
        return found.answer
    except ValueError as error:
        return Answer("untrusted", str(error))


class _Found(Exception):
    """The check ended early with a result."""

    def __init__(self, kind: str, words: str) -> None:
        super().__init__(words)
        self.answer = Answer(kind, words)


def _left(deadline: float) -> float:
    return max(0.01, deadline - time.monotonic())


def _connect(address: Address, proxy: Proxy | None, deadline: float) -> socket.socket:
    if not address.endpoints:
        return _connect_socket(address, deadline)
    target = address.endpoints[0]
    place = target if proxy is None else proxy.endpoint
    if place is None:
        raise _Found("proxy", f"{proxy} has no host")
    where = f"{place[0]}:{place[1]}" if proxy is None else str(proxy)
    around = "" if proxy is None else f"; set no_proxy={target[0]} to bypass it"
    kind = "" if proxy is None else "proxy"
    try:
        connection = socket.create_connection(place, _left(deadline))
    except socket.gaierror as error:
        words = f"the name {place[0]!r} does not resolve ({error.strerror}){around}"
        raise _Found(kind or "unresolved", words if proxy is None else f"{proxy}: {words}") from error
    except ConnectionRefusedError as error:
        words = f"nothing listens at {where} (connection refused)" if proxy is None else f"{where} refuses connections"
        raise _Found(kind or "refused", words + around) from error
    except TimeoutError as error:
        raise _Found(kind or "unreachable", f"{where} accepts no connection within {PATIENCE:g} s{around}") from error
    except (OSError, UnicodeError, ValueError, OverflowError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise _Found(kind or "unreachable", f"{where} cannot be reached ({said}){around}") from error
    if proxy is not None:
        with contextlib.ExitStack() as undo:
            undo.callback(connection.close)
            _tunnel(connection, target, proxy, around, deadline)
            undo.pop_all()
    return connection


def _connect_socket(address: Address, deadline: float) -> socket.socket:
    kind, _, path = address.text.partition(":")
    if kind == "vsock":
        raise _Found("unreachable", f"{address} does not answer")
    name = "\0" + path if kind == "unix-abstract" else "/" + path.lstrip("/") if path.startswith("//") else path
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(_left(deadline))
    try:
        connection.connect(name)
    except ConnectionRefusedError as error:
        connection.close()
        raise _Found("refused", f"nothing listens at {address} (connection refused)") from error
    except OSError as error:
        connection.close()
        raise _Found("unreachable", f"{address} cannot be reached ({error.strerror or error})") from error
    return connection


def _tunnel(connection: socket.socket, target: tuple[str, int], proxy: Proxy, around: str, deadline: float) -> None:
    place = f"{target[0]}:{target[1]}"
    said = _exchange(connection, f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n".encode(), deadline, b"\r\n\r\n")
    line = said.split(b"\r\n", 1)[0].decode("latin-1")
    if not line.startswith("HTTP/1."):
        raise _Found("proxy", f"{proxy} does not answer as an HTTP proxy{around}")
    if line.split(" ")[1:2] != ["200"]:
        raise _Found("proxy", f"{proxy} answered {line[9:60]!r} when asked to connect to {place}{around}")


def _ask_by_tls(address: Address, proxy: Proxy | None, files: TlsFiles, deadline: float) -> Answer:
    loaded = read_files(files)
    through = _through(proxy)
    host = name_to_verify([host for host, _ in address.endpoints], files)
    with _connect(address, proxy, deadline) as connection:
        half = min(deadline, time.monotonic() + _left(deadline) / 2)
        found = shake_hands(connection, str(address), host, files, loaded, _PREFACE, half)
    if found.refused:
        return Answer("untrusted", f"{found.refused}{through}")
    if _is_http2(found.answer):
        return Answer("grpc", f"a gRPC server answers at {address}{through}")
    if found.answer:
        return Answer("other", f"the program that listens at {address} is not a gRPC server{through}")
    with _connect(address, proxy, deadline) as connection:
        answer = _ask(connection, address, proxy, deadline)
    if answer.kind == "tls":
        return Answer("untrusted", f"{address} ends the TLS handshake without giving a reason{through}")
    if answer.kind != "grpc":
        return answer
    words = f"{address} speaks plaintext, but this client is set to use TLS (by {files.asked_by}){through}"
    return Answer("plaintext", words)


def _is_http2(said: bytes) -> bool:
    return len(said) >= 4 and said[3] == _SETTINGS and not said.startswith(b"HTTP")


def _through(proxy: Proxy | None) -> str:
    return "" if proxy is None else f", asked through {proxy}"


def _ask(connection: socket.socket, address: Address, proxy: Proxy | None, deadline: float) -> Answer:
    said = _exchange(connection, _PREFACE, min(deadline, time.monotonic() + _left(deadline) / 2), None)
    through = _through(proxy)
    if _is_http2(said):
        return Answer("grpc", f"a gRPC server answers at {address}{through}")
    if said.startswith((b"HTTP/", b"<")):
        return Answer("http1", f"an HTTP server answers at {address}, not gRPC{through}; is it a port of the gateway?")
    if said[:2] in (b"\x15\x03", b"\x16\x03") or (not said and _speaks_tls(address, proxy, deadline)):
        if address.own_credentials:
            return Answer("untrusted", f"{address} speaks TLS, but the given credentials do not work with it{through}")
        return Answer("tls", f"{address} speaks TLS, but this client does not; set TRON_CA (or ca=){through}")
    if said:
        return Answer("other", f"the program that listens at {address} is not a gRPC server{through}")
    if _at_end(connection):
        return Answer("closed", f"{address} accepts connections and closes them without an answer{through}")
    return Answer("silent", f"{address} accepts connections but does not answer{through}; is it overloaded or stopped?")


def _speaks_tls(address: Address, proxy: Proxy | None, deadline: float) -> bool:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it is only asked whether, not trusted
    context.set_alpn_protocols(["h2"])
    try:
        with _connect(address, proxy, deadline) as connection:
            connection.settimeout(_left(deadline))
            context.wrap_socket(connection).close()
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")
    except (OSError, _Found):
        return False
    return True


def _exchange(connection: socket.socket, words: bytes, deadline: float, until: bytes | None) -> bytes:
    """Return the received bytes: up to `until`, or the first bytes if that is None; empty if nothing arrived."""
    read = b""
    with contextlib.suppress(OSError):
        connection.settimeout(_left(deadline))
        connection.sendall(words)
        while len(read) < 16 if until is None else until not in read and len(read) < 16384:
            connection.settimeout(_left(deadline))
            part = connection.recv(4096)
            if not part:
                break
            read += part
    return read


def _at_end(connection: socket.socket) -> bool:
    connection.settimeout(0.01)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True
