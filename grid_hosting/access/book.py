"""All principals and tokens of a system, and every rule about them. Pure.

A method checks everything before it changes anything, so an error leaves the book as it was. `take_writes` returns the
changes that must be stored.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from grid_model.access import Grant, Principal, check_pattern
from grid_model.errors import FieldError, InvalidRequest, PrincipalNotFound, QuotaExceeded, TokenNotFound

from grid_hosting.access.denied_jwts import MOST_DENIED, DeniedJwt
from grid_hosting.access.tokens import Token, digest_of, id_of

if TYPE_CHECKING:
    from grid_hosting.access.jwt_issuers import Proven

KINDS = ("token", "spiffe", "cn", "jwt")
"""The ways in which a principal can authenticate. The name of a principal begins with one of these words and a
colon."""

SERIAL = "serial:"
"""The prefix of the name under which a refused certificate is stored; its serial number in hexadecimal follows. The
entry is stored like a principal without grants. The certificate is refused whatever principal it would authenticate."""

MOST_SERIAL = 40
"""Maximum number of hexadecimal digits of a serial number (RFC 5280)."""

MOST_PRINCIPALS = 10_000
MOST_TOKENS = 10_000
MOST_TOKENS_EACH = 100
MOST_GRANTS = 100
MOST_NAME = 512
MOST_PATTERN = 513
"""Maximum number of characters of a pattern: those of the longest id, and a `*`."""
MOST_TEXT = 200
"""Maximum number of characters of a group or a description."""

KEPT_AFTER_EXPIRY = 30 * 86_400.0
"""Seconds for which an expired token is still listed. After that, it is removed when the next token is created."""

SHORTEST_LIFE = 60.0
"""The shortest lifetime of a token, in seconds."""
LONGEST_LIFE = 10 * 365 * 86_400.0

_IGNORED = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
"""Characters that are not shown and have no format category; with those of the category Cf and the variation selectors
they are the default-ignorable ones."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A principal as it is stored."""

    name: str
    group: str = ""
    grants: tuple[Grant, ...] = ()
    description: str = ""
    disabled: bool = False
    """Whether the credentials of the principal are refused."""

    def principal(self, ends_at: float | None = None) -> Principal:
        """Return the principal as the caller of a request. `ends_at` is when its credential expires, in seconds since
        the epoch; None if it does not expire."""
        end = None if ends_at is None else datetime.fromtimestamp(ends_at, UTC)
        return Principal(self.name, self.grants, self.group, end)


@dataclass(frozen=True, slots=True)
class Deleted:
    """The record of a deletion. Exactly one field is set: the name of a principal, the id of a token, or a denied
    JWT."""

    principal: str = ""
    token_id: str = ""
    denied: tuple[str, str] = ("", "")
    """The issuer and the id of a denied JWT."""


Write = Registered | Token | DeniedJwt | Deleted
"""A change to store: an entry that is new or was changed, or the record of a deletion."""


