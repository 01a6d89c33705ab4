"""Flap damping: a service that is suspected repeatedly raises a few alerts, and then none until it has been stable for
a while. Pure.

Only suspicions that may lead to a death are damped. A death and the return after a death are never damped, nor is a
stall, which leads to no death.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from tron.policy import Policies

MAX_SERVICES = 50_000
"""Suspicions of this many services are remembered. Overflow rule: the service suspected longest ago is forgotten."""


@dataclass(slots=True)
class _Flaps:
    times: deque[float] = field(default_factory=deque)
    until: float = 0.0


class Damping:
    """Counts suspicions by service_id, so that a new registration does not start a new count. Times are attentive
    seconds."""

    def __init__(self) -> None:
        self._flaps: dict[str, _Flaps] = {}

    def suspected(self, service_id: str, now: float, policies: Policies) -> bool:
        """Count a suspicion of a service. Return whether it reached the flap limit, so that damping begins."""
        policy = policies.of(service_id)
        flaps = self._flaps.pop(service_id, None) or _Flaps()
        self._flaps[service_id] = flaps  # the newest last
        if len(self._flaps) > MAX_SERVICES:
            del self._flaps[next(iter(self._flaps))]
        damped_before = now < flaps.until
        flaps.times.append(now)
        while len(flaps.times) > policy.flap_count or flaps.times[0] < now - policy.flap_window:
            flaps.times.popleft()
        if damped_before or len(flaps.times) >= policy.flap_count:
            flaps.until = now + policy.flap_window
        return flaps.until > now and not damped_before

    def is_damped(self, service_id: str, now: float) -> bool:
        """Return whether further suspicions of this service raise no alert."""
        flaps = self._flaps.get(service_id)
        return flaps is not None and now < flaps.until

    def count(self, service_id: str, now: float, window: float) -> int:
        """Return how often a service was suspected in the last `window` seconds; at most `flap_count` are counted."""
        flaps = self._flaps.get(service_id)
        return 0 if flaps is None else sum(1 for each in flaps.times if each >= now - window)

    def damped(self, now: float) -> list[str]:
        """Return the services that are damped now."""
        return [service_id for service_id, flaps in self._flaps.items() if now < flaps.until]
