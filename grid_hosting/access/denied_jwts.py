"""The JWTs that an administrator has denied: each is refused although its issuer has signed it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from grid_model.errors import FieldError, InvalidRequest

MOST_DENIED = 10_000
MOST_TEXT = 512
"""Characters of each text."""


@dataclass(frozen=True, slots=True)
class DeniedJwt:
    """One token, as its issuer names it. Times are in seconds since the epoch."""

    issuer: str
    jwt_id: str
    """Its claim `jti`."""
    denied_at: float = 0.0
    ends_at: float | None = None
    """When the token ends on its own, so that it need not be denied longer; None: not known."""
    description: str = ""
    denied_by: str = ""
    """The name of the principal that denied it."""

    def check(self) -> None:
        """Raise InvalidRequest for a text that no token can have."""
        errors = [
            FieldError(name, f"must be 1 to {MOST_TEXT} printable characters")
            for name, text in (("issuer", self.issuer), ("jwt_id", self.jwt_id))
            if not text or len(text) > MOST_TEXT or not text.isprintable()
        ]
        if len(self.description) > MOST_TEXT or not self.description.isprintable():
            errors.append(FieldError("description", f"must be at most {MOST_TEXT} printable characters"))
        if errors:
            raise InvalidRequest.of(*errors)

    def has_ended(self, now: float) -> bool:
        """Whether the token is refused by its end alone; with room for clocks that differ."""
        return self.ends_at is not None and now > self.ends_at + 3600.0
