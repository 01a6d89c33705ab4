"""The guard against mass failures: if many fail at once, the network, the host or the monitor is the likelier cause.

It looks at the last moments only, and at the services that are alive now: services that have been down for longer
count on neither side, so that it ends one window after the last failure and cannot ratchet, however often a fleet is
replaced. It holds the alerts about services that failed together; one that fails alone a little later raises its own.

Services that share a process fail together whenever it does: they are one unit, and one unit alone is never a mass
failure. A service that names no process is a unit of its own. Pure.
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
"""Attentive seconds (three ticks) for which many must be failing before the guard is up: a parent that fails with all
its children is one failure, and it may come last."""

ESTABLISHED = 2.0
"""Attentive seconds for which a service must have been alive for its failure to count: short-lived programs that come
and go are no fleet that fails."""

ROOTS = 2
"""At least this many failing units have a member whose parent is not failing: the alert of its root reports one
subtree."""


class Fleet(Protocol):
    """What the guard asks about all services."""

    @property
    def living(self) -> Living:
        """The services that are judged alive, counted."""
        ...

    def unit_of(self, service_id: str) -> str:
        """The unit with which a service fails."""
        ...

    def parent_of(self, service_id: str) -> str | None:
        """The id of a service's parent; None if it has none."""
        ...


@dataclass(frozen=True, slots=True)
class Cascade:
    """A mass failure: the services that failed at once, oldest first, and how many were alive until then."""

    service_ids: tuple[str, ...]
    live: int
    since: float


class Guard:
    """Whether alerts are held. `active` from when the failure is certain; `holds` from when it may be one."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.active = False
        self.listed: set[str] = set()
        """The services listed in an alert of this guard that did not come back since."""
        self._together: set[str] = set()
        self._failing: dict[str, tuple[float, float]] = {}
        """The failing services: since when, and until when that counts."""
        self._until: list[tuple[float, str]] = []
        self._many_since: float | None = None
        self._last_failure = 0.0
        self._clear_at = 0.0

    @property
    def holds(self) -> bool:
        """Whether there is a mass failure, or there may be one: no service is deregistered meanwhile."""
        return self.active or self._many_since is not None

    @property
    def many_fail(self) -> bool:
        """Whether many are failing at this moment: a service that fails now belongs to it."""
        return self._many_since is not None

    def covers(self, service_id: str) -> bool:
        """Whether alerts about a service are held now."""
        return self.holds and service_id in self._together

    @property
    def clear_at(self) -> float:
        """The attentive second at which it ends if nothing more fails; valid only while it is active."""
        return self._clear_at

    def failed(self, service_id: str, at: float, alive_since: float, spread: float = 0.0) -> None:
        """A service was suspected that was alive since then (attentive seconds); when it fell silent is known to within
        `spread` seconds (for a missed beat)."""
        if at - alive_since < ESTABLISHED:
            return
        self._failing.pop(service_id, None)
        until = at + max(self.policy.guard_burst, spread)
        self._failing[service_id] = at, until  # the newest last
        self._last_failure = max(self._last_failure, at)
        heappush(self._until, (until, service_id))

    def ended(self, service_id: str) -> None:
        """It is back, or left on purpose: it does not fail any more."""
        self._failing.pop(service_id, None)
        self._together.discard(service_id)
        self.listed.discard(service_id)

    def resume(self, now: float, failed: Iterable[str]) -> None:
        """The observer before this one was in a mass failure and has reported it: do not report it again. `failed`: the
        services that are not alive now."""
        self.active = True
        self._together |= set(failed)
        self._clear_at = now + self.policy.guard_window

    def update(self, now: float, fleet: Fleet) -> Cascade | None:
        """Look again; return the mass failure that was just recognized, None if there is none or it is known."""
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
        """Whether too many units fail, or at least two that hold too many of the services."""
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
        """Whether the failing units are too large a share of all units that are alive or fail."""
        ratio = self.policy.guard_ratio
        if len(units) < self.policy.guard_min or len(units) <= ratio * living.units:
            return False
        return len(units) > ratio * (living.units + sum(not living.has_unit(unit) for unit in units))
