"""Divides a limited number of places, such as open streams, among callers, with authentication: one owner may take only
a share of them, and some are kept for those who carry the fleet. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from math import ceil

from grid_model.access import Grant, Principal, Role
from grid_model.errors import QuotaExceeded

from grid_hosting.access.programs import GRANTS, REGISTRY
from grid_hosting.open_counts import OpenCounts

SHARE = Fraction(4, 5)
"""One owner may have at most this part of all places, rounded up. A fleet often has one token for all of its agents, so
the part is large; it only has to leave places for others."""

KEPT = 20
"""One of this many parts of all places, rounded down, is kept for principals that `uses_all`."""

_OWN: Grant = GRANTS[REGISTRY][0]


def uses_all(principal: Principal) -> bool:
    """Return whether a principal may use all places: a relay, TRON, an operator of all services, an administrator, the
    registry as an agent of itself, and every caller in a system without authentication."""
    roles = principal.roles
    if Role.RELAY in roles or Role.JUDGE in roles:
        return True
    return principal.may_everywhere(Role.OPERATOR) or _OWN in principal.grants


def check_share(principal: Principal, limit: int, what: str, *, held: int, total: int) -> None:
    """Check that a principal may take one more of `limit` places, of which its owner holds `held` and all callers hold
    `total`. `what` names the places, as in "streams are open". Raises QuotaExceeded with the limit."""
    if total >= limit:
        raise QuotaExceeded(f"{limit} {what}; no more are allowed")
    if uses_all(principal):
        return
    each = ceil(limit * SHARE)
    if held >= each:
        raise QuotaExceeded(f"{each} {what} for {principal.owner}; one owner may have at most {each} of {limit}")
    common = limit - limit // KEPT
    if total >= common:
        kept = "the others are kept for relays, TRON, operators and administrators"
        raise QuotaExceeded(f"{total} {what}; agents and observers may have at most {common} of {limit}, and {kept}")


class Places:
    """A limited number of calls or streams that may be open at the same time."""

    def __init__(self, limit: int, what: str) -> None:
        """`what` names them, as in "streams are open"."""
        self._limit = limit
        self._what = what
        self._counts = OpenCounts()

    @property
    def taken(self) -> int:
        """The number of places that are taken."""
        return self._counts.total

    @contextmanager
    def one(self, principal: Principal) -> Iterator[None]:
        """Take one place for a principal while the block runs. Raises QuotaExceeded; see `check_share`."""
        owner = principal.owner
        held, total = self._counts.of(owner), self._counts.total
        check_share(principal, self._limit, self._what, held=held, total=total)
        with self._counts.one(owner):
            yield
