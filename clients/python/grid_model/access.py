"""Callers and their rights: principals, roles, and grants of a role for the ids that match a pattern. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum


class Role(IntEnum):
    """A set of things that a principal may do. docs/security.md has the table."""

    AGENT = 1
    OBSERVER = 2
    RELAY = 3
    JUDGE = 4
    OPERATOR = 5
    ADMIN = 6

    @property
    def included(self) -> frozenset[Role]:
        """Itself, and the roles whose rights it has too."""
        return _INCLUDED[self]


_INCLUDED = {
    **{role: frozenset((role,)) for role in Role},
    Role.OPERATOR: frozenset((Role.OPERATOR, Role.OBSERVER)),
    Role.ADMIN: frozenset((Role.ADMIN, Role.OPERATOR, Role.OBSERVER)),
}


def check_pattern(pattern: str) -> str:
    """Return a pattern in NFC. Raises ValueError if it is empty or has a `*` anywhere but at its end."""
    if not pattern:
        raise ValueError("a pattern must not be empty")
    if "*" in pattern[:-1]:
        raise ValueError(f"a pattern may have one * at its end only: {pattern!r}")
    return unicodedata.normalize("NFC", pattern)


def pattern_matches(pattern: str, text: str) -> bool:
    """Return whether an id or a name matches a pattern: an exact one, or a prefix with one `*` at its end."""
    return text.startswith(pattern[:-1]) if pattern.endswith("*") else text == pattern


@dataclass(frozen=True, slots=True)
class Grant:
    """A role for the ids, and the names, that match a pattern: an exact one, or a prefix with one `*` at its end.

    No other character has a meaning.
    """

    role: Role
    pattern: str

    @property
    def roles(self) -> frozenset[Role]:
        """The role, and those whose rights it has too. Principals and tokens have no ids, so an administrator of some
        ids is only their operator."""
        role = Role.OPERATOR if self.is_narrow_admin else self.role
        return role.included

    @property
    def is_narrow_admin(self) -> bool:
        """Whether it is the role admin for some ids only, which the registry no longer grants."""
        return self.role is Role.ADMIN and self.pattern != "*"

    def matches(self, text: str) -> bool:
        """Whether an id or a name matches. Compares code points; the caller normalizes."""
        return pattern_matches(self.pattern, text)

    def __str__(self) -> str:
        return f"{self.role.name.lower()} {self.pattern}"


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller."""

    name: str
    """With its kind, so that names of two kinds cannot be equal: `spiffe:tron/worker-1`, `token:ci`, `cn:worker-1`."""

    grants: tuple[Grant, ...] = ()
    group: str = ""
    """The principals of a group own ids together."""

    ends_at: datetime | None = None
    """The earliest end of its credential, in UTC; None: it does not end."""

    @property
    def owner(self) -> str:
        """The owner of the ids that it registers: its group, or itself without one."""
        return f"group:{self.group}" if self.group else self.name

    @property
    def roles(self) -> frozenset[Role]:
        """All its roles, for whatever ids."""
        return frozenset(role for grant in self.grants for role in grant.roles)

    def has_ended(self, now: datetime) -> bool:
        """Whether its credential has ended."""
        return self.ends_at is not None and now >= self.ends_at

    def is_extended_by(self, other: Principal) -> bool:
        """Whether another principal has all its rights, and is otherwise the same."""
        same = (self.name, self.group, self.ends_at) == (other.name, other.group, other.ends_at)
        return same and set(self.grants) <= set(other.grants)

    @property
    def can_be_carried(self) -> bool:
        """Whether a relay may speak for it: it has the role agent, and no other but observer. Operators and
        administrators send their own credentials."""
        roles = self.roles
        return Role.AGENT in roles and roles <= {Role.AGENT, Role.OBSERVER}

    def may(self, role: Role, *texts: str) -> bool:
        """Whether it has the role for each of these ids and names, by any of its grants."""
        return all(_any_matches(self.grants, role, text) for text in texts)

    def may_everywhere(self, role: Role) -> bool:
        """Whether it has the role for all ids and names."""
        return any(grant.pattern == "*" and role in grant.roles for grant in self.grants)


def _any_matches(grants: Iterable[Grant], role: Role, text: str) -> bool:
    return any(role in grant.roles and grant.matches(text) for grant in grants)


LOCAL = Principal("local", tuple(Grant(role, "*") for role in Role))
"""Every caller of a system without authentication."""

ANONYMOUS = Principal("anonymous")
"""The caller of what is open to everybody, without a credential."""

ON_BEHALF_OF = "tron-on-behalf-of-bin"
"""The metadata of a call in which a relay names the principal for which it speaks, in UTF-8."""

CALLER_TOKEN = "tron-caller-token"
"""The metadata of a unary call in which a relay forwards the token of the caller for which it makes the call."""
