"""Counts the ALIVE services and their units as verdicts change, so that the guard can ask in every frame without
visiting each service. Pure."""

from __future__ import annotations

from grid_model.observation import Facts


def unit_of(facts: Facts) -> str:
    """Return the unit with which a service fails: its process, or the service itself if it shares none."""
    # No service_id and no process holds a line break.
    return f"process\n{facts.process}" if facts.process else facts.service_id


class Living:
    """The ALIVE services, counted by unit."""

    def __init__(self) -> None:
        self.services = 0
        """The number of ALIVE services."""
        self._units: dict[str, int] = {}

    @property
    def units(self) -> int:
        """The number of units with an ALIVE service."""
        return len(self._units)

    def has_unit(self, unit: str) -> bool:
        """Return whether a service of this unit is ALIVE."""
        return unit in self._units

    def add(self, unit: str) -> None:
        """Count one more ALIVE service of this unit."""
        self.services += 1
        self._units[unit] = self._units.get(unit, 0) + 1

    def remove(self, unit: str) -> None:
        """Count one ALIVE service of this unit fewer."""
        self.services -= 1
        left = self._units[unit] - 1
        if left:
            self._units[unit] = left
        else:
            del self._units[unit]
