"""The issuers whose JSON Web Tokens authenticate callers, and what the claims of a verified token grant. Pure.

Nothing follows from a claim but what a table of the settings says: a row names a claim, one value of it, and grants.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from grid_model.access import Grant, Role, check_pattern
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwt import JWTClaimsRegistry

from grid_hosting.access.book import MOST_NAME, MOST_TEXT, is_distinct
from grid_hosting.access.jwt_form import InvalidJwtError, Unverified
from grid_hosting.access.jwt_keys import Algorithm, PublicKey
from grid_hosting.access.programs import GROUP

SKEW = 60
"""Seconds by which the clock of an issuer may differ from the one of this machine."""

MOST_JWT_ID = 256
"""Characters of the id of a token (`jti`)."""

LAST_TIME = 253_402_300_799
"""The last second of the year 9999: a later time is not one."""

_GRANT = re.compile(r"([a-z]+) (\S.*)")


@dataclass(frozen=True, slots=True)
class ClaimName:
    """Where in a token a claim is: a name, or a JSON Pointer (RFC 6901) to a claim inside of others, such as
    `/kubernetes.io/namespace`."""

    path: tuple[str, ...]

    def texts(self, claims: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the texts of the claim: the claim itself, or the texts in a list."""
        found: Any = claims
        for name in self.path:
            if not isinstance(found, Mapping) or name not in found:
                return ()
            found = found[name]
        if isinstance(found, list):
            return tuple(each for each in found if isinstance(each, str))
        return (found,) if isinstance(found, str) else ()


def parse_claim(text: str) -> ClaimName:
    """Return the claim that a setting names. Raises ValueError."""
    if not text.startswith("/"):
        names = [text]
    elif re.search(r"~(?![01])", text):
        raise ValueError(f"{text!r} is no JSON Pointer: write ~0 for ~, and ~1 for /")
    else:
        names = [each.replace("~1", "/").replace("~0", "~") for each in text[1:].split("/")]
    if not all(names):
        raise ValueError(f"{text!r} names no claim; write, for example, groups or /kubernetes.io/namespace")
    return ClaimName(tuple(names))


@dataclass(frozen=True, slots=True)
class ClaimRule:
    """A row of the table: a token that has the claim with this value has the grants."""

    claim: ClaimName
    value: str
    grants: tuple[Grant, ...]


def parse_rule(condition: str, grants: Iterable[str]) -> ClaimRule:
    """Return a row: `groups=operators` and `operator *`. Raises ValueError."""
    claim, equals, value = condition.partition("=")
    if not equals or not value:
        raise ValueError(f"{condition!r} is not CLAIM=VALUE; write, for example, groups=operators")
    found = tuple(dict.fromkeys(map(_parse_grant, grants)))
    if not found:
        raise ValueError(f"{condition!r} has no grants; write, for example, ['observer *']")
    return ClaimRule(parse_claim(claim), value, found)


def _parse_grant(text: str) -> Grant:
    found = _GRANT.fullmatch(text)
    if found is None or found[1].upper() not in Role.__members__:
        roles = ", ".join(each.name.lower() for each in Role)
        raise ValueError(f"{text!r} is not ROLE PATTERN, such as 'agent worker-*'; the roles are {roles}")
    return Grant(Role[found[1].upper()], check_pattern(found[2]))


@dataclass(frozen=True, slots=True)
class Proven:
    """What a verified token says."""

    principal: str
    """Its name: `jwt:ISSUER#SUBJECT`."""
    group: str
    grants: tuple[Grant, ...]
    """What its claims grant."""
    issuer: str
    jwt_id: str
    """Empty if the issuer gives its tokens no ids."""
    ends_at: float
    """`exp`, in seconds since the epoch."""
    key: PublicKey = field(repr=False)
    """What has verified it."""

    def end(self, now: float) -> float | None:
        """Return when the caller ends that presents the token now; None if it has ended.

        Open streams end at `exp`. A call that comes a little later is still served, because the clocks may differ.
        """
        if now < self.ends_at:
            return self.ends_at
        latest = self.ends_at + SKEW
        return latest if now < latest else None


@dataclass(frozen=True, slots=True)
class Issuer:
    """One issuer, as the settings describe it."""

    name: str
    """Its URL, as tokens write it in `iss`."""
    audience: str
    algorithm: Algorithm
    rules: tuple[ClaimRule, ...] = ()
    group: ClaimName | None = None
    """The claim that is the group of the principal."""

    def check(self, token: Unverified, now: float) -> None:
        """Check all but the signature, which costs more. Raises InvalidJwtError."""
        if token.algorithm != self.algorithm:
            raise InvalidJwtError(f"is signed by {token.algorithm!r}, not by {self.algorithm}")
        registry = JWTClaimsRegistry(
            int(now),
            SKEW,
            iss={"essential": True, "value": self.name},
            aud={"essential": True, "value": self.audience},
            sub={"essential": True},
            exp={"essential": True},
        )
        try:
            registry.validate(dict(token.claims))
        except (JoseError, OverflowError) as error:
            raise InvalidJwtError(str(error)) from None
        if token.claims["exp"] > LAST_TIME:
            raise InvalidJwtError("exp is no time")

    def verify(self, token: Unverified, key: PublicKey) -> Proven:
        """Verify the signature of a token that `check` has admitted. Raises InvalidJwtError.

        It takes from 50 us to 1 ms, and is therefore no work for an event loop.
        """
        registry = jws.JWSRegistry(algorithms=[self.algorithm], strict_check_header=False)
        registry.max_header_length = len(token.text)  # `read_jwt` has limited the whole
        try:
            jws.deserialize_compact(token.text, key, registry=registry)
        except (JoseError, ValueError, TypeError) as error:
            raise InvalidJwtError(f"signature: {error}") from None
        return self._proven(token.claims, key)

    def _proven(self, claims: Mapping[str, Any], key: PublicKey) -> Proven:
        name = f"jwt:{self.name}#{claims['sub']}"
        if len(name) > MOST_NAME or not is_distinct(name):
            raise InvalidJwtError("sub is no name")
        groups = () if self.group is None else self.group.texts(claims)
        if len(groups) > 1 or any(len(each) > MOST_TEXT or not is_distinct(each) for each in groups):
            raise InvalidJwtError("the claim of the group is not one name")
        if GROUP in groups:
            raise InvalidJwtError(f"the group {GROUP} is that of the programs of this system")
        granted = (
            grant for rule in self.rules if rule.value in rule.claim.texts(claims) for grant in rule.grants
        )  # fmt: skip
        jwt_id = claims.get("jti", "")
        if len(jwt_id) > MOST_JWT_ID:
            raise InvalidJwtError("jti is too long")
        return Proven(
            name,
            groups[0] if groups else "",
            tuple(dict.fromkeys(granted)),
            self.name,
            jwt_id,
            float(claims["exp"]),
            key,
        )


def checked_issuer(text: str) -> str:
    """Return the URL of an issuer, unchanged: tokens must have the same characters. Raises ValueError."""
    rest = text.removeprefix("https://")
    if rest == text or not rest or not text.isascii() or not text.isprintable() or {" ", "?", "#", "@"} & set(text):
        raise ValueError(f"{text!r} is not an issuer; write its URL as tokens have it, such as https://login.example")
    return text
