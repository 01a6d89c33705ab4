"""The thresholds, and the formulas that turn them into deadlines. All times in seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Policy:
    """One set of thresholds. The defaults are the legacy contract's misses, and what networks on one site need."""

    tolerance_ratio: float = 0.10
    """A miss is counted at n x interval + tolerance; this share of the interval ..."""
    tolerance_min: float = 0.25
    """... but at least this long. Lower finds silence sooner and forgives less scheduling delay."""
    misses_before_warning: int = 1
    misses_before_down: int = 2
    misses_before_deregister: int = 3
    reconnect_grace: float = 2.0
    """How long a broken stream may stay broken. Above what an SDK needs to reconnect; each second is a second of
    delay in reporting a crash as final (the suspicion is reported at once)."""
    reattach_window: float = 15.0
    """How long everyone may take to come back after the registry restarted or stalled. It must be above the
    connect time-out of the SDK (5 s), its longest back-off (2 s), and what the whole fleet needs to reconnect."""
    escalate_after: float = 30.0
    """How long an alert waits for its acknowledgement before it climbs."""

    def __post_init__(self) -> None:
        """Raise ValueError where the thresholds contradict each other."""
        if not 0 < self.misses_before_warning <= self.misses_before_down <= self.misses_before_deregister:
            raise ValueError(
                "misses_before_warning <= misses_before_down <= misses_before_deregister must hold, above 0"
            )
        for name in ("tolerance_ratio", "tolerance_min", "reconnect_grace", "reattach_window", "escalate_after"):
            if not 0 <= getattr(self, name) < 86_400:
                raise ValueError(f"{name} must be between 0 and 86400")

    def silence(self, interval: float, misses: int) -> float:
        """How long a service may be silent before so many misses are counted: n x interval + tolerance."""
        return misses * interval + max(self.tolerance_ratio * interval, self.tolerance_min)


@dataclass(frozen=True, slots=True)
class Policies:
    """The policy for everyone, and those for single services, by service_id."""

    default: Policy
    overrides: dict[str, Policy]

    def of(self, service_id: str) -> Policy:
        """The policy in force for a service."""
        return self.overrides.get(service_id, self.default)
