"""The guard against mass failures: if many services fail at once, the network, a host or the monitor is the more likely
cause.

The guard compares the number of services that just failed with the number of services that are alive now. Services that
have been down for longer are not counted. So the guard ends one window after the last failure, and a past mass failure
does not lower the threshold of the next one. The guard holds the alerts about services that failed together; a service
that fails alone a little later raises its own alert.

Services that share a process fail together when the process dies: they are one unit, and one unit alone is never a mass
failure. A service that registered without naming its process is a unit of its own. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Protocol

from tron.facts import NEVER
from tron.living import Living
from tron.policy import Policy

SETTLE = 0.3
"""Attentive seconds (three ticks) for which many must be failing before the guard becomes active: a parent that fails
together with all its children is one failure, and its failure may be noticed last."""

ESTABLISHED = 2.0
"""Attentive seconds for which a service must have been alive for its failure to count: short-lived programs that end
together are no mass failure."""

ROOTS = 2
"""In a mass failure, at least this many failing units contain a service whose parent is not failing. A single one is
the root of a subtree, and the alert about it reports the whole subtree."""


class Fleet(Protocol):
    """What the guard needs to know about all services."""

    @property
    def living(self) -> Living:
        """The counts of ALIVE services and of the units that they belong to."""
        ...

    def unit_of(self, service_id: str) -> str:
        """Return the unit with which a service fails."""
        ...

    def parent_of(self, service_id: str) -> str | None:
        """Return the service_id of a service's parent; None if it has no registered parent."""
        ...


@dataclass(frozen=True, slots=True)
class Cascade:
    """A mass failure: the services that failed at once, oldest failure first, the number of services that were alive
    until then, and the attentive second of the first failure."""

    service_ids: tuple[str, ...]
    live: int
    since: float


class Guard:
    """Recognizes mass failures, and decides whether alerts are held. `active` is true once a mass failure is certain;
    `holds` is also true while a mass failure is only possible."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.active = False
        self.listed: set[str] = set()
        """The services that an alert about a mass failure lists, and that have not come back since."""
        self._together: set[str] = set()
        self._failing: dict[str, tuple[float, float]] = {}
        """The failing services: since when, and until when that counts."""
        self._until: list[tuple[float, str]] = []
        self._many_since: float | None = None
        self._last_failure = 0.0
        self._clear_at = 0.0

    @property
    def holds(self) -> bool:
        """Whether a mass failure is certain or possible, so that no service is deregistered."""
        return self.active or self._many_since is not None

    @property
    def many_fail(self) -> bool:
        """Whether many services are failing at this moment, so that a service that fails now belongs to the mass
        failure."""
        return self._many_since is not None

    def covers(self, service_id: str) -> bool:
        """Return whether alerts about a service are held now."""
        return self.holds and service_id in self._together

    @property
    def clear_at(self) -> float:
        """The attentive second at which the guard ends if no further service fails; valid only while it is active."""
        return self._clear_at

    def failed(self, service_id: str, at: float, alive_since: float, spread: float = 0.0) -> None:
        """Record that a service became suspect `at` this time, and had been alive since `alive_since` (attentive
        seconds). `spread`: the uncertainty of the time at which its silence began, in seconds."""
        if at - alive_since < ESTABLISHED:
            return
        self._failing.pop(service_id, None)
        until = at + max(self.policy.guard_burst, spread)
        self._failing[service_id] = at, until  # the newest last
        self._last_failure = max(self._last_failure, at)
        heappush(self._until, (until, service_id))

    def ended(self, service_id: str) -> None:
        """Record that a service is back, or left on purpose, so that it no longer fails."""
        self._failing.pop(service_id, None)
        self._together.discard(service_id)
        self.listed.discard(service_id)

    def resume(self, now: float, failed: Iterable[str]) -> None:
        """Continue a mass failure that the previous observer reported, so that it is not reported again. `failed`: the
        services that are not alive now."""
        self.active = True
        self._together |= set(failed)
        self._clear_at = now + self.policy.guard_window

    def update(self, now: float, fleet: Fleet) -> Cascade | None:
        """Evaluate the recorded failures at `now`. Return the mass failure if one was just recognized; None if there is
        none, or it was recognized before."""
        while self._until and self._until[0][0] <= now:
            until, service_id = heappop(self._until)
            if self._failing.get(service_id, (0.0, NEVER))[1] <= until:
                del self._failing[service_id]
        if self._are_many(fleet):
            self._together |= self._failing.keys()
            self._many_since = now if self._many_since is None else self._many_since
            self._clear_at = self._last_failure + self.policy.guard_window
            if not self.active and now - self._many_since >= SETTLE:
                self.active = True
                self.listed |= self._failing.keys()
                live = fleet.living.services + len(self._failing)
                return Cascade(tuple(self._failing), live, min(at for at, _ in self._failing.values()))
        else:
            self._many_since = None
            self.active = self.active and now < self._clear_at
            if not self.active:
                self._together.clear()
        return None

    def _are_many(self, fleet: Fleet) -> bool:
        """Return whether too many units fail, or at least two units that together hold too many services."""
        services, policy = len(self._failing), self.policy
        if services < policy.guard_min:
            return False
        units = {fleet.unit_of(service_id) for service_id in self._failing}
        if len(units) < ROOTS:
            return False
        few_services = services <= policy.guard_ratio * (fleet.living.services + services)
        if few_services and not self._are_many_units(units, fleet.living):
            return False
        roots: set[str] = set()
        for service_id in self._failing:
            if fleet.parent_of(service_id) not in self._failing:
                roots.add(fleet.unit_of(service_id))
                if len(roots) >= ROOTS:
                    return True
        return False

    def _are_many_units(self, units: set[str], living: Living) -> bool:
        """Return whether the failing units are too large a share of all units that are alive or fail."""
        ratio = self.policy.guard_ratio
        if len(units) < self.policy.guard_min or len(units) <= ratio * living.units:
            return False
        return len(units) > ratio * (living.units + sum(not living.has_unit(unit) for unit in units))
