"""Alerts that nobody has acknowledged yet, and when to look at each again.

What is known comes from the registry: a copy waits for one recipient, since a moment, and may be settled for the way
up. Whether it climbs, and to whom, is decided by `judge`, which knows who is down.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush

from tron.facts import OPERATORS, OpenCopy, Severity

Key = tuple[str, str]

ASK_AGAIN = 5.0
"""Attentive seconds after which a climb is asked for again where no fact confirms it."""

STAYS = frozenset({"parent_down"})
"""What only its recipient can act upon: it waits for it, and for nobody else."""


def climbs(copy: OpenCopy) -> bool:
    """Whether somebody else must hear of it where its recipient does not."""
    alert = copy.alert
    critical = alert.severity is Severity.CRITICAL and alert.type not in STAYS
    return critical and not copy.climbed and alert.recipient not in ("", OPERATORS)


@dataclass(frozen=True, slots=True)
class Step:
    """What follows for a copy that is due: when to look again (attentive seconds), and why it escalates now; empty if
    it does not."""

    again_at: float
    why: str = ""


def next_step(copy: OpenCopy, now: float, after: float, lost: str, hold: float | None) -> Step:
    """Whether a copy escalates at `now`: it was not acknowledged within `after` seconds, or its recipient is `lost`
    (why; empty if it is not). `hold`: the seconds to wait while notices about its service are held."""
    if hold is not None:
        return Step(now + hold)
    if not lost and now < copy.since + after:
        return Step(copy.since + after)
    return Step(now + ASK_AGAIN, lost or f"not acknowledged within {after:g} s")


class Escalations:
    """All open copies, by alert and recipient. Bounded by the registry's own bound on what waits."""

    def __init__(self) -> None:
        self._copies: dict[Key, OpenCopy] = {}
        self._to: dict[str, dict[Key, None]] = {}
        self._looks: list[tuple[float, Key]] = []

    def __len__(self) -> int:
        return len(self._copies)

    def put(self, copy: OpenCopy) -> None:
        """A copy waits, or changed."""
        key = (copy.alert.alert_id, copy.alert.recipient)
        self._copies[key] = copy
        self._to.setdefault(copy.alert.recipient, {})[key] = None
        if climbs(copy):
            heappush(self._looks, (copy.since, key))

    def end(self, alert_id: str, recipient: str) -> None:
        """A copy waits no more."""
        key = (alert_id, recipient)
        if self._copies.pop(key, None) is not None:
            group = self._to[recipient]
            del group[key]
            if not group:
                del self._to[recipient]

    def waiting_for(self, word: str) -> list[OpenCopy]:
        """The copies that wait for a recipient, as it is named in them."""
        return [self._copies[key] for key in self._to.get(word, ())]

    def about(self, service_id: str) -> list[OpenCopy]:
        """The copies that tell of a service."""
        return [copy for copy in self._copies.values() if copy.alert.service_id == service_id]

    def look_at(self, service_id: str, name: str | None = None) -> None:
        """Something happened to a recipient: look at once at what waits for it, by its service_id or by its name."""
        for recipient in (service_id,) if name is None or name == service_id else (service_id, name):
            for key in self._to.get(recipient, ()):
                if climbs(self._copies[key]):
                    heappush(self._looks, (0.0, key))

    def look_again(self, copy: OpenCopy, at: float) -> None:
        """Look at a copy again at this attentive second."""
        heappush(self._looks, (at, (copy.alert.alert_id, copy.alert.recipient)))

    def due(self, now: float, limit: int | None = None) -> list[OpenCopy]:
        """Up to `limit` of the copies that should be looked at now; each of them once."""
        found: dict[Key, OpenCopy] = {}
        while self._looks and self._looks[0][0] <= now and (limit is None or len(found) < limit):
            _, key = heappop(self._looks)
            copy = self._copies.get(key)
            if copy is not None and climbs(copy):
                found[key] = copy
        return list(found.values())
