"""Bearer tokens, which consist of `tron_` and 256 random bits. Only the SHA-256 of a token and its first characters, by
which people recognize it, are stored. Pure: the caller provides the random bits."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, field

PREFIX = "tron_"
RANDOM_BYTES = 32
ID_LENGTH = 8
"""Number of characters of a token that identify it; the 208 bits of the other characters stay secret."""

_LENGTH = len(PREFIX) + 43  # of 32 bytes in base64


@dataclass(frozen=True, slots=True)
class Token:
    """The stored record of one token. Times are in seconds since the epoch, UTC."""

    token_id: str
    digest: bytes = field(repr=False)
    principal: str
    created_at: float
    expires_at: float | None = None
    """When the token expires; None if it does not."""
    description: str = ""
    created_by: str = ""
    """The name of the principal that created it."""
    last_used_at: float | None = None

    def proves(self, secret: str) -> bool:
        """Return whether a secret is this token. The comparison takes the same time for every secret."""
        return hmac.compare_digest(self.digest, digest_of(secret))

    def valid_at(self, now: float) -> bool:
        """Return whether the token has not expired at the time `now`."""
        return self.expires_at is None or now < self.expires_at


def make_secret(random: bytes) -> str:
    """Return a new token made from RANDOM_BYTES random bytes. Raises ValueError for any other number of bytes."""
    if len(random) != RANDOM_BYTES:
        raise ValueError(f"a token is made of {RANDOM_BYTES} random bytes, not {len(random)}")
    text = base64.urlsafe_b64encode(random).rstrip(b"=").decode()
    if text.startswith("-"):
        text = "A" + text[1:]  # an id that begins so would be an option of a command; it is no part of the secret
    return PREFIX + text


def id_of(secret: str) -> str:
    """Return the id in a token; empty if the text does not have the form of a token."""
    if len(secret) != _LENGTH or not secret.startswith(PREFIX):
        return ""
    return secret[len(PREFIX) :][:ID_LENGTH]


def digest_of(secret: str) -> bytes:
    """Return the SHA-256 of a token."""
    return hashlib.sha256(secret.encode()).digest()
