"""Which callers each route of a port serves. Pure.

A route without a row is answered as if it did not exist, so that a new one cannot be open by mistake.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from grid_model.access import Principal, Role


@dataclass(frozen=True, slots=True)
class Need:
    """What a route needs of its callers."""

    roles: frozenset[Role] = frozenset()
    """One of these; empty: none, any caller is served."""
    everywhere: bool = False
    """For all ids: the route answers from data about all services."""
    authenticated: bool = True
    """Whether the caller must be authenticated."""
    legacy: bool = True
    """Whether callers of `legacy_open_to` are served."""
    stream: bool = False
    """Whether the answer goes on, and must end with the credential of its caller."""
    recorded: bool = False
    """Whether the route changes something of the gateway itself: the gateway records that in the audit log. Changes
    at the registry and at TRON are recorded there."""

    def permits(self, principal: Principal) -> bool:
        """Return whether a principal is served."""
        if self.everywhere:
            return any(map(principal.may_everywhere, self.roles))
        return not self.roles or bool(self.roles & principal.roles)

    def __str__(self) -> str:
        names = " or ".join(sorted(role.name.lower() for role in self.roles))
        return f"{names} for all ids (pattern *)" if self.everywhere else names


@dataclass(frozen=True, slots=True)
class Route:
    """A row that fits a request."""

    name: str
    """`METHOD /path`, with `{name}` as in the table."""
    need: Need


@dataclass(frozen=True, slots=True)
class NoRoute:
    """There is no route for a method and a path."""

    allowed: tuple[str, ...] = ()
    """The methods for which there is one."""


class RouteTable:
    """The rows of one port, by `METHOD /path`. `{name}` in a path is any text, also with slashes, and also none."""

    def __init__(self, rows: Mapping[str, Need]) -> None:
        self._exact: dict[str, dict[str, Route]] = {}
        patterns: dict[str, dict[str, Route]] = {}
        for name, need in rows.items():
            method, _, path = name.partition(" ")
            (patterns if "{" in path else self._exact).setdefault(path, {})[method] = Route(name, need)
        self._patterns = [
            (re.compile(".*".join(map(re.escape, re.split(r"\{\w+\}", path))), re.DOTALL), methods)
            for path, methods in sorted(patterns.items(), key=lambda each: len(each[0]), reverse=True)
        ]

    def find(self, method: str, path: str) -> Route | NoRoute:
        """Return the row for a request. The longest pattern counts; slashes too many at the end are ignored."""
        exact = self._exact.get(path, {}).get(method)
        if exact is not None:
            return exact  # as most requests
        allowed: dict[str, None] = {}
        for each in dict.fromkeys((path, path.rstrip("/") or "/")):
            for methods in self._matching(each):
                if method in methods:
                    return methods[method]
                allowed |= dict.fromkeys(methods)
        return NoRoute(tuple(allowed))

    def _matching(self, path: str) -> list[dict[str, Route]]:
        exact = [self._exact[path]] if path in self._exact else []
        return [*exact, *(methods for pattern, methods in self._patterns if pattern.fullmatch(path))]
