"""Preauthorized suspicions: the registry applies them at once, in TRON's name, when a stream breaks. Pure.

A broken stream makes a service suspect whatever the thresholds are, so the round trip to TRON can be saved. This module
records which suspicions the registry holds, and sends only changes; `preauthorizer` decides which ones it should hold.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from grid_model.verdict import StandingSuspicion

from tron.facts import NEVER


class Preauthorized:
    """The suspicions that the registry has received in advance, and the services whose suspicion must be decided
    again."""

    def __init__(self) -> None:
        self._sent: dict[str, StandingSuspicion] = {}
        self._touched: dict[str, None] = {}
        self._later: dict[str, float] = {}

    def touch(self, service_id: str) -> None:
        """Have the suspicion of a service decided again, because something about the service changed."""
        self._touched[service_id] = None

    def touch_at(self, service_id: str, at: float) -> None:
        """Have the suspicion of a service decided again at this attentive second."""
        self._later[service_id] = at

    @property
    def next_at(self) -> float:
        """The attentive second before which `touched` finds nothing unless `touch` is called."""
        return 0.0 if self._touched else min(self._later.values(), default=NEVER)

    def touched(self, now: float, limit: int | None = None) -> list[str]:
        """Return up to `limit` of the services whose suspicion must be decided again now, each once."""
        due = [service_id for service_id, at in self._later.items() if at <= now] if self._later else []
        for service_id in due:
            del self._later[service_id]
            self._touched[service_id] = None
        found = list(islice(self._touched, limit))
        for service_id in found:
            del self._touched[service_id]
        return found

    def used_up(self, service_id: str) -> None:
        """Record that the registry has applied a suspicion, or that its service is no longer registered."""
        self._sent.pop(service_id, None)

    def forget_all(self, service_ids: Iterable[str]) -> None:
        """Record that the registry has dropped all suspicions, because it stalled."""
        self._sent.clear()
        self._touched.update(dict.fromkeys(service_ids))

    def change(self, service_id: str, wanted: StandingSuspicion | None) -> tuple[StandingSuspicion | None, int | None]:
        """Return what to send so that the registry has the `wanted` suspicion of a service and no other. The first
        value is a new suspicion, the second an incarnation whose suspicion is withdrawn. At most one of them is not
        None."""
        sent = self._sent.get(service_id)
        if wanted == sent:
            return None, None
        if wanted is not None:
            self._sent[service_id] = wanted
            return wanted, None
        del self._sent[service_id]
        return None, sent.incarnation if sent is not None else None
