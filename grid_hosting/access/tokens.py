"""Bearer tokens: `tron_` and 256 random bits. Only the SHA-256 of a token is stored, and its first characters, by which
people recognize it. Pure: the caller draws the random bits."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, field

PREFIX = "tron_"
RANDOM_BYTES = 32
ID_LENGTH = 8
"""Characters of a token that identify it; the 208 bits of the others stay secret."""

_LENGTH = len(PREFIX) + 43  # of 32 bytes in base64


@dataclass(frozen=True, slots=True)
class Token:
    """What is stored of one token. Times are in seconds since the epoch, UTC."""

    token_id: str
    digest: bytes = field(repr=False)
    principal: str
    created_at: float
    expires_at: float | None = None
    """None: it does not end."""
    description: str = ""
    created_by: str = ""
    """The name of the principal that created it."""
    last_used_at: float | None = None

    def proves(self, secret: str) -> bool:
        """Whether this is the token; in constant time."""
        return hmac.compare_digest(self.digest, digest_of(secret))

    def valid_at(self, now: float) -> bool:
        """Whether the token has not expired."""
        return self.expires_at is None or now < self.expires_at


def make_secret(random: bytes) -> str:
    """Return the token made of RANDOM_BYTES random bytes."""
    if len(random) != RANDOM_BYTES:
        raise ValueError(f"a token is made of {RANDOM_BYTES} random bytes, not {len(random)}")
    text = base64.urlsafe_b64encode(random).rstrip(b"=").decode()
    if text.startswith("-"):
        text = "A" + text[1:]  # an id that begins so would be an option of a command; it is no part of the secret
    return PREFIX + text


def id_of(secret: str) -> str:
    """Return the id of a token; empty if the text has not the form of one."""
    if len(secret) != _LENGTH or not secret.startswith(PREFIX):
        return ""
    return secret[len(PREFIX) :][:ID_LENGTH]


def digest_of(secret: str) -> bytes:
    """Return the SHA-256 of a token."""
    return hashlib.sha256(secret.encode()).digest()
