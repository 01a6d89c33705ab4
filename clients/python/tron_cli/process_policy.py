"""Decides when `tron up` restarts a child, when it stops restarting, and what the ready file contains. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """How soon, and how often, a dead child is started again. Times are in seconds."""

    first_delay: float = 0.1
    longest_delay: float = 5.0
    # A child that lived this long was sound: its next death is treated as the first. Short, because while it waits
    # nobody is watched; long enough that a child which dies while it starts does not take a core.
    sound_after: float = 2.0
    # A child that never served is a mistake in the set-up (a port in use, a wrong flag), which no restart repairs.
    attempts_to_serve: int = 3
    # It exited with such a code before it ever served: it said what is wrong, and would only say it again.
    refusals: frozenset[int] = frozenset({1, 2})


@dataclass(frozen=True, slots=True)
class StartAgain:
    """A decision to start the child again after `delay` seconds."""

    delay: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """A decision not to start the child again, because it died `attempts` times without ever having served."""

    attempts: int


@dataclass(slots=True)
class ChildLife:
    """Records the starts and deaths of one child, and decides whether to start it again. Times are in seconds on one
    monotonic clock."""

    policy: RestartPolicy = field(default_factory=RestartPolicy)
    ever_served: bool = False
    starts: int = 0
    _started_at: float = 0.0
    _deaths_in_a_row: int = 0

    def started(self, now: float) -> None:
        """Record that the child has been running since `now`."""
        self.starts += 1
        self._started_at = now

    def served(self) -> None:
        """Record that the child was ready to serve."""
        self.ever_served = True

    def died(self, now: float, code: int = -9) -> StartAgain | GiveUp:
        """Record that the child died at `now`; return whether it is started again. A negative `code` is the signal that
        ended the child."""
        if now - self._started_at >= self.policy.sound_after:
            self._deaths_in_a_row = 0
        self._deaths_in_a_row += 1
        refused = code in self.policy.refusals or self.starts >= self.policy.attempts_to_serve
        if not self.ever_served and refused:
            return GiveUp(self.starts)
        # The exponent is bounded because a float overflows after some thousand deaths.
        delay = self.policy.first_delay * 2.0 ** min(self._deaths_in_a_row - 1, 32)
        return StartAgain(min(delay, self.policy.longest_delay))


@dataclass(frozen=True, slots=True)
class Serving:
    """A child that serves: its name, its process, and its address."""

    name: str
    address_key: str
    address: str
    pid: int
    more: Mapping[str, str] = field(default_factory=dict)
    """The additional addresses of the child, by their keys in the ready file."""
    facts: Mapping[str, object] = field(default_factory=dict)
    """The whole content of the child's ready file."""


def ready_document(children: Iterable[Serving]) -> dict[str, object]:
    """Return the content of the ready file of the whole system: each address under its key, and the pids by name."""
    children = tuple(children)
    addresses: dict[str, object] = {}
    for child in children:
        addresses |= {child.address_key: child.address, **child.more}
    return addresses | {"pids": {child.name: child.pid for child in children}}


def describe_exit(code: int) -> str:
    """Return how a process ended, in words. A negative code is the signal that ended it, as in `subprocess`."""
    return f"was ended by signal {-code}" if code < 0 else f"exited with code {code}"
