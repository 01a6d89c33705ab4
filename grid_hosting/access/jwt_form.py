"""Reads the header and the claims of a JSON Web Token before its signature is verified, and checks their form. Pure.

A library verifies signatures and claims later (`jwt_issuers`). The library accepts a JSON object that contains a name
twice, and uses one of the two values; another reader may use the other one. So this module first reads the text
strictly, and refuses such objects.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from joserfc.util import urlsafe_b64decode

MOST_BYTES = 8192
"""Maximum size of a JWT in bytes."""

MOST_KEY_ID = 256
"""Maximum number of characters of the id of a key (`kid`)."""

TYPES = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})
"""The accepted values of `typ` in the header. Tokens of other types, such as logout tokens, are not credentials."""


class InvalidJwtError(Exception):
    """The text is not a JWT that authenticates a caller. The message gives the reason for tests and logs; callers of a
    server never receive it."""


@dataclass(frozen=True, slots=True)
class Unverified:
    """The contents of a JWT whose signature has not been verified, so that nothing in it can be trusted."""

    text: str = field(repr=False)
    algorithm: str
    key_id: str
    """The id of the key that signed the token (`kid`); empty if the header has none."""
    claims: Mapping[str, Any]

    @property
    def issuer(self) -> str:
        """The issuer in the claim `iss`; empty if there is none."""
        found = self.claims.get("iss")
        return found if isinstance(found, str) else ""


def is_jwt(token: str) -> bool:
    """Return whether a bearer token must be read as a JWT: it contains a dot, and tokens of this system do not."""
    return "." in token


def read_jwt(text: str) -> Unverified:
    """Return the contents of a JWT without verifying its signature. Raises InvalidJwtError if the text is not a JWT, or
    if its header has parameters or a type that are not accepted."""
    if len(text) > MOST_BYTES:
        raise InvalidJwtError(f"is longer than {MOST_BYTES} bytes")
    if not text.isascii():
        raise InvalidJwtError("has characters that are not ASCII")
    parts = text.encode().split(b".")
    if len(parts) != 3:
        raise InvalidJwtError("does not have three parts; a token with five parts is encrypted, which is not supported")
    header, claims = _object("header", parts[0]), _object("payload", parts[1])
    # `jku`, `x5u`, `jwk` and `x5c` would let the sender choose the key: nothing reads them.
    if "crit" in header:
        raise InvalidJwtError("has critical header parameters (crit), which are not supported")
    if "cty" in header:
        raise InvalidJwtError("contains another token (cty), which is not supported")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in TYPES:
        raise InvalidJwtError("has a type (typ) that is not accepted")
    algorithm, key_id = header.get("alg"), header.get("kid", "")
    if not isinstance(algorithm, str):
        raise InvalidJwtError("has no algorithm (alg)")
    if not isinstance(key_id, str) or len(key_id) > MOST_KEY_ID:
        raise InvalidJwtError(f"has a key id (kid) that is not a string of at most {MOST_KEY_ID} characters")
    return Unverified(text, algorithm, key_id, claims)


def read_object(text: str) -> dict[str, Any]:
    """Return the JSON object in a text. Raises ValueError if the text is anything else, if a name occurs twice in an
    object, or if it has a number such as NaN that JSON does not allow."""
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
        raise ValueError("contains the same name twice in one JSON object")
    return found


def _refused(word: str) -> Any:
    raise ValueError(f"{word} is not a valid number in JSON")
