"""The principals of the programs of a system, and of its first administrator, who has no token yet. Pure.

The programs authenticate as all callers do. All programs are in one group, which owns the ids of the programs. So a
program keeps its ids if it changes from a token to a certificate.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from grid_model.access import Grant, Role

from grid_hosting.access.book import SERIAL, AccessBook, Registered
from grid_hosting.access.tokens import Token

REGISTRY, MONITOR, GATEWAY, DEMO = "registry", "monitor", "gateway", "demo"

GROUP = "programs"

GRANTS: Mapping[str, tuple[Grant, ...]] = {
    REGISTRY: (
        Grant(Role.AGENT, "service-registry"),
        Grant(Role.AGENT, "Service Registry"),
    ),
    MONITOR: (
        Grant(Role.JUDGE, "tron-heartbeat-monitor"),
        Grant(Role.AGENT, "tron-heartbeat-monitor"),
        Grant(Role.AGENT, "TRON Heartbeat Monitor"),
    ),
    GATEWAY: (
        Grant(Role.RELAY, "*"),
        Grant(Role.OBSERVER, "*"),
        *(Grant(Role.AGENT, each) for each in ("service-gateway", "Gateway")),
        *(Grant(Role.AGENT, each) for each in ("service-event-stream", "Event Stream")),
        *(Grant(Role.AGENT, each) for each in ("service-hmi", "HMI Dashboard")),
    ),
    DEMO: (Grant(Role.AGENT, "*"),),
}
"""The grants of each program: for its ids and names as an agent, and for the role that its work needs."""

OFFLINE = "offline"
"""The name that is recorded as the creator or the actor if a command changes the data directory without a server. No
caller has this name."""

ADMIN = "token:admin"
ADMIN_LIFETIME = 3600.0
"""Lifetime in seconds of a token of ADMIN that is created without a server."""


def principal_of(program: str) -> str:
    """Return the name of the principal that the token of a program authenticates."""
    return f"token:program/{program}"


def admit(book: AccessBook, program: str, principal: str) -> Registered:
    """Add the grants of a program to the principal of its certificate. The principal is created if it does not exist.
    Return the principal."""
    before = book.principals.get(principal) or Registered(principal, GROUP, (), f"the {program} of this system")
    more = tuple(each for each in GRANTS[program] if each not in before.grants)
    return book.put(replace(before, group=before.group or GROUP, grants=(*before.grants, *more)))


def issue(book: AccessBook, program: str, secret: str, now: float) -> Token:
    """Create a token for a program and revoke its earlier ones. `secret` is the new token; `now` is in seconds since
    the epoch. Raises QuotaExceeded."""
    name = principal_of(program)
    # The agents of the demo are no programs of the system, and do not own their ids.
    group = "" if program == DEMO else GROUP
    book.put(Registered(name, group, GRANTS[program], f"the {program} of this system"))
    book.revoke_all(name)
    return book.create_token(secret, name, now=now, description="replaced at each start", created_by=name)


def make_admin(book: AccessBook, principal: str) -> Registered:
    """Make a principal an administrator. It is created if it does not exist, and enabled if it was disabled. Raises
    InvalidRequest, QuotaExceeded."""
    everything = Grant(Role.ADMIN, "*")
    before = book.principals.get(principal, Registered(principal))
    grants = before.grants if everything in before.grants else (*before.grants, everything)
    return book.put(replace(before, grants=grants, disabled=False))


def issue_admin(book: AccessBook, secret: str, now: float) -> Token:
    """Create a token for ADMIN that is valid for ADMIN_LIFETIME. The principal is created if it does not exist, and
    enabled if it was disabled. Raises QuotaExceeded."""
    make_admin(book, ADMIN)
    for each in book.tokens_of(ADMIN):
        if not each.valid_at(now):
            book.revoke(each.token_id)
    return book.create_token(secret, ADMIN, now=now, lifetime=ADMIN_LIFETIME, created_by=OFFLINE)


def found_access(book: AccessBook, now: float) -> dict[str, tuple[Registered, int]]:
    """Return, by name, the principals that can act once authentication is enabled, each with the number of its valid
    tokens. Principals that commands on the data directory create automatically, for the programs and as ADMIN, are left
    out, unless somebody else has changed their grants or created tokens for them."""
    found = {}
    for principal in book.principals.values():
        tokens = [each for each in book.tokens_of(principal.name) if each.valid_at(now)]
        if not principal.name.startswith(SERIAL) and not _is_own(principal, {each.created_by for each in tokens}):
            found[principal.name] = principal, len(tokens)
    return found


def _is_own(principal: Registered, creators: Collection[str]) -> bool:
    """Return whether a principal and its valid tokens were created only by commands on the data directory."""
    if principal.name == ADMIN:
        return principal.grants == (Grant(Role.ADMIN, "*"),) and all(each == OFFLINE for each in creators)
    of_program = {principal_of(program): grants for program, grants in GRANTS.items()}
    return of_program.get(principal.name) == principal.grants and all(each == principal.name for each in creators)
