"""What can go wrong, as exceptions: servers raise them, and the SDK raises them again at the client. Pure.

Programs decide by the class or by `reason`, never by the text. A call that raises one of these changed nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field that was refused, and why."""

    field: str
    description: str


class TronError(Exception):
    """Any failed call. `reason` is a name of grid.registry.v1.ErrorReason, or empty where the server gave none."""

    reason: str = ""
    fields: tuple[FieldError, ...] = ()
    facts: Mapping[str, str] = {}
    """What else a program may decide by, as ErrorInfo.metadata carries it."""

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

    @classmethod
    def of(cls, *fields: FieldError) -> Self:
        """The refusal of these fields; its text lists them."""
        return cls("; ".join(f"{each.field}: {each.description}" for each in fields), fields=fields)


class ServiceNotFound(TronError):
    """No such service: never registered, or already removed."""

    reason = "ERROR_REASON_SERVICE_NOT_FOUND"


class AlertNotFound(TronError):
    """No such alert was ever sent to that recipient."""

    reason = "ERROR_REASON_ALERT_NOT_FOUND"


class Superseded(TronError):
    """A newer incarnation holds this id: stop. `incarnation` is the one that holds it, 0 if it was not sent."""

    reason = "ERROR_REASON_SUPERSEDED"
    service_id: str = ""
    """Set by the registry itself; clients know the id that they asked for."""

    def __init__(self, message: str = "", *, reason: str | None = None, incarnation: int = 0) -> None:
        super().__init__(message, reason=reason)
        self.incarnation = incarnation

    @classmethod
    def of(cls, service_id: str, incarnation: int) -> Self:
        """The refusal of an older incarnation of `service_id`."""
        error = cls(f"{service_id!r} is held by incarnation {incarnation}", incarnation=incarnation)
        error.service_id = service_id
        error.facts = {"service_id": service_id, "incarnation": str(incarnation)}
        return error


class UnknownIncarnation(TronError):
    """The registry does not know this incarnation: register again without one."""

    reason = "ERROR_REASON_UNKNOWN_INCARNATION"

    @classmethod
    def of(cls, service_id: str, incarnation: int) -> Self:
        """The refusal of an incarnation of `service_id` that nobody knows."""
        return cls(f"incarnation {incarnation} of {service_id!r} is not known; register without one")


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
