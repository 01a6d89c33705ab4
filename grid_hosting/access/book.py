"""All principals and tokens of a system, and every rule about them. Pure.

A method checks everything before it changes anything, so an error leaves the book as it was. `take_writes` returns what
has changed, for the store.
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
"""How a principal is authenticated; its name begins with one of these and a colon."""

SERIAL = "serial:"
"""How the name of a certificate begins that is refused, whatever its principal: its serial number in hexadecimal
follows. It is stored as a principal without grants."""

MOST_SERIAL = 40
"""Digits of a serial number (RFC 5280)."""

MOST_PRINCIPALS = 10_000
MOST_TOKENS = 10_000
MOST_TOKENS_EACH = 100
MOST_GRANTS = 100
MOST_NAME = 512
MOST_PATTERN = 513
"""The longest id, and a `*`."""
MOST_TEXT = 200
"""Characters of a group and of a description."""

KEPT_AFTER_EXPIRY = 30 * 86_400.0
"""Seconds for which an expired token is listed; then the next new token removes it."""

SHORTEST_LIFE = 60.0
"""Seconds that a token must be valid for."""
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
    """Its credentials are refused."""

    def principal(self, ends_at: float | None = None) -> Principal:
        """Return the caller that authenticates as this principal. `ends_at`: in seconds since the epoch."""
        end = None if ends_at is None else datetime.fromtimestamp(ends_at, UTC)
        return Principal(self.name, self.grants, self.group, end)


@dataclass(frozen=True, slots=True)
class Deleted:
    """A principal, a token or a denied JWT that was deleted; the others are empty."""

    principal: str = ""
    token_id: str = ""
    denied: tuple[str, str] = ("", "")
    """The issuer and the id of a JWT."""


Write = Registered | Token | DeniedJwt | Deleted
"""What is new, has changed, or was deleted."""


class AccessBook:
    """The principals by name, and the tokens by id."""

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
        """Rises with each change."""
        self._writes: list[Write] = []

    def copy(self) -> AccessBook:
        """Return a book with the same content, without writes."""
        return AccessBook(self.principals.values(), self.tokens.values(), self.revision, self.denied.values())

    def take_writes(self) -> list[Write]:
        """Return what has changed since the last call, and raise the revision if anything has."""
        writes, self._writes = self._writes, []
        self.revision += bool(writes)
        return writes

    def of_token(self, secret: str, now: float) -> tuple[Token, Principal] | None:
        """Return the token, and the principal that it authenticates; None if it is not valid. `now`: seconds since the
        epoch."""
        token = self.tokens.get(id_of(secret))
        if token is None or not token.proves(secret) or not token.valid_at(now):
            return None
        found = self.principals.get(token.principal)
        return None if found is None or found.disabled else (token, found.principal(token.expires_at))

    def of_certificate(self, name: str, serial: str = "") -> Principal | None:
        """Return the principal of a verified certificate: without grants if it is not registered, None if it, or the
        certificate with this serial number, is refused."""
        if self.refuses_certificate(serial):
            return None
        found = self.principals.get(name)
        if found is None:
            return Principal(name)
        return None if found.disabled else found.principal()

    def refuses_certificate(self, serial: str) -> bool:
        """Return whether the certificate with this serial number is refused, also if it only admits to a port."""
        certificate = self.principals.get(SERIAL + serial)
        return certificate is not None and certificate.disabled

    def of_jwt(self, proven: Proven, now: float) -> Principal | None:
        """Return the principal of a verified JWT, with what its claims and what this book grants; None if the token or
        the principal is denied, or the token has ended."""
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
        """Stop refusing a JWT; return what was denied. Raises TokenNotFound."""
        if (issuer, jwt_id) not in self.denied:
            raise TokenNotFound(f"no JWT with the id {jwt_id!r} of {issuer} is denied")
        self._writes.append(Deleted(denied=(issuer, jwt_id)))
        return self.denied.pop((issuer, jwt_id))

    def get(self, name: str) -> Registered:
        """Return one principal. Raises PrincipalNotFound."""
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
        """Add grants to a principal and remove others. `disabled`: whether its credentials are refused from now on;
        `group`: its group from now on; None leaves them as they are. Raises InvalidRequest, which names grants that it
        does not have, and QuotaExceeded."""
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
        """Delete a principal and its tokens; return the number of its tokens. Raises PrincipalNotFound."""
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
        """Add a token of a principal, which is created with the grants and the group if there is none.

        `secret`: a new token; `lifetime`: in seconds. Raises InvalidRequest, also for grants or a group that an
        existing principal does not have: its other tokens would receive them too. Raises QuotaExceeded.
        """
        errors = [*_text_errors("description", description)]
        if not principal.startswith("token:"):
            errors.append(FieldError("principal", f"is {principal!r}; a token is for a principal token:NAME"))
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
            why = f"is {group!r}; {principal} exists, and its group is {known.group!r}; to change it: tron grant add"
            raise InvalidRequest.of(FieldError("group", why))
        self._drop_expired(now)
        if len(self.tokens) >= MOST_TOKENS:
            raise QuotaExceeded(f"there are {MOST_TOKENS} tokens; no more are allowed")
        if len(self.tokens_of(principal)) >= MOST_TOKENS_EACH:
            raise QuotaExceeded(f"{principal} has {MOST_TOKENS_EACH} tokens; no more are allowed")
        if id_of(secret) in self.tokens:
            raise QuotaExceeded("the id of the new token is used already; try again")
        if known is None:
            self.put(Registered(principal, group, wanted))
        ends = None if lifetime is None else now + lifetime
        token = Token(id_of(secret), digest_of(secret), principal, now, ends, description, created_by)
        self.tokens[token.token_id] = token
        self._writes.append(token)
        return token

    def revoke(self, token_id: str) -> Token:
        """Remove a token; return it. Raises TokenNotFound."""
        if token_id not in self.tokens:
            raise TokenNotFound(f"there is no token {token_id!r}")
        self._writes.append(Deleted(token_id=token_id))
        return self.tokens.pop(token_id)

    def tokens_of(self, principal: str) -> list[Token]:
        """Return the tokens of a principal, also those that have expired."""
        return [each for each in self.tokens.values() if each.principal == principal]

    def revoke_all(self, principal: str) -> int:
        """Remove the tokens of a principal; return their number."""
        tokens = self.tokens_of(principal)
        for each in tokens:
            self.revoke(each.token_id)
        return len(tokens)

    def _drop_expired(self, now: float) -> None:
        for each in list(self.tokens.values()):
            if not each.valid_at(now - KEPT_AFTER_EXPIRY):
                self.revoke(each.token_id)


def is_principal_name(name: str) -> bool:
    """Whether a text has the form of the name of a principal: KIND:NAME, which people can read."""
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
    """Raise InvalidRequest for a new grant of the role admin for some ids only. Earlier versions stored such grants, so
    a principal that has one can still be changed."""
    for grant in grants:
        if grant.is_narrow_admin and grant not in known:
            why = f"is {grant.pattern!r}; an administrator manages all principals, so the pattern is '*'; the role for "
            raise InvalidRequest.of(FieldError(f"{field}.pattern", why + "some ids is operator"))


def _text_errors(field: str, text: str) -> list[FieldError]:
    if len(text) <= MOST_TEXT and not _unseen(text):
        return []
    return [FieldError(field, f"must be at most {MOST_TEXT} visible characters")]


def is_distinct(text: str) -> bool:
    """Whether people can tell a text from every other one: in normalization form C, without surrounding white space and
    without characters that are not shown."""
    return bool(text) and text == unicodedata.normalize("NFC", text.strip()) and not _unseen(text)


def _unseen(text: str) -> bool:
    """Whether a text has characters that people cannot see, and so could not tell from another text."""
    return not text.isprintable() or any(
        each in _IGNORED or unicodedata.category(each) == "Cf" or "\ufe00" <= each <= "\ufe0f" for each in text
    )
