"""The issuers whose JSON Web Tokens authenticate callers, and what the claims of a verified token grant. Pure.

A claim grants only what a table in the settings says: each row has a claim, one value of it, and the grants for that
value.
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
"""Seconds by which the clock of an issuer may differ from the clock of this machine."""

MOST_JWT_ID = 256
"""Maximum number of characters of the id of a token (`jti`)."""

LAST_TIME = 253_402_300_799
"""The last second of the year 9999. A token with a later time is not valid."""

_GRANT = re.compile(r"([a-z]+) (\S.*)")


@dataclass(frozen=True, slots=True)
class ClaimName:
    """The place of a claim in a token: a name, or a JSON Pointer (RFC 6901) to a nested claim, such as
    `/kubernetes.io/namespace`."""

    path: tuple[str, ...]

    def texts(self, claims: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the strings of the claim: its value if that is a string, or the strings in its list. Return an empty
        tuple if the token does not have the claim."""
        found: Any = claims
        for name in self.path:
            if not isinstance(found, Mapping) or name not in found:
                return ()
            found = found[name]
        if isinstance(found, list):
            return tuple(each for each in found if isinstance(each, str))
        return (found,) if isinstance(found, str) else ()


def parse_claim(text: str) -> ClaimName:
    """Return the claim that a text in the settings identifies. The text is the name of the claim, or a JSON Pointer.
    Raises ValueError."""
    if not text.startswith("/"):
        names = [text]
    elif re.search(r"~(?![01])", text):
        raise ValueError(f"{text!r} is not a JSON Pointer; write ~0 for ~, and ~1 for /")
    else:
        names = [each.replace("~1", "/").replace("~0", "~") for each in text[1:].split("/")]
    if not all(names):
        raise ValueError(f"{text!r} is not the name of a claim; write, for example, groups or /kubernetes.io/namespace")
    return ClaimName(tuple(names))


@dataclass(frozen=True, slots=True)
class ClaimRule:
    """One row of the table in the settings: a token whose claim is, or contains, this value receives these grants."""

    claim: ClaimName
    value: str
    grants: tuple[Grant, ...]


def parse_rule(condition: str, grants: Iterable[str]) -> ClaimRule:
    """Return one row of the table from its condition, such as `groups=operators`, and its grants, such as `operator *`.
    Raises ValueError."""
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
    """The identity and the grants that a verified token proves."""

    principal: str
    """The name of the principal: `jwt:ISSUER#SUBJECT`."""
    group: str
    grants: tuple[Grant, ...]
    """The grants for the claims of the token."""
    issuer: str
    jwt_id: str
    """The id of the token (`jti`); empty if the issuer gives its tokens no ids."""
    ends_at: float
    """`exp`, in seconds since the epoch."""
    key: PublicKey = field(repr=False)
    """The key that verified the token."""

    def end(self, now: float) -> float | None:
        """Return when a call that presents the token now must end; None if the token has expired.

        Open streams end at `exp`. A call that comes up to SKEW seconds later is still served, because the clocks may
        differ.
        """
        if now < self.ends_at:
            return self.ends_at
        latest = self.ends_at + SKEW
        return latest if now < latest else None


@dataclass(frozen=True, slots=True)
class Issuer:
    """One issuer, as the settings describe it."""

    name: str
    """The URL of the issuer, exactly as in the claim `iss`."""
    audience: str
    algorithm: Algorithm
    rules: tuple[ClaimRule, ...] = ()
    group: ClaimName | None = None
    """The claim that has the group of the principal; None if no claim does."""

    def check(self, token: Unverified, now: float) -> None:
        """Check everything about a token except its signature, because verifying the signature takes longer. Raises
        InvalidJwtError."""
        if token.algorithm != self.algorithm:
            raise InvalidJwtError(f"is signed with {token.algorithm!r}, not with {self.algorithm}")
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
            raise InvalidJwtError("exp is later than the year 9999")

    def verify(self, token: Unverified, key: PublicKey) -> Proven:
        """Verify the signature of a token that `check` has accepted, and return what the token proves. Raises
        InvalidJwtError.

        This takes from 50 us to 1 ms, so it must not run on an event loop.
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
            raise InvalidJwtError("sub is too long for a name, or has invisible characters")
        groups = () if self.group is None else self.group.texts(claims)
        if len(groups) > 1 or any(len(each) > MOST_TEXT or not is_distinct(each) for each in groups):
            raise InvalidJwtError("the claim for the group has several values, or its value is not a valid name")
        if GROUP in groups:
            raise InvalidJwtError(f"the group {GROUP} is reserved for the programs of this system")
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
    """Return the URL of an issuer unchanged, because the claim `iss` of its tokens must contain exactly this text.
    Raises ValueError if it is not a valid https URL."""
    rest = text.removeprefix("https://")
    if rest == text or not rest or not text.isascii() or not text.isprintable() or {" ", "?", "#", "@"} & set(text):
        raise ValueError(
            f"{text!r} is not the URL of an issuer; write it as in the claim iss of tokens, such as https://login.example"
        )
    return text