class AccessBook:
    """All principals by name, all tokens by id, and all denied JWTs by issuer and id."""

    def __init__(
        self,
        principals: Iterable[Registered] = (),
        tokens: Iterable[Token] = (),
        revision: int = 0,
        denied: Iterable[DeniedJwt] = (),
    ) -> None:
        self.principals = {each.name: each for each in principals}
        self.tokens = {each.token_id: each for each in tokens}
        self.denied = {(each.issuer, each.jwt_id): each for each in denied}
        """The JWTs that are refused, by issuer and id."""
        self.revision = revision
        """A number that grows with each change."""
        self._writes: list[Write] = []

    def copy(self) -> AccessBook:
        """Return a copy of the book without its pending writes."""
        return AccessBook(self.principals.values(), self.tokens.values(), self.revision, self.denied.values())

    def take_writes(self) -> list[Write]:
        """Return the changes since the last call. If there are any, increase the revision by one."""
        writes, self._writes = self._writes, []
        self.revision += bool(writes)
        return writes

    def of_token(self, secret: str, now: float) -> tuple[Token, Principal] | None:
        """Return the token with this secret and the principal that it authenticates. Return None if the token is
        unknown or expired, or if its principal is disabled. `now` is in seconds since the epoch."""
        token = self.tokens.get(id_of(secret))
        if token is None or not token.proves(secret) or not token.valid_at(now):
            return None
        found = self.principals.get(token.principal)
        return None if found is None or found.disabled else (token, found.principal(token.expires_at))

    def of_certificate(self, name: str, serial: str = "") -> Principal | None:
        """Return the principal with this name, which a verified certificate authenticates. A principal that is not
        registered has no grants. Return None if the principal is disabled, or if the certificate with this serial
        number is refused."""
        if self.refuses_certificate(serial):
            return None
        found = self.principals.get(name)
        if found is None:
            return Principal(name)
        return None if found.disabled else found.principal()

    def refuses_certificate(self, serial: str) -> bool:
        """Return whether the certificate with this serial number is refused. A certificate can be refused even if it
        authenticates no principal and only admits a client to a port."""
        certificate = self.principals.get(SERIAL + serial)
        return certificate is not None and certificate.disabled

    def of_jwt(self, proven: Proven, now: float) -> Principal | None:
        """Return the principal of a verified JWT, with the grants that the JWT proves and the grants that this book has
        for the principal. Return None if the JWT is denied or has expired, or if the principal is disabled."""
        ends_at = proven.end(now)
        found = self.principals.get(proven.principal, Registered(proven.principal))
        if ends_at is None or found.disabled or (proven.issuer, proven.jwt_id) in self.denied:
            return None
        both = tuple(dict.fromkeys((*proven.grants, *found.grants)))
        return replace(found, group=found.group or proven.group, grants=both).principal(ends_at)

    def deny(self, wanted: DeniedJwt, now: float) -> DeniedJwt:
        """Refuse a JWT from now on. Raises InvalidRequest, QuotaExceeded."""
        wanted.check()
        for each in [each for each in self.denied.values() if each.has_ended(now)]:
            self.allow(each.issuer, each.jwt_id)
        key = wanted.issuer, wanted.jwt_id
        if key not in self.denied and len(self.denied) >= MOST_DENIED:
            raise QuotaExceeded(f"{MOST_DENIED} JWTs are denied; no more are allowed")
        self.denied[key] = wanted
        self._writes.append(wanted)
        return wanted

    def allow(self, issuer: str, jwt_id: str) -> DeniedJwt:
        """Stop refusing a JWT, and return its entry. Raises TokenNotFound if it is not denied."""
        if (issuer, jwt_id) not in self.denied:
            raise TokenNotFound(f"no JWT with the id {jwt_id!r} of {issuer} is denied")
        self._writes.append(Deleted(denied=(issuer, jwt_id)))
        return self.denied.pop((issuer, jwt_id))

    def get(self, name: str) -> Registered:
        """Return the principal with this name. Raises PrincipalNotFound."""
        if name not in self.principals:
            raise PrincipalNotFound(f"there is no principal {name!r}")
        return self.principals[name]

    def put(self, principal: Registered) -> Registered:
        """Create or replace a principal. Raises InvalidRequest, QuotaExceeded."""
        checked = _checked(principal)
        before = self.principals.get(checked.name)
        _refuse_narrow_admins("grants", checked.grants, () if before is None else before.grants)
        if checked.name not in self.principals and len(self.principals) >= MOST_PRINCIPALS:
            raise QuotaExceeded(f"there are {MOST_PRINCIPALS} principals; no more are allowed")
        if self.principals.get(checked.name) != checked:
            self.principals[checked.name] = checked
            self._writes.append(checked)
        return checked

    def change_grants(
        self,
        name: str,
        add: Iterable[Grant],
        remove: Iterable[Grant],
        *,
        disabled: bool | None = None,
        group: str | None = None,
    ) -> Registered:
        """Add grants to a principal and remove others. The principal is created if it does not exist. `disabled` sets
        whether its credentials are refused, and `group` sets its group; None leaves them unchanged. Raises
        InvalidRequest, for example if the principal does not have a grant in `remove`, and QuotaExceeded."""
        before = self.principals.get(name, Registered(name))
        gone = {_checked_grant("remove", each) for each in remove}
        if missing := gone - set(before.grants):
            shown = ", ".join(sorted(map(str, missing)))
            raise InvalidRequest.of(FieldError("remove", f"{name} does not have {shown}"))
        kept = [each for each in before.grants if each not in gone]
        _refuse_narrow_admins("add", add := tuple(add), before.grants)
        added = [each for each in dict.fromkeys(_checked_grant("add", each) for each in add) if each not in kept]
        refused = before.disabled if disabled is None else disabled
        belongs = before.group if group is None else group
        return self.put(replace(before, grants=(*kept, *added), disabled=refused, group=belongs))

    def delete(self, name: str) -> int:
        """Delete a principal and its tokens; return how many tokens were deleted. Raises PrincipalNotFound."""
        self.get(name)
        count = self.revoke_all(name)
        del self.principals[name]
        self._writes.append(Deleted(principal=name))
        return count

    def create_token(
        self,
        secret: str,
        principal: str,
        *,
        now: float,
        lifetime: float | None = None,
        grants: Iterable[Grant] = (),
        description: str = "",
        created_by: str = "",
        group: str = "",
    ) -> Token:
        """Add a token for a principal. If the principal does not exist, create it with these grants and this group.

        `secret` is the new token. `lifetime` is in seconds; if it is None, the token does not expire. Raises
        InvalidRequest, also if the principal exists without these grants or with another group, because its other
        tokens would receive them too. Raises QuotaExceeded.
        """
        errors = [*_text_errors("description", description)]
        if not principal.startswith("token:"):
            errors.append(FieldError("principal", f"is {principal!r}; only a principal token:NAME can have tokens"))
        if lifetime is not None and not SHORTEST_LIFE <= lifetime <= LONGEST_LIFE:
            why = f"is {lifetime:g} s; it must be from {SHORTEST_LIFE:g} s to {LONGEST_LIFE:g} s (10 years)"
            errors.append(FieldError("lifetime", why))
        if errors:
            raise InvalidRequest.of(*errors)
        wanted = tuple(dict.fromkeys(_checked_grant("grants", each) for each in grants))
        known = self.principals.get(principal)
        if known is not None and (more := set(wanted) - set(known.grants)):
            shown = ", ".join(sorted(map(str, more)))
            why = f"{principal} exists and does not have {shown}; choose another name, or use: tron grant add"
            raise InvalidRequest.of(FieldError("grants", why))
        if known is not None and group and unicodedata.normalize("NFC", group) != known.group:
            why = f"is {group!r}, but the group of {principal} is {known.group!r}; to change it, use: tron grant add"
            raise InvalidRequest.of(FieldError("group", why))
        self._drop_expired(now)
        if len(self.tokens) >= MOST_TOKENS:
            raise QuotaExceeded(f"there are {MOST_TOKENS} tokens; no more are allowed")
        if len(self.tokens_of(principal)) >= MOST_TOKENS_EACH:
            raise QuotaExceeded(f"{principal} has {MOST_TOKENS_EACH} tokens; no more are allowed")
        if id_of(secret) in self.tokens:
            raise QuotaExceeded("the id of the new token is already in use; try again")
        if known is None:
            self.put(Registered(principal, group, wanted))
        ends = None if lifetime is None else now + lifetime
        token = Token(id_of(secret), digest_of(secret), principal, now, ends, description, created_by)
        self.tokens[token.token_id] = token
        self._writes.append(token)
        return token

    def revoke(self, token_id: str) -> Token:
        """Remove the token with this id, and return it. Raises TokenNotFound."""
        if token_id not in self.tokens:
            raise TokenNotFound(f"there is no token {token_id!r}")
        self._writes.append(Deleted(token_id=token_id))
        return self.tokens.pop(token_id)

    def tokens_of(self, principal: str) -> list[Token]:
        """Return all tokens of a principal, including expired ones."""
        return [each for each in self.tokens.values() if each.principal == principal]

    def revoke_all(self, principal: str) -> int:
        """Remove all tokens of a principal; return how many were removed."""
        tokens = self.tokens_of(principal)
        for each in tokens:
            self.revoke(each.token_id)
        return len(tokens)

    def _drop_expired(self, now: float) -> None:
        for each in list(self.tokens.values()):
            if not each.valid_at(now - KEPT_AFTER_EXPIRY):
                self.revoke(each.token_id)


