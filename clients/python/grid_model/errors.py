"""The exceptions that servers raise, and that the SDK raises again in the client. Pure.

Programs should decide by the class or by `reason`, never by the text. A call that raises one of these exceptions has
changed nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class FieldError:
    """The name of one refused field, and why it was refused."""

    field: str
    description: str


class TronError(Exception):
    """The base class of all failed calls. `reason` is a name of grid.registry.v1.ErrorReason, or empty if the server
    sent no reason."""

    reason: str = ""
    fields: tuple[FieldError, ...] = ()
    facts: Mapping[str, str] = {}
    """Further data by which a program may decide; ErrorInfo.metadata carries it."""

    def __init__(self, message: str = "", *, reason: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if reason is not None:
            self.reason = reason


class InvalidRequest(TronError, ValueError):
    """The request is malformed: fix the call. `fields` names each field that the SDK or the registry refused."""

    reason = "ERROR_REASON_INVALID_REQUEST"

    def __init__(self, message: str = "", *, reason: str | None = None, fields: tuple[FieldError, ...] = ()) -> None:
        super().__init__(message, reason=reason)
        self.fields = fields

    @classmethod
    def of(cls, *fields: FieldError) -> Self:
        """Return the exception that refuses these fields; its text lists them."""
        return cls("; ".join(f"{each.field}: {each.description}" for each in fields), fields=fields)


class ServiceNotFound(TronError):
    """No service has this id: it never registered, or it has been removed."""

    reason = "ERROR_REASON_SERVICE_NOT_FOUND"

    @classmethod
    def of(cls, service_id: str) -> Self:
        """Return the exception for an id that no service has, or none that the caller may see."""
        return cls(f"no service has the id {service_id!r}")


class AlertNotFound(TronError):
    """The registry never sent an alert with this id to this recipient."""

    reason = "ERROR_REASON_ALERT_NOT_FOUND"


class Superseded(TronError):
    """A newer incarnation holds this service id: stop. `incarnation` is the newer incarnation, or 0 if the registry did
    not send it."""

    reason = "ERROR_REASON_SUPERSEDED"
    service_id: str = ""
    """The id that was refused. The registry sets it; in a client it is empty, because the client knows the id."""

    def __init__(self, message: str = "", *, reason: str | None = None, incarnation: int = 0) -> None:
        super().__init__(message, reason=reason)
        self.incarnation = incarnation

    @classmethod
    def of(cls, service_id: str, incarnation: int) -> Self:
        """Return the exception that refuses an older incarnation of `service_id`."""
        error = cls(f"{service_id!r} is held by incarnation {incarnation}", incarnation=incarnation)
        error.service_id = service_id
        error.facts = {"service_id": service_id, "incarnation": str(incarnation)}
        return error


class UnknownIncarnation(TronError):
    """The registry does not know this incarnation: register again without an incarnation."""

    reason = "ERROR_REASON_UNKNOWN_INCARNATION"

    @classmethod
    def of(cls, service_id: str, incarnation: int) -> Self:
        """Return the exception that refuses an unknown incarnation of `service_id`."""
        return cls(f"incarnation {incarnation} of {service_id!r} is not known; register without one")


class RevisionCompacted(TronError):
    """The registry no longer keeps the requested changes: read a snapshot and continue from its revision."""

    reason = "ERROR_REASON_REVISION_COMPACTED"


class PageTokenExpired(TronError):
    """The registry no longer keeps the list that this page token continues: list again from the first page."""

    reason = "ERROR_REASON_PAGE_TOKEN_EXPIRED"


class ReaderTooSlow(TronError):
    """The reader fell too far behind: reconnect and resume."""

    reason = "ERROR_REASON_READER_TOO_SLOW"


class QuotaExceeded(TronError):
    """A limit on counts was reached: back off with jitter."""

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
    """The caller has no right to this: an administrator can grant it."""

    reason = "ERROR_REASON_PERMISSION_DENIED"


class NotOwner(PermissionDenied):
    """The service belongs to another owner: an operator can release its id."""

    reason = "ERROR_REASON_NOT_OWNER"


class CredentialExpired(TronError):
    """The server ended an open call because its credential has ended, was revoked, or has other rights now: connect
    again."""

    reason = "ERROR_REASON_CREDENTIAL_EXPIRED"


class PrincipalNotFound(TronError):
    """There is no principal with this name."""

    reason = "ERROR_REASON_PRINCIPAL_NOT_FOUND"


class TokenNotFound(TronError):
    """There is no token with this id: it was revoked, or never created."""

    reason = "ERROR_REASON_TOKEN_NOT_FOUND"


class NotImplementedYet(TronError):
    """The contract specifies this call, but the server does not implement it yet."""

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
"""The exception of each reason."""
