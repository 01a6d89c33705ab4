"""Reads a JSON Web Token before its signature is verified: only its form, and what it says of itself. Pure.

The library verifies signatures and claims (`jwt_issuers`). It accepts names that occur twice in a JSON object, of which
other readers may take the first one, so the text is read strictly here before.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from joserfc.util import urlsafe_b64decode

MOST_BYTES = 8192
"""Bytes of a JWT."""

MOST_KEY_ID = 256
"""Characters of the id of a key."""

TYPES = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})
"""What the header may say of the type; other types, such as logout tokens, are no credentials."""


class InvalidJwtError(Exception):
    """The text is no JWT that authenticates anybody. The reason is for tests; no caller receives it."""


@dataclass(frozen=True, slots=True)
class Unverified:
    """What a JWT says; nothing of it is known to be true."""

    text: str = field(repr=False)
    algorithm: str
    key_id: str
    """Empty if the header names no key."""
    claims: Mapping[str, Any]

    @property
    def issuer(self) -> str:
        """The issuer that it names; empty if it names none."""
        found = self.claims.get("iss")
        return found if isinstance(found, str) else ""


def is_jwt(token: str) -> bool:
    """Return whether a bearer token is to be read as a JWT: the tokens of this system have no dots."""
    return "." in token


def read_jwt(text: str) -> Unverified:
    """Return what a JWT says. Raises InvalidJwtError for every other text, and for what nobody should sign."""
    if len(text) > MOST_BYTES:
        raise InvalidJwtError(f"is longer than {MOST_BYTES} bytes")
    if not text.isascii():
        raise InvalidJwtError("has characters other than ASCII")
    parts = text.encode().split(b".")
    if len(parts) != 3:
        raise InvalidJwtError("has not three parts; encrypted tokens have five")
    header, claims = _object("header", parts[0]), _object("payload", parts[1])
    # `jku`, `x5u`, `jwk` and `x5c` would let the sender choose the key: nothing reads them.
    if "crit" in header:
        raise InvalidJwtError("has critical header parameters")
    if "cty" in header:
        raise InvalidJwtError("has another token inside")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in TYPES:
        raise InvalidJwtError("is of another type")
    algorithm, key_id = header.get("alg"), header.get("kid", "")
    if not isinstance(algorithm, str):
        raise InvalidJwtError("names no algorithm")
    if not isinstance(key_id, str) or len(key_id) > MOST_KEY_ID:
        raise InvalidJwtError("names no usable key")
    return Unverified(text, algorithm, key_id, claims)


def read_object(text: str) -> dict[str, Any]:
    """Return a JSON object. Raises ValueError for anything else, for a name that occurs twice, and for numbers that
    JSON does not have."""
    try:
        found = json.loads(text, object_pairs_hook=_distinct, parse_constant=_refused)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("is not an object")
    return found


def _object(what: str, part: bytes) -> dict[str, Any]:
    try:
        return read_object(urlsafe_b64decode(part).decode("utf-8"))
    except (ValueError, TypeError, IndexError) as error:
        raise InvalidJwtError(f"{what}: {error or 'is not base64url'}") from None


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("has a name twice")
    return found


def _refused(word: str) -> Any:
    raise ValueError(f"{word} is no number")