def is_principal_name(name: str) -> bool:
    """Return whether a text has the form of a principal's name: KIND:NAME, without invisible characters."""
    kind, colon, rest = name.partition(":")
    return bool(colon) and kind in KINDS and len(name) <= MOST_NAME and is_distinct(rest)


def _checked(principal: Registered) -> Registered:
    """Return the principal in its normal form. Raises InvalidRequest."""
    if principal.name.startswith(SERIAL):
        return _checked_certificate(principal)
    name = unicodedata.normalize("NFC", principal.name)
    errors = []
    if not is_principal_name(name):
        why = f"is {principal.name!r}; write KIND:NAME, where KIND is {', '.join(KINDS[:-1])} or {KINDS[-1]}"
        errors.append(FieldError("name", why))
    errors += [*_text_errors("group", principal.group), *_text_errors("description", principal.description)]
    if len(principal.grants) > MOST_GRANTS:
        errors.append(FieldError("grants", f"are {len(principal.grants)}; at most {MOST_GRANTS} are allowed"))
    if errors:
        raise InvalidRequest.of(*errors)
    grants = tuple(dict.fromkeys(_checked_grant("grants", each) for each in principal.grants))
    group = unicodedata.normalize("NFC", principal.group)
    return replace(principal, name=name, group=group, grants=grants)


