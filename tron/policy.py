"""The thresholds, and the formulas that compute deadlines from them. All times are in seconds."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import ceil

from grid_model.policy import OrphanPolicy

from tron import messages

SDK_CONNECT_TIMEOUT = 5.0
"""How long an SDK tries one connection (`grpc.min_reconnect_backoff_ms`)."""

SDK_LONGEST_BACKOFF = 2.0
"""The longest that an SDK waits between two attempts (`tron_client.schedule.Backoff`)."""

SDK_FIRST_RETRY = 0.2
"""An SDK whose stream broke tries to reconnect within this many seconds."""

LONGEST = 86_400.0

MOST_COUNT = 1_000_000
"""The largest value of a threshold that is a count; the contract has 32 bits for it."""


@dataclass(frozen=True, slots=True)
class PolicyError:
    """A threshold that contradicts another one, or is out of bounds: its name, and the reason."""

    field: str
    description: str


@dataclass(frozen=True, slots=True)
class Policy:
    """One set of thresholds. The default counts of missed heartbeats are those of the legacy contract; the other
    defaults suit a network within one site."""

    tolerance_ratio: float = 0.10
    """The n-th miss is counted after n x interval + tolerance; the tolerance is this share of the interval."""
    tolerance_min: float = 0.25
    """The tolerance is at least this many seconds. A lower value detects silence sooner and tolerates less scheduling
    delay."""
    misses_before_warning: int = 1
    misses_before_down: int = 2
    misses_before_deregister: int = 3
    keep_down: float = 0.0
    """A service that is down stays registered for at least this many seconds, so that people see it. With 0 it
    stays only until it has missed `misses_before_deregister` heartbeats."""
    deregister: bool = True
    """Whether services that are down are deregistered; otherwise a service stays DOWN until it is back or an operator
    deregisters it."""
    reconnect_grace: float = 2.0
    """How long a stream may stay broken before the service is down. Must be longer than an SDK needs to reconnect. A
    longer time delays the report that a crashed service is down (that it is suspect is reported at once)."""
    reattach_window: float = 15.0
    """How long services may take to reconnect after the registry restarted or stalled. Must be longer than the connect
    timeout of the SDK (5 s), its longest backoff (2 s), and the time that the whole fleet needs to reconnect."""
    escalate_after: float = 30.0
    """How long an alert waits for its acknowledgement before it escalates."""
    busy_cap: float = 1800.0
    """The longest time for which a service that declared itself busy may be silent or make no progress. A longer cap
    allows longer tasks without heartbeats, but a service that hangs while it is busy is detected later."""
    orphan_policy: OrphanPolicy = OrphanPolicy.KEEP
    confirm_by_probe: bool = False
    """Whether a refused connection to the URL of a suspect confirms at once that the service is down."""
    flap_count: int = 5
    """After this many suspicions within `flap_window`, further suspicions raise no alert until one window has passed
    without a suspicion."""
    flap_window: float = 60.0
    guard_ratio: float = 0.30
    """A mass failure is a failure of more than this share of the live services at once; see also `guard_min`."""
    guard_min: int = 5
    """A mass failure is a failure of at least this many services at once; see also `guard_ratio`."""
    guard_burst: float = 1.0
    """Services fail at once if they fail within this many seconds (for missed heartbeats at least within one interval,
    because the start of the silence is not known more precisely). A longer burst also counts consecutive failures as
    one mass failure."""
    guard_window: float = 10.0
    """The mass-failure guard holds alerts until this many seconds after the last of these failures. Must be longer than
    `reconnect_grace`; otherwise the guard ends before the services with broken streams are declared down."""

    def __post_init__(self) -> None:
        """Raise ValueError if the thresholds contradict each other."""
        errors = self.errors()
        if errors:
            raise ValueError("; ".join(f"{each.field}: {each.description}" for each in errors))

    def errors(self) -> list[PolicyError]:
        """Return the thresholds that are out of bounds or contradict each other; empty if there are none."""
        errors: list[PolicyError] = []
        misses = (self.misses_before_warning, self.misses_before_down, self.misses_before_deregister)
        if not 0 < misses[0] <= misses[1] <= misses[2]:
            errors.append(PolicyError("misses_before_down", messages.MISSES_OUT_OF_ORDER))
        for name in _TIMES:
            seconds = getattr(self, name)
            if not 0 <= seconds <= LONGEST:
                errors.append(PolicyError(name, messages.time_out_of_range(seconds, LONGEST)))
        if not 0 <= self.tolerance_ratio <= 10:
            errors.append(PolicyError("tolerance_ratio", messages.tolerance_ratio_out_of_range(self.tolerance_ratio)))
        if not 0 < self.guard_ratio <= 1:
            errors.append(PolicyError("guard_ratio", messages.guard_ratio_out_of_range(self.guard_ratio)))
        counts = ((name, getattr(self, name)) for name in ("guard_min", "flap_count"))
        errors += [PolicyError(name, messages.count_too_small(n)) for name, n in counts if n < 2]
        counts = ((name, getattr(self, name)) for name in _COUNTS)
        errors += [PolicyError(name, messages.count_too_large(MOST_COUNT)) for name, n in counts if n > MOST_COUNT]
        return errors

    def reckless(self) -> list[PolicyError]:
        """Return the thresholds with which TRON would declare healthy services down. A service must miss at least three
        heartbeats before it is deregistered, and each timeout must be longer than the retries for which it allows time
        (a timeout that was not longer has taken down whole clusters)."""
        errors: list[PolicyError] = []
        if self.misses_before_deregister < 3:
            why = messages.too_few_misses_to_deregister(self.misses_before_deregister)
            errors.append(PolicyError("misses_before_deregister", why))
        if self.misses_before_down < 2:
            why = messages.too_few_misses_to_be_down(self.misses_before_down)
            errors.append(PolicyError("misses_before_down", why))
        if max(self.tolerance_min, self.tolerance_ratio) <= 0:
            errors.append(PolicyError("tolerance_min", messages.NO_TOLERANCE))
        retries = SDK_CONNECT_TIMEOUT + SDK_LONGEST_BACKOFF
        if self.reattach_window <= retries:
            why = messages.reattach_window_too_short(self.reattach_window, retries)
            errors.append(PolicyError("reattach_window", why))
        if self.reconnect_grace <= SDK_FIRST_RETRY:
            why = messages.reconnect_grace_too_short(self.reconnect_grace, SDK_FIRST_RETRY)
            errors.append(PolicyError("reconnect_grace", why))
        if self.guard_window <= self.reconnect_grace:
            why = messages.guard_window_too_short(self.guard_window, self.reconnect_grace)
            errors.append(PolicyError("guard_window", why))
        if self.escalate_after < 1:
            why = messages.escalate_after_too_short(self.escalate_after)
            errors.append(PolicyError("escalate_after", why))
        return errors

    def silence(self, interval: float, misses: int) -> float:
        """Return how long a service may be silent before this many misses are counted: n x interval + tolerance."""
        return misses * interval + max(self.tolerance_ratio * interval, self.tolerance_min)

    def misses_for(self, interval: float, silence: float) -> int:
        """Return the smallest number of misses for which `silence` returns at least this many seconds."""
        return max(1, ceil((silence - self.silence(interval, 0)) / interval - 1e-9))


_COUNTS = ("misses_before_warning", "misses_before_down", "misses_before_deregister", "flap_count", "guard_min")

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
    """The policy for all services, and those for single services, by service_id."""

    default: Policy
    overrides: dict[str, Policy]

    def of(self, service_id: str) -> Policy:
        """Return the policy in force for a service."""
        return self.overrides.get(service_id, self.default)
