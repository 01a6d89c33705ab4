"""Deaths whose alerts are held. Each alert is sent once nothing holds it any more, and before the service is
deregistered.

The registry stores each held alert (`Facts.held_alert`), so it survives a restart of TRON. Pure.
"""

from __future__ import annotations

from collections.abc import Callable

from grid_model.event import Event
from grid_model.liveness import Liveness
from grid_model.observation import Facts

from tron.facts import Lease

AT_ONCE = 200
"""How many held alerts are sent in one frame; the others follow in the next frame."""


class HeldDeaths:
    """The services that were declared down and whose alert about this death is held. Bounded by the registered
    services."""

    def __init__(self) -> None:
        self._held: dict[str, None] = {}
        self._postponed: set[str] = set()
        """The services that are left for the next frame, because there were too many for this one."""

    def __len__(self) -> int:
        return len(self._held)

    def put(self, service_id: str) -> None:
        """Record that the alert about the death of a service is held."""
        self._held[service_id] = None

    def end(self, service_id: str) -> None:
        """Record that a recipient was notified of the death, or that no notification is needed any more."""
        self._held.pop(service_id, None)

    def is_postponed(self, service_id: str) -> bool:
        """Return whether the alert about a service's death was left for the next frame, because there were too many."""
        return service_id in self._postponed

    def release(self, find: Callable[[str], Lease | None], holds: Callable[[Facts], bool]) -> list[tuple[Facts, Event]]:
        """Return and remove the deaths whose alerts are no longer held, with these alerts; at most `AT_ONCE`. `find`
        returns the record of a service; `holds` returns whether the alert about the service's death is still held."""
        released: list[tuple[Facts, Event]] = []
        waiting = list(self._held)
        self._postponed = set()
        for n, service_id in enumerate(waiting):
            if len(released) >= AT_ONCE:
                self._postponed = set(waiting[n:])
                break
            lease = find(service_id)
            alert = None if lease is None else lease.facts.held_alert
            if lease is None or alert is None or lease.liveness is not Liveness.DOWN:
                del self._held[service_id]
            elif not holds(lease.facts):
                del self._held[service_id]
                released.append((lease.facts, alert))
        return released
