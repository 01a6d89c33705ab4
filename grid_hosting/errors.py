"""The shape of an error that a client can act on. Pure, so that cores may raise them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field that was refused: its path as the client typed it, and why."""

    field: str
    description: str


class DomainError(Exception):
    """Something was refused. Nothing was changed by the call that raises it."""

    reason: ClassVar[str] = "ERROR_REASON_INTERNAL"
    fields: tuple[FieldError, ...] = ()
    facts: Mapping[str, str] = {}


class InvalidRequest(DomainError):
    """The call is wrong; each field that is wrong is named."""

    reason = "ERROR_REASON_INVALID_REQUEST"

    def __init__(self, *fields: FieldError) -> None:
        self.fields = fields
        super().__init__("; ".join(f"{error.field}: {error.description}" for error in fields))


class NotImplementedYet(DomainError):
    """Part of the contract, not yet of the program."""

    reason = "ERROR_REASON_NOT_IMPLEMENTED"
