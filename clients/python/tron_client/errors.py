"""The exceptions of the SDK. Programs should check the class or the `reason` of an exception, never its text."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import grpc
from grid_model.errors import (
    BY_REASON,
    AlertNotFound,
    CredentialExpired,
    Draining,
    FieldError,
    InternalError,
    InvalidRequest,
    NotImplementedYet,
    NotOwner,
    PageTokenExpired,
    PermissionDenied,
    PrincipalNotFound,
    QuotaExceeded,
    ReaderTooSlow,
    RevisionCompacted,
    ServiceNotFound,
    SilentStream,
    Superseded,
    TokenNotFound,
    TronError,
    Unauthenticated,
    UnknownIncarnation,
)

from tron_client import status_details
from tron_client.profiles import files_for
from tron_client.proxy import grpc_proxy

if TYPE_CHECKING:
    from tron_client.address import Address

__all__ = [
    "BY_REASON",
    "RETRYABLE",
    "AlertNotFound",
    "CredentialExpired",
    "Draining",
    "FieldError",
    "InternalError",
    "InvalidRequest",
    "NotImplementedYet",
    "NotOwner",
    "PageTokenExpired",
    "PermissionDenied",
    "PrincipalNotFound",
    "QuotaExceeded",
    "ReaderTooSlow",
    "RegistryUnavailable",
    "RevisionCompacted",
    "ServiceNotFound",
    "SilentStream",
    "Superseded",
    "TokenNotFound",
    "TronError",
    "Unauthenticated",
    "UnknownIncarnation",
    "WrongServer",
    "WrongType",
    "from_rpc_error",
]


class WrongType(InvalidRequest, TypeError):
    """An argument has a wrong type. The SDK raises this exception before it sends anything."""


class RegistryUnavailable(TronError):
    """The registry could not be reached, or did not answer in time: try again later. If another program answered at the
    address, or a proxy was in between, the message describes it."""


class WrongServer(TronError):
    """The server at this address speaks gRPC, but does not serve this call: the address belongs to another program."""


RETRYABLE: tuple[type[TronError], ...] = (
    RegistryUnavailable,
    Draining,
    ReaderTooSlow,
    QuotaExceeded,
    SilentStream,
    CredentialExpired,
    InternalError,
)
"""The exceptions after which the same call may succeed later."""

NO_CREDENTIAL = (
    "the server refused the credential of this client, or received none, and does not say why; set "
    "TRON_TOKEN_FILE to a file with a token, or TRON_CERT and TRON_KEY to a certificate and its key"
)

_TRANSPORT = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        # Without a reason these come from grpc itself: a stream refused under load is CANCELLED, a status that was
        # lost is INTERNAL or UNKNOWN.
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
    }
)


def from_rpc_error(error: grpc.RpcError, address: Address | None = None) -> TronError:
    """Return the exception for a failed call of `grpc` or `grpc.aio`. A `reason` that this SDK does not know is kept in
    a TronError.

    If the `address` that was called is given, the message also explains what seems to be wrong at this address, for
    example that an HTTP server answers there.
    """
    failed: Any = error  # the code and the trailers are methods of the call that every RpcError in fact is
    code: grpc.StatusCode | None = failed.code() if hasattr(failed, "code") else None
    message: str = (failed.details() if hasattr(failed, "details") else None) or str(code or error)
    details = _details(failed)
    fields = tuple(FieldError(name, description) for name, description in details.fields)
    match BY_REASON.get(details.reason):
        case None if not details.reason:
            if code is grpc.StatusCode.UNIMPLEMENTED:
                where = "" if address is None else f" at {address}"
                return WrongServer(f"the gRPC server{where} does not serve this call ({message})")
            return RegistryUnavailable(_with_place(message, address)) if code in _TRANSPORT else TronError(message)
        case None:
            return TronError(message, reason=details.reason)
        case kind if kind is InvalidRequest:
            return InvalidRequest(message, fields=fields)
        case kind if kind is Superseded:
            number = details.metadata.get("incarnation", "")
            return Superseded(message, incarnation=int(number) if number.isdecimal() else 0)
        case kind if kind is Unauthenticated:
            return Unauthenticated(NO_CREDENTIAL)
        case kind:
            return kind(message)


def _with_place(message: str, address: Address | None) -> str:
    """Return a message with the details that gRPC leaves out: whether an HTTP server answered, and whether a proxy was
    in between."""
    if address is None:
        return message
    if "http1" in message or "Failed parsing HTTP/2" in message:
        message = f"an HTTP server answers at {address}, not gRPC ({message})"
    elif words := _about_tls(message, address):
        message = f"{words} ({message})"
    proxy = grpc_proxy(address, os.environ)
    if proxy is None:
        return message
    return f"{message} (through {proxy}; set no_proxy={address.endpoints[0][0]} to bypass it)"


def _about_tls(message: str, address: Address) -> str:
    """Return what an error of gRPC says about TLS; empty if it is about something else. A server that refuses a TLS
    handshake closes the connection without a reason, but other servers may do so too, so the text then only suggests a
    cause."""
    if "CERTIFICATE_VERIFY_FAILED" in message or "Hostname Verification Check failed" in message:
        return f"the certificate of {address} is not trusted"
    closed = "failed to connect" in message and "Socket closed" in message
    if not closed and "WRONG_VERSION_NUMBER" not in message:
        return ""
    try:
        files = files_for(address, os.environ)
    except ValueError:
        return ""
    if not closed:
        by = "" if files is None else f" (by {files.asked_by})"
        return f"{address} speaks plaintext, but this client is set to use TLS{by}"
    if address.own_credentials:
        return ""
    if files is None:
        return f"{address} closes plaintext connections; if it speaks TLS, set TRON_CA (or ca=)"
    if files.cert is None:
        return f"{address} closes the connection; if it requires a client certificate, set TRON_CERT and TRON_KEY"
    return f"{address} closes the connection; perhaps it does not accept the certificate of this client"


def _details(failed: Any) -> status_details.Details:
    trailers = failed.trailing_metadata() if hasattr(failed, "trailing_metadata") else None
    for key, value in trailers or ():
        if key == status_details.METADATA_KEY:
            return status_details.decode(value)
    return status_details.Details()