def _checked_certificate(principal: Registered) -> Registered:
    digits = principal.name.removeprefix(SERIAL).replace(":", "").lower()
    errors = [*_text_errors("description", principal.description)]
    if not 0 < len(digits) <= MOST_SERIAL or not set(digits) <= set("0123456789abcdef"):
        errors.append(FieldError("name", f"is {principal.name!r}; write {SERIAL} and the serial number in hexadecimal"))
    if principal.grants or principal.group:
        errors.append(FieldError("grants", "a certificate has no rights of its own; grant them to its principal"))
    if errors:
        raise InvalidRequest.of(*errors)
    return replace(principal, name=SERIAL + (digits.lstrip("0") or "0"))


def _checked_grant(field: str, grant: Grant) -> Grant:
    try:
        pattern = check_pattern(grant.pattern)
    except ValueError as error:
        raise InvalidRequest.of(FieldError(f"{field}.pattern", str(error))) from None
    if len(pattern) > MOST_PATTERN or _unseen(pattern):
        why = f"must be at most {MOST_PATTERN} visible characters"
        raise InvalidRequest.of(FieldError(f"{field}.pattern", why))
    return replace(grant, pattern=pattern)


def _refuse_narrow_admins(field: str, grants: Iterable[Grant], known: Iterable[Grant]) -> None:
    """Raise InvalidRequest if a new grant gives the role admin for some ids only. Earlier versions stored such grants,
    so a principal that already has one can still be changed."""
    for grant in grants:
        if grant.is_narrow_admin and grant not in known:
            why = f"is {grant.pattern!r}; an administrator manages all principals, so the pattern must be '*'; "
            why += "to grant rights for some ids only, use the role operator"
            raise InvalidRequest.of(FieldError(f"{field}.pattern", why))


def _text_errors(field: str, text: str) -> list[FieldError]:
    if len(text) <= MOST_TEXT and not _unseen(text):
        return []
    return [FieldError(field, f"must be at most {MOST_TEXT} visible characters")]


def is_distinct(text: str) -> bool:
    """Return whether a text is not empty, is in normalization form C, and has no surrounding white space and no
    invisible characters. Texts that differ only in these things look the same to people."""
    return bool(text) and text == unicodedata.normalize("NFC", text.strip()) and not _unseen(text)


def _unseen(text: str) -> bool:
    """Return whether a text has characters that people cannot see, so that it could look like another text."""
    return not text.isprintable() or any(
        each in _IGNORED or unicodedata.category(each) == "Cf" or "\ufe00" <= each <= "\ufe0f" for each in text
    )
