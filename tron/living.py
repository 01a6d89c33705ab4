"""How many services are judged alive, and in how many units: counted as judgement changes, so that the guard can ask in
every frame without a visit to each service. Pure."""

from __future__ import annotations

from grid_model.observation import Facts


def unit_of(facts: Facts) -> str:
    """The unit with which a service fails: its process, or the service itself if it shares none."""
    # No service_id and no process holds a line break.
    return f"process\n{facts.process}" if facts.process else facts.service_id


class Living:
    """The services that are judged alive, by unit."""

    def __init__(self) -> None:
        self.services = 0
        """How many there are."""
        self._units: dict[str, int] = {}

    @property
    def units(self) -> int:
        """How many units they belong to."""
        return len(self._units)

    def has_unit(self, unit: str) -> bool:
        """Whether a service of this unit is judged alive."""
        return unit in self._units

    def add(self, unit: str) -> None:
        """A service of this unit is judged alive that was not counted."""
        self.services += 1
        self._units[unit] = self._units.get(unit, 0) + 1

    def remove(self, unit: str) -> None:
        """A service of this unit that was counted is not judged alive any more, or is gone."""
        self.services -= 1
        left = self._units[unit] - 1
        if left:
            self._units[unit] = left
        else:
            del self._units[unit]
