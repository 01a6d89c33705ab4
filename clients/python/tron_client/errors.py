"""What can go wrong, as exceptions. Programs decide by the class or by `reason`, never by the text."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc

from tron_client import status_details
from tron_client.proxy import grpc_proxy

if TYPE_CHECKING:
    from tron_client.address import Address


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field that was refused, and why."""

    field: str
    description: str


class TronError(Exception):
    """Any failed call. `reason` is a name of grid.registry.v1.ErrorReason, or empty where the server gave none."""

    reason: str = ""

    def __init__(self, message: str = "", *, reason: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if reason is not None:
            self.reason = reason


class InvalidRequest(TronError, ValueError):
    """The request is malformed: fix the call. `fields` names each field that was refused, here or by the registry."""

    reason = "ERROR_REASON_INVALID_REQUEST"

    def __init__(self, message: str = "", *, reason: str | None = None, fields: tuple[FieldError, ...] = ()) -> None:
        super().__init__(message, reason=reason)
        self.fields = fields


class WrongType(InvalidRequest, TypeError):
    """An argument has a type that cannot be meant. Raised by the SDK itself, before anything is sent."""


class ServiceNotFound(TronError):
    """No such service: never registered, or already removed."""

    reason = "ERROR_REASON_SERVICE_NOT_FOUND"


class AlertNotFound(TronError):
    """No such alert was ever sent to that recipient."""

    reason = "ERROR_REASON_ALERT_NOT_FOUND"


class Superseded(TronError):
    """A newer incarnation holds this id: stop. `incarnation` is the one that holds it, 0 where it was not told."""

    reason = "ERROR_REASON_SUPERSEDED"

    def __init__(self, message: str = "", *, reason: str | None = None, incarnation: int = 0) -> None:
        super().__init__(message, reason=reason)
        self.incarnation = incarnation


class UnknownIncarnation(TronError):
    """The registry does not know this incarnation: register again without one."""

    reason = "ERROR_REASON_UNKNOWN_INCARNATION"


class RevisionCompacted(TronError):
    """The changes asked for are no longer kept: read a snapshot and go on from there."""

    reason = "ERROR_REASON_REVISION_COMPACTED"


class PageTokenExpired(TronError):
    """The list that a page continues is no longer kept: list again from the first page."""

    reason = "ERROR_REASON_PAGE_TOKEN_EXPIRED"


class ReaderTooSlow(TronError):
    """The reader fell too far behind: reconnect and resume."""

    reason = "ERROR_REASON_READER_TOO_SLOW"


class QuotaExceeded(TronError):
    """A limit on counts was reached: back off with jitter."""

    reason = "ERROR_REASON_QUOTA_EXCEEDED"


class Draining(TronError):
    """The server is going away: reconnect with jitter."""

    reason = "ERROR_REASON_DRAINING"


class SilentStream(TronError):
    """The stream was opened and nothing was said on it."""

    reason = "ERROR_REASON_SILENT_STREAM"


class NotImplementedYet(TronError):
    """Part of the contract, not yet of the program."""

    reason = "ERROR_REASON_NOT_IMPLEMENTED"


class InternalError(TronError):
    """A bug of the server; its log has the details."""

    reason = "ERROR_REASON_INTERNAL"


class RegistryUnavailable(TronError):
    """The registry could not be reached, or did not answer in time: try again later. The message says what did answer,
    and names the proxy that stood in between."""


class WrongServer(TronError):
    """What answered is a gRPC server that does not serve this call: the address is that of something else."""


BY_REASON: dict[str, type[TronError]] = {
    error.reason: error
    for error in (
        InvalidRequest,
        ServiceNotFound,
        AlertNotFound,
        Superseded,
        UnknownIncarnation,
        RevisionCompacted,
        PageTokenExpired,
        ReaderTooSlow,
        QuotaExceeded,
        Draining,
        SilentStream,
        NotImplementedYet,
        InternalError,
    )
}
"""The exception of each reason."""

RETRYABLE: tuple[type[TronError], ...] = (
    RegistryUnavailable,
    Draining,
    ReaderTooSlow,
    QuotaExceeded,
    SilentStream,
    InternalError,
)
"""Trying again later may help."""

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
    """The exception for a failed call of either grpc stack; `reason` is kept even where this SDK does not know it.

    With the `address` that was called, the message says what is wrong with it as far as the failure tells.
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
                return WrongServer(f"what answers{where} is gRPC but does not serve this call ({message})")
            return RegistryUnavailable(_with_place(message, address)) if code in _TRANSPORT else TronError(message)
        case None:
            return TronError(message, reason=details.reason)
        case kind if kind is InvalidRequest:
            return InvalidRequest(message, fields=fields)
        case kind if kind is Superseded:
            number = details.metadata.get("incarnation", "")
            return Superseded(message, incarnation=int(number) if number.isdecimal() else 0)
        case kind:
            return kind(message)


def _with_place(message: str, address: Address | None) -> str:
    """What gRPC leaves out: that HTTP was spoken there, and that a proxy stood in between."""
    if address is None:
        return message
    if "http1" in message or "Failed parsing HTTP/2" in message:
        message = f"an HTTP server answers at {address}, not gRPC ({message})"
    proxy = grpc_proxy(address, os.environ)
    if proxy is None:
        return message
    return f"{message} (through {proxy}; no_proxy={address.endpoints[0][0]} goes around it)"


def _details(failed: Any) -> status_details.Details:
    trailers = failed.trailing_metadata() if hasattr(failed, "trailing_metadata") else None
    for key, value in trailers or ():
        if key == status_details.METADATA_KEY:
            return status_details.decode(value)
    return status_details.Details()
