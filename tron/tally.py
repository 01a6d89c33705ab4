"""Counts the services in each state as the states change, so that reading a count visits no service. Pure."""

from __future__ import annotations

from collections import Counter

from grid_model.liveness import Liveness, LivenessCause

from tron.facts import Lease

_State = tuple[Liveness, bool, bool]


class Tally:
    """The number of services in each liveness, the number of stalled services, and the number of services under
    maintenance."""

    def __init__(self) -> None:
        self._of_service: dict[str, _State] = {}
        self._counts: Counter[_State] = Counter()

    def put(self, lease: Lease) -> None:
        """Count a service in its current state, and no longer in its former one."""
        facts = lease.facts
        state = (lease.liveness, lease.cause is LivenessCause.STALLED, facts.maintained)
        before = self._of_service.get(facts.service_id)
        if before != state:
            if before is not None:
                self._counts[before] -= 1
            self._counts[state] += 1
            self._of_service[facts.service_id] = state

    def remove(self, service_id: str) -> None:
        """Remove a service from the counts."""
        before = self._of_service.pop(service_id, None)
        if before is not None:
            self._counts[before] -= 1

    def by_liveness(self) -> dict[Liveness, int]:
        """Return the number of services in each state of liveness."""
        found = {Liveness.ALIVE: 0, Liveness.SUSPECT: 0, Liveness.DOWN: 0}
        for (liveness, _, _), count in self._counts.items():
            found[liveness] += count
        return found

    @property
    def stalled(self) -> int:
        """The number of services that send heartbeats but make no progress."""
        return sum(count for (_, stalled, _), count in self._counts.items() if stalled)

    @property
    def maintained(self) -> int:
        """The number of services under maintenance."""
        return sum(count for (_, _, maintained), count in self._counts.items() if maintained)
