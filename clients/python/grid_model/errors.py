"""The exceptions that servers raise, and that the SDK raises again in the client. This module does no I/O.

Programs should check the class or the `reason` of an exception, never its text. A call that raises one of these
exceptions has changed nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class FieldError:
    """A field of a request, and the reason why this field was refused."""

    field: str
    description: str


class TronError(Exception):
    """The base class of the exceptions for failed calls. `reason` is a name in grid.registry.v1.ErrorReason, or empty
    if the server sent no reason."""

    reason: str = ""
    fields: tuple[FieldError, ...] = ()
    facts: Mapping[str, str] = {}
    """Further data about the error for programs, such as the incarnation that holds an id. The server sends it as
    ErrorInfo.metadata."""

    def __init__(self, message: str = "", *, reason: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if reason is not None:
            self.reason = reason


class InvalidRequest(TronError, ValueError):
    """The request is invalid: correct it before you call again. `fields` lists each field that the SDK or the registry
    refused, with the reason."""

    reason = "ERROR_REASON_INVALID_REQUEST"

    def __init__(self, message: str = "", *, reason: str | None = None, fields: tuple[FieldError, ...] = ()) -> None:
        super().__init__(message, reason=reason)
        self.fields = fields

    @classmethod
    def of(cls, *fields: FieldError) -> Self:
        """Return an exception that reports these refused fields; its message lists all of them."""
        return cls("; ".join(f"{each.field}: {each.description}" for each in fields), fields=fields)


class ServiceNotFound(TronError):
    """No service with this id is registered: it never was, or it has been removed."""

    reason = "ERROR_REASON_SERVICE_NOT_FOUND"

    @classmethod
    def of(cls, service_id: str) -> Self:
        """Return the exception for an id that no service has. It is also raised for a service that the caller may not
        see."""
        return cls(f"no service has the id {service_id!r}")


class AlertNotFound(TronError):
    """The registry never sent an alert with this id to this recipient."""

    reason = "ERROR_REASON_ALERT_NOT_FOUND"


class Superseded(TronError):
    """A newer incarnation holds this service id, so the older process must stop. `incarnation` is the newer
    incarnation, or 0 if the registry did not send it."""

    reason = "ERROR_REASON_SUPERSEDED"
    service_id: str = ""
    """The service id that the newer incarnation holds. The registry sets it; in a client it is empty, because the
    client knows the id."""

    def __init__(self, message: str = "", *, reason: str | None = None, incarnation: int = 0) -> None:
        super().__init__(message, reason=reason)
        self.incarnation = incarnation

    @classmethod
    def of(cls, service_id: str, incarnation: int) -> Self:
        """Return the exception for a call by an older incarnation of `service_id`; `incarnation` is the one that holds
        the id now."""
        error = cls(f"{service_id!r} is held by incarnation {incarnation}", incarnation=incarnation)
        error.service_id = service_id
        error.facts = {"service_id": service_id, "incarnation": str(incarnation)}
        return error


class UnknownIncarnation(TronError):
    """The registry does not know this incarnation: register again without an incarnation."""

    reason = "ERROR_REASON_UNKNOWN_INCARNATION"

    @classmethod
    def of(cls, service_id: str, incarnation: int) -> Self:
        """Return the exception for a call with an incarnation that the registry does not know; the call is about
        `service_id`."""
        return cls(f"incarnation {incarnation} of {service_id!r} is not known; register without an incarnation")


class RevisionCompacted(TronError):
    """The registry no longer keeps the requested changes: read a snapshot and continue from its revision."""

    reason = "ERROR_REASON_REVISION_COMPACTED"


class PageTokenExpired(TronError):
    """The registry no longer keeps the list that this page token continues: list again from the first page."""

    reason = "ERROR_REASON_PAGE_TOKEN_EXPIRED"


class ReaderTooSlow(TronError):
    """The client read a stream too slowly, so the server ended it: connect again and resume."""

    reason = "ERROR_REASON_READER_TOO_SLOW"


class QuotaExceeded(TronError):
    """A limit of the server is reached, for example the number of open streams: try again later, after a random
    wait."""

    reason = "ERROR_REASON_QUOTA_EXCEEDED"


class Draining(TronError):
    """The server is about to stop: the client should reconnect after a random wait."""

    reason = "ERROR_REASON_DRAINING"


class SilentStream(TronError):
    """The registry ended the stream because the client sent no message on it for too long."""

    reason = "ERROR_REASON_SILENT_STREAM"


class Unauthenticated(TronError):
    """The call has no valid credential. The server does not say why; `tron whoami` shows which credential is sent."""

    reason = "ERROR_REASON_UNAUTHENTICATED"


class PermissionDenied(TronError):
    """The caller has no grant that allows this call: an administrator can add one."""

    reason = "ERROR_REASON_PERMISSION_DENIED"


class NotOwner(PermissionDenied):
    """The service id belongs to another owner: an operator can release the id."""

    reason = "ERROR_REASON_NOT_OWNER"


class CredentialExpired(TronError):
    """The server ended an open call, because the credential of the caller has expired, was revoked, or now has other
    rights: connect again."""

    reason = "ERROR_REASON_CREDENTIAL_EXPIRED"


class PrincipalNotFound(TronError):
    """There is no principal with this name."""

    reason = "ERROR_REASON_PRINCIPAL_NOT_FOUND"


class TokenNotFound(TronError):
    """There is no token with this id: it was revoked, or never created."""

    reason = "ERROR_REASON_TOKEN_NOT_FOUND"


class NotImplementedYet(TronError):
    """The gRPC contract specifies this call, but the server does not implement it yet."""

    reason = "ERROR_REASON_NOT_IMPLEMENTED"


class InternalError(TronError):
    """The server failed because of a bug; the server's log contains the details."""

    reason = "ERROR_REASON_INTERNAL"


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
        Unauthenticated,
        PermissionDenied,
        NotOwner,
        CredentialExpired,
        PrincipalNotFound,
        TokenNotFound,
        NotImplementedYet,
        InternalError,
    )
}
"""The class of exception for each reason."""
