"""A table of the callers that each route of a port serves. Pure.

A route without a row is answered as if it did not exist, so that a new route is never open by mistake.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from grid_model.access import Principal, Role


@dataclass(frozen=True, slots=True)
class Need:
    """What a route requires of its callers; also whether its answer is a stream, and whether the gateway records the
    change that it makes."""

    roles: frozenset[Role] = frozenset()
    """The caller needs one of these roles. If the set is empty, no role is needed."""
    everywhere: bool = False
    """Whether the role must be granted for all ids, because the route answers with data about all services."""
    authenticated: bool = True
    """Whether the caller must be authenticated."""
    legacy: bool = True
    """Whether callers that `legacy_open_to` admits without a credential are served."""
    stream: bool = False
    """Whether the answer is a stream, which must end when the caller's credential ends."""
    recorded: bool = False
    """Whether the route changes data of the gateway itself, which the gateway records in the audit log. The registry
    and TRON record the changes of their own data."""

    def permits(self, principal: Principal) -> bool:
        """Return whether a principal has the roles that the route requires."""
        if self.everywhere:
            return any(map(principal.may_everywhere, self.roles))
        return not self.roles or bool(self.roles & principal.roles)

    def __str__(self) -> str:
        names = " or ".join(sorted(role.name.lower() for role in self.roles))
        return f"{names} for all ids (pattern *)" if self.everywhere else names


@dataclass(frozen=True, slots=True)
class Route:
    """The row of the table that matches a request."""

    name: str
    """`METHOD /path`, with `{name}` as in the table."""
    need: Need


@dataclass(frozen=True, slots=True)
class NoRoute:
    """The result of a search in the table if no row matches the method and the path."""

    allowed: tuple[str, ...] = ()
    """The methods for which the path has a route."""


class RouteTable:
    """The routes of one port, by `METHOD /path`. A `{name}` in a path matches any text, including slashes and the empty
    text."""

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
        """Return the row for a request, or NoRoute. If several patterns match, the longest is used. Extra slashes at
        the end of the path are ignored."""
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
