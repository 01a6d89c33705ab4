"""What can go wrong, in domain words. `reason` is the name on the wire; `grid_hosting.status` knows its gRPC code."""

from __future__ import annotations

from grid_hosting.errors import DomainError, FieldError, InvalidRequest

__all__ = [
    "AlertNotFound",
    "DomainError",
    "Draining",
    "FieldError",
    "InvalidRequest",
    "PageTokenExpired",
    "QuotaExceeded",
    "ReaderTooSlow",
    "RegistryError",
    "RevisionCompacted",
    "ServiceNotFound",
    "SilentStream",
    "Superseded",
    "UnknownIncarnation",
]


class RegistryError(DomainError):
    """The registry refused something. Nothing was changed by the call that raises it."""


class ServiceNotFound(RegistryError):
    """No such service: never registered, or already removed."""

    reason = "ERROR_REASON_SERVICE_NOT_FOUND"


class AlertNotFound(RegistryError):
    """No such alert was ever sent to that recipient."""

    reason = "ERROR_REASON_ALERT_NOT_FOUND"


class Superseded(RegistryError):
    """A newer incarnation holds this id; whoever asks must stop."""

    reason = "ERROR_REASON_SUPERSEDED"

    def __init__(self, service_id: str, incarnation: int) -> None:
        self.service_id = service_id
        self.incarnation = incarnation
        self.facts = {"service_id": service_id, "incarnation": str(incarnation)}
        super().__init__(f"{service_id!r} is held by incarnation {incarnation}")


class UnknownIncarnation(RegistryError):
    """The registry does not know this incarnation; register again without one."""

    reason = "ERROR_REASON_UNKNOWN_INCARNATION"

    def __init__(self, service_id: str, incarnation: int) -> None:
        self.service_id = service_id
        super().__init__(f"incarnation {incarnation} of {service_id!r} is not known; register without one")


class RevisionCompacted(RegistryError):
    """The changes or events asked for are no longer kept."""

    reason = "ERROR_REASON_REVISION_COMPACTED"


class PageTokenExpired(RegistryError):
    """The list that a page continues is no longer kept; list again from the start."""

    reason = "ERROR_REASON_PAGE_TOKEN_EXPIRED"


class ReaderTooSlow(RegistryError):
    """The reader fell too far behind; it may reconnect and resume."""

    reason = "ERROR_REASON_READER_TOO_SLOW"


class QuotaExceeded(RegistryError):
    """A limit on counts was reached."""

    reason = "ERROR_REASON_QUOTA_EXCEEDED"


class Draining(RegistryError):
    """The server is going away."""

    reason = "ERROR_REASON_DRAINING"


class SilentStream(RegistryError):
    """Nothing was said on a stream, or nothing any more."""

    reason = "ERROR_REASON_SILENT_STREAM"
