"""The thresholds, and the formulas that turn them into deadlines. All times in seconds."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum

SDK_CONNECT_TIMEOUT = 5.0
"""How long an SDK tries one connection (`grpc.min_reconnect_backoff_ms`)."""

SDK_LONGEST_BACKOFF = 2.0
"""The longest that an SDK waits between two attempts (`tron_client.schedule.Backoff`)."""

SDK_FIRST_RETRY = 0.2
"""Within this time an SDK whose stream broke has tried again, where the registry is there."""

LONGEST = 86_400.0


class OrphanPolicy(IntEnum):
    """What a child is told, and done about it, when its parent is down; the numbers of the wire."""

    KEEP = 1
    STOP = 2
    ADOPT = 3


@dataclass(frozen=True, slots=True)
class PolicyError:
    """A threshold that contradicts another, or the bounds: its name, and why."""

    field: str
    description: str


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
    keep_down: float = 0.0
    """A service that is down stays registered for at least so long, so that it is seen; 0: until its misses are up."""
    deregister: bool = True
    """Whether a service that is down is deregistered at all; else it stays DOWN until it is back or an operator
    deregisters it."""
    reconnect_grace: float = 2.0
    """How long a broken stream may stay broken. Above what an SDK needs to reconnect; each second is a second of
    delay in reporting a crash as final (the suspicion is reported at once)."""
    reattach_window: float = 15.0
    """How long everyone may take to come back after the registry restarted or stalled. It must be above the
    connect time-out of the SDK (5 s), its longest back-off (2 s), and what the whole fleet needs to reconnect."""
    escalate_after: float = 30.0
    """How long an alert waits for its acknowledgement before it climbs."""
    busy_cap: float = 1800.0
    """A service that announced to be busy is excused for at most so long. Longer: longer tasks without a sign of life;
    a service that hangs while it is busy is found that much later."""
    orphan_policy: OrphanPolicy = OrphanPolicy.KEEP
    confirm_by_probe: bool = False
    """Whether a refused connection to the url of a suspect confirms at once that it is down."""
    flap_count: int = 5
    """So many suspicions within `flap_window`, and further ones are not told until one window went by without."""
    flap_window: float = 60.0
    guard_ratio: float = 0.30
    """The guard: more than this share of the live services ..."""
    guard_min: int = 5
    """... and at least so many ..."""
    guard_burst: float = 1.0
    """... fail within so many seconds (for missed beats at least within one interval: it is not known better when they
    fell silent). Longer takes what came one after the other for one failure."""
    guard_window: float = 10.0
    """The guard ends so long after the last of them. Above reconnect_grace, or the deaths come when it has ended."""

    def __post_init__(self) -> None:
        """Raise ValueError where the thresholds contradict each other."""
        errors = self.errors()
        if errors:
            raise ValueError("; ".join(f"{each.field}: {each.description}" for each in errors))

    def errors(self) -> list[PolicyError]:
        """What is wrong with it; empty where nothing is."""
        errors: list[PolicyError] = []
        misses = (self.misses_before_warning, self.misses_before_down, self.misses_before_deregister)
        if not 0 < misses[0] <= misses[1] <= misses[2]:
            why = "misses_before_warning <= misses_before_down <= misses_before_deregister must hold, above 0"
            errors.append(PolicyError("misses_before_down", why))
        for name in _TIMES:
            seconds = getattr(self, name)
            if not 0 <= seconds <= LONGEST:
                errors.append(PolicyError(name, f"is {seconds:g} s; it must be from 0 to {LONGEST:g} s"))
        if not 0 <= self.tolerance_ratio <= 10:
            errors.append(PolicyError("tolerance_ratio", f"is {self.tolerance_ratio:g}; it must be between 0 and 10"))
        if not 0 < self.guard_ratio <= 1:
            errors.append(
                PolicyError("guard_ratio", f"is {self.guard_ratio:g}; it must be above 0 and at most 1 (1: never)")
            )
        counts = ((name, getattr(self, name)) for name in ("guard_min", "flap_count"))
        errors += [PolicyError(name, f"is {n}; it must be at least 2") for name, n in counts if n < 2]
        return errors

    def reckless(self) -> list[PolicyError]:
        """Where the thresholds would accuse healthy services: a time-out must be above three beats, and above every
        retry inside it (equal time-outs, one within the other, have taken down whole clusters)."""
        errors: list[PolicyError] = []
        if self.misses_before_deregister < 3:
            why = f"is {self.misses_before_deregister}; who is given up must have been silent for more than 3 beats"
            errors.append(PolicyError("misses_before_deregister", why))
        if self.misses_before_down < 2:
            why = f"is {self.misses_before_down}; one late beat must not be a death"
            errors.append(PolicyError("misses_before_down", why))
        if max(self.tolerance_min, self.tolerance_ratio) <= 0:
            errors.append(PolicyError("tolerance_min", "is 0 as tolerance_ratio is: a beat could never be in time"))
        retries = SDK_CONNECT_TIMEOUT + SDK_LONGEST_BACKOFF
        if self.reattach_window <= retries:
            why = f"is {self.reattach_window:g} s; agents may need {retries:g} s for one attempt to reconnect"
            errors.append(PolicyError("reattach_window", why))
        if self.reconnect_grace <= SDK_FIRST_RETRY:
            why = f"is {self.reconnect_grace:g} s; an agent tries again only after up to {SDK_FIRST_RETRY:g} s"
            errors.append(PolicyError("reconnect_grace", why))
        if self.guard_window <= self.reconnect_grace:
            why = f"is {self.guard_window:g} s; it must be above reconnect_grace ({self.reconnect_grace:g} s)"
            errors.append(PolicyError("guard_window", why))
        if self.escalate_after < 1:
            why = f"is {self.escalate_after:g} s; a parent needs at least 1 s to acknowledge"
            errors.append(PolicyError("escalate_after", why))
        return errors

    def silence(self, interval: float, misses: int) -> float:
        """How long a service may be silent before so many misses are counted: n x interval + tolerance."""
        return misses * interval + max(self.tolerance_ratio * interval, self.tolerance_min)


_TIMES = (
    "tolerance_min",
    "keep_down",
    "reconnect_grace",
    "reattach_window",
    "escalate_after",
    "busy_cap",
    "flap_window",
    "guard_burst",
    "guard_window",
)

POLICY_FIELDS = tuple(each.name for each in fields(Policy))
"""The names of all thresholds."""


@dataclass(frozen=True, slots=True)
class Policies:
    """The policy for everyone, and those for single services, by service_id."""

    default: Policy
    overrides: dict[str, Policy]

    def of(self, service_id: str) -> Policy:
        """The policy in force for a service."""
        return self.overrides.get(service_id, self.default)
