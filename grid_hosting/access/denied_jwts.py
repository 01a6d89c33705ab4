"""JWTs that an administrator has denied. Each of them is refused although its issuer has signed it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from grid_model.errors import FieldError, InvalidRequest

MOST_DENIED = 10_000
MOST_TEXT = 512
"""Maximum number of characters of the issuer, of the id and of the description."""


@dataclass(frozen=True, slots=True)
class DeniedJwt:
    """A denied JWT, identified by its issuer (`iss`) and the id that the issuer gave it (`jti`). Times are in seconds
    since the epoch."""

    issuer: str
    jwt_id: str
    """The claim `jti` of the token."""
    denied_at: float = 0.0
    ends_at: float | None = None
    """When the token expires, so that it need not be denied any longer; None if this is not known."""
    description: str = ""
    denied_by: str = ""
    """The name of the principal that denied it."""

    def check(self) -> None:
        """Raise InvalidRequest if the issuer or the JWT id is empty, or if one of them or the description is too long
        or not printable."""
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
        """Return whether the token expired more than an hour ago. The token is then refused because it has expired, so
        this entry is no longer needed. The hour allows for clocks that differ."""
        return self.ends_at is not None and now > self.ends_at + 3600.0
