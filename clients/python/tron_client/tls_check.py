"""Makes the TLS handshake that gRPC would make, and describes why it fails."""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tron_client.tls_files import VALIDITY, load_pair, own_problem, reason_of

if TYPE_CHECKING:
    import socket

    from tron_client.tls import TlsFiles
    from tron_client.tls_files import Loaded


@dataclass(frozen=True, slots=True)
class Handshake:
    """The result of a TLS handshake. `answer` contains the first bytes that the server sent after the handshake;
    `refused` says why the handshake failed. Both are empty if the server does not speak TLS."""

    answer: bytes = b""
    refused: str = ""


_NO_ISSUER = frozenset({2, 18, 19, 20, 21})
_WRONG_NAME = frozenset({62, 64})
_ALERTS = {
    "UNKNOWN_CA": "the server does not trust the CA that signed it",
    "CERTIFICATE_EXPIRED": "it has expired",
    "CERTIFICATE_REVOKED": "it was revoked",
    "BAD_CERTIFICATE": "the server does not accept it",
    "UNSUPPORTED_CERTIFICATE": "it is not a certificate for clients",
    "CERTIFICATE_UNKNOWN": "the server does not accept it",
}


def shake_hands(
    connection: socket.socket, where: str, host: str, files: TlsFiles, loaded: Loaded, first: bytes, deadline: float
) -> Handshake:
    """Make a TLS handshake with `host` over a connection, send the bytes `first`, and wait for an answer until
    `deadline`, a time of the monotonic clock. Error messages contain `where` as the address of the server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["h2"])
    if loaded.ca is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(cadata=loaded.ca.decode("ascii", "replace"))
    if loaded.cert is not None and loaded.key is not None:
        load_pair(context, loaded.cert, loaded.key)
    try:
        connection.settimeout(max(0.01, deadline - time.monotonic()))
        with context.wrap_socket(connection, server_hostname=host) as secured:
            return _ask(secured, where, loaded, first, deadline)
    except ssl.SSLCertVerificationError as error:
        return Handshake(refused=_server_refused(error, where, host, files))
    except ssl.SSLError as error:
        return Handshake(refused=_client_refused(error, where, loaded))
    except OSError:
        return Handshake()


def _ask(secured: ssl.SSLSocket, where: str, loaded: Loaded, first: bytes, deadline: float) -> Handshake:
    # With TLS 1.3 the client's certificate is looked at once the handshake is over for the client.
    try:
        secured.sendall(first)
        secured.settimeout(max(0.01, deadline - time.monotonic()))
        answer = secured.recv(4096)
    except TimeoutError:
        return Handshake(refused=f"{where} speaks TLS but does not answer; is it overloaded or stopped?")
    except ssl.SSLError as error:
        return Handshake(refused=_client_refused(error, where, loaded))
    except OSError:
        answer = b""
    return Handshake(answer) if answer else Handshake(refused=_closed(where, loaded))


def _server_refused(error: ssl.SSLCertVerificationError, where: str, host: str, files: TlsFiles) -> str:
    code = error.verify_code
    if code in _NO_ISSUER:
        trusted = "not by a public CA" if files.ca is None else f"not by the CA of {files.ca}"
        return f"the certificate of {where} was signed by an unknown CA, {trusted}"
    if code in _WRONG_NAME:
        return f"the certificate of {where} is not for {host}: connect by a name in it, or issue one for {host}"
    if code in VALIDITY:
        return f"the certificate of {where} {VALIDITY[code]}"
    return f"the certificate of {where} is not valid: {error.verify_message}"


def _client_refused(error: ssl.SSLError, where: str, loaded: Loaded) -> str:
    """Return why the server refused the client's certificate; empty if the server does not speak TLS."""
    reason = error.reason or ""
    if "ALERT" not in reason:
        return ""
    if "CERTIFICATE_REQUIRED" in reason:
        return _closed(where, loaded)
    why = next((words for alert, words in _ALERTS.items() if alert in reason), "")
    if why and loaded.cert is not None:
        return f"{where} refuses the certificate of this client: {why}"
    return f"{where} ends the TLS handshake: {reason_of(error)}"


def _closed(where: str, loaded: Loaded) -> str:
    """Return the words for a server that closes the connection after the handshake; a gRPC server does so without
    giving a reason."""
    if loaded.cert is None:
        return (
            f"{where} closes the connection after the TLS handshake, probably because it requires a client "
            "certificate; set TRON_CERT and TRON_KEY (or cert= and key=)"
        )
    why = own_problem(loaded) or "is perhaps not signed by the CA that the server trusts"
    return f"{where} refuses the certificate of this client, which {why}"
