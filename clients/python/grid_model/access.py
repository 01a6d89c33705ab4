"""Callers and their rights: principals, roles, and grants of a role for the ids that match a pattern. This module does
no I/O."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum


class Role(IntEnum):
    """A set of rights that a principal can have. docs/security.md lists the rights of each role."""

    AGENT = 1
    OBSERVER = 2
    RELAY = 3
    JUDGE = 4
    OPERATOR = 5
    ADMIN = 6

    @property
    def included(self) -> frozenset[Role]:
        """This role, and the roles whose rights it includes."""
        return _INCLUDED[self]


_INCLUDED = {
    **{role: frozenset((role,)) for role in Role},
    Role.OPERATOR: frozenset((Role.OPERATOR, Role.OBSERVER)),
    Role.ADMIN: frozenset((Role.ADMIN, Role.OPERATOR, Role.OBSERVER)),
}


def check_pattern(pattern: str) -> str:
    """Return the pattern in the Unicode normal form NFC. Raises ValueError if the pattern is empty, or has a `*`
    anywhere but at its end."""
    if not pattern:
        raise ValueError("a pattern must not be empty")
    if "*" in pattern[:-1]:
        raise ValueError(f"a pattern may have a * only at its end, but {pattern!r} has one before")
    return unicodedata.normalize("NFC", pattern)


def pattern_matches(pattern: str, text: str) -> bool:
    """Return whether an id or a name matches a pattern. A pattern that ends with `*` matches every text with that
    prefix; any other pattern matches only the same text."""
    return text.startswith(pattern[:-1]) if pattern.endswith("*") else text == pattern


@dataclass(frozen=True, slots=True)
class Grant:
    """A role that is valid for the ids and names that match a pattern.

    A pattern that ends with `*` matches every id with that prefix; any other pattern matches only the same id. No other
    character has a special meaning.
    """

    role: Role
    pattern: str

    @property
    def roles(self) -> frozenset[Role]:
        """The role of this grant, and the roles that it includes. A grant of the role admin for only some ids gives
        only the rights of an operator, because the things that administrators manage (principals and tokens) have no
        ids."""
        role = Role.OPERATOR if self.is_narrow_admin else self.role
        return role.included

    @property
    def is_narrow_admin(self) -> bool:
        """Whether this grants the role admin for only some ids. The registry accepts no new grants of this kind."""
        return self.role is Role.ADMIN and self.pattern != "*"

    def matches(self, text: str) -> bool:
        """Return whether an id or a name matches the pattern of this grant. The caller must pass the text in the
        Unicode normal form NFC."""
        return pattern_matches(self.pattern, text)

    def __str__(self) -> str:
        return f"{self.role.name.lower()} {self.pattern}"


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller."""

    name: str
    """The name, which begins with the kind of the credential, for example `spiffe:tron/worker-1`, `token:ci` or
    `cn:worker-1`. So names of two kinds are never equal."""

    grants: tuple[Grant, ...] = ()
    group: str = ""
    """The group of the principal; empty if it has none. The principals of a group own ids together."""

    ends_at: datetime | None = None
    """The time in UTC at which its credential expires; None if it does not expire. If there are several credentials,
    the first expiry counts."""

    @property
    def owner(self) -> str:
        """The owner of the ids that this principal registers: its group (`group:NAME`), or the principal itself if it
        has no group."""
        return f"group:{self.group}" if self.group else self.name

    @property
    def roles(self) -> frozenset[Role]:
        """All roles of this principal, no matter for which ids."""
        return frozenset(role for grant in self.grants for role in grant.roles)

    def has_ended(self, now: datetime) -> bool:
        """Return whether the credential of this principal has expired at the time `now`."""
        return self.ends_at is not None and now >= self.ends_at

    def is_extended_by(self, other: Principal) -> bool:
        """Return whether `other` has all grants of this principal, and the same name, group and time of expiry."""
        same = (self.name, self.group, self.ends_at) == (other.name, other.group, other.ends_at)
        return same and set(self.grants) <= set(other.grants)

    @property
    def can_be_carried(self) -> bool:
        """Whether a relay may act on behalf of this principal. The principal must have the role agent, and no other
        role except observer. Operators and administrators must send their own credentials."""
        roles = self.roles
        return Role.AGENT in roles and roles <= {Role.AGENT, Role.OBSERVER}

    def may(self, role: Role, *texts: str) -> bool:
        """Return whether the grants of this principal together give it the role for every one of these ids and
        names."""
        return all(_any_matches(self.grants, role, text) for text in texts)

    def may_everywhere(self, role: Role) -> bool:
        """Return whether this principal has the role for all ids and names."""
        return any(grant.pattern == "*" and role in grant.roles for grant in self.grants)


def _any_matches(grants: Iterable[Grant], role: Role, text: str) -> bool:
    return any(role in grant.roles and grant.matches(text) for grant in grants)


LOCAL = Principal("local", tuple(Grant(role, "*") for role in Role))
"""The principal of every caller in a system without authentication."""

ANONYMOUS = Principal("anonymous")
"""The principal of a caller without a credential, who may use only what is open to everybody."""

ON_BEHALF_OF = "tron-on-behalf-of-bin"
"""The metadata key under which a relay sends the name of the principal on whose behalf it makes a call, in UTF-8."""

CALLER_TOKEN = "tron-caller-token"
"""The metadata key under which a relay forwards, in a unary call, the token of the caller on whose behalf it makes the
call."""
