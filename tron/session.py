"""Decides what TRON does on one stream of facts: which calls follow from a frame, and which decisions are reverted.
Pure.

The monitor, and the simulation in the tests, make the calls. At most one call is in progress at a time; what is decided
meanwhile is sent with the next call. So calls are small under light load, and the registry never waits for TRON.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from grid_model.observation import Frame
from grid_model.verdict import VerdictOutcome

from tron.judge import PART, Judge
from tron.orders import Orders, Ruling

REPORT_EVERY = 0.2
"""Attentive seconds after which a call is due even without orders; it shows the registry that TRON is watching."""

REPORT_AT = 2
"""Number of frames without a call after which a call is due, however little time has passed. The registry sends only a
few frames that TRON has not confirmed; without this call, each side would wait for the other."""

LONGEST_IDLE = 60.0
"""Attentive seconds for which TRON says at most that it has nothing to decide. The registry sends a frame far more
often."""

_REFUSED = (VerdictOutcome.STALE, VerdictOutcome.INVALID)


@dataclass(slots=True)
class Call:
    """One call to the registry. For each kind of order, a slice selects those of the decided orders that the call
    carries."""

    rulings: slice
    copies: slice
    preauthorized: slice
    deadlines: slice
    withdrawn: Sequence[int]
    held: bool
    """Whether the registry must not apply preauthorized suspicions for now, because many services are failing."""
    cascade_alert_id: str
    """The alert about the mass failure that was reported; empty if there is none."""
    judged_until: float
    idle_until: float | None
    """The attentive second before which TRON has nothing to decide unless new facts arrive; None if it may have."""


class Session:
    """One stream of facts, from its snapshot to its end. `part`: about how many orders are decided at a time."""

    def __init__(self, judge: Judge, part: int = PART) -> None:
        self.judge = judge
        self._part = part
        self._decided = Orders()
        self._hearing_since = 0.0
        self._urgent = False
        self._called = False
        """Whether the present frame has led to a call."""
        self._held_sent = False
        self._cascade_sent = ""
        self._called_at = float("-inf")
        self._unreported = 0

    def read(self, frame: Frame) -> bool:
        """Add a message of facts. Return whether to call `decide` now: true for the last message of each frame once the
        snapshot is complete. Only the last message of a frame advances the time. Rulings on an earlier message would
        delay the last one."""
        self.judge.learn(frame)
        self._hearing_since = frame.hearing_since
        # The next urgent frame comes once the registry knows that this one was judged.
        self._urgent = self._urgent or bool(frame.observations or frame.removed)
        self._called = False
        self._unreported += not frame.continues
        return self.judge.complete and not frame.continues

    def decide(self, wall: float) -> Iterator[None]:
        """Decide on the frame that was read, in parts between which other work may run. `wall`: the time in seconds
        since 1970."""
        for orders in self.judge.decide_in_parts(self._hearing_since, wall, self._part):
            self._decided.add(orders)
            yield

    @property
    def has_orders(self) -> bool:
        """Whether there are decided orders that have not been taken yet."""
        return not self._decided.empty

    @property
    def must_wait(self) -> bool:
        """Whether to decide nothing more before the call in progress is answered, so that decisions on newer frames do
        not wait for thousands of orders."""
        return len(self._decided) >= self._part

    @property
    def report_is_due(self) -> bool:
        """Whether a call is due although the frame led to no orders. The call confirms to the registry that TRON
        evaluated the frame."""
        if self._called:
            return False
        held_changed = self.judge.guard.many_fail != self._held_sent
        late = self._unreported >= REPORT_AT or self.judge.now - self._called_at >= REPORT_EVERY
        return self._urgent or held_changed or late

    def take(self) -> Orders:
        """Return the decided orders that were not taken before, to be sent by `calls`. If there are none, the call only
        confirms that the frame was evaluated."""
        orders, self._decided = self._decided, Orders()
        self._called = True
        return orders

    def calls(
        self,
        rulings: Sequence[int],
        copies: Sequence[int],
        preauthorized: Sequence[int],
        deadlines: Sequence[int],
        withdrawn: Sequence[int],
        most: int,
    ) -> list[Call]:
        """Divide the orders among calls of at most `most` bytes each (more only if a single order is larger), and
        return at least one call. `withdrawn`: the incarnations whose suspicion is withdrawn. The other sequences
        contain the sizes of the orders in bytes."""
        judge = self.judge
        ends = [0, 0, 0, 0]
        starts = [tuple(ends)]
        size = 0
        for kind, sizes in enumerate((rulings, copies, preauthorized, deadlines)):
            for length in sizes:
                if size and size + length > most:
                    starts.append(tuple(ends))
                    size = 0
                size += length
                ends[kind] += 1
        starts.append(tuple(ends))
        calls = [
            Call(
                rulings=slice(start[0], end[0]),
                copies=slice(start[1], end[1]),
                preauthorized=slice(start[2], end[2]),
                deadlines=slice(start[3], end[3]),
                withdrawn=(),
                held=judge.guard.many_fail,
                cascade_alert_id=self._cascade_sent,
                judged_until=judge.now,
                idle_until=None,
            )
            for start, end in pairwise(starts)
        ]
        if not rulings:  # a ruling may be refused, and then something has to be decided again
            calls[-1].idle_until = min(judge.idle_until(), judge.now + LONGEST_IDLE)
        calls[0].withdrawn = withdrawn
        # Only the last call may say that the cascade was reported: the next observer relies on it.
        self._cascade_sent = calls[-1].cascade_alert_id = judge.cascade_alert_id
        return calls

    def answered(self, rulings: Sequence[Ruling], outcomes: Sequence[VerdictOutcome | None]) -> None:
        """Record the registry's answer to a call with these rulings. Refused rulings are reverted, newest first."""
        for ruling, outcome in reversed(list(zip(rulings, outcomes, strict=True))):
            if outcome in _REFUSED:
                self.judge.refused(ruling)

    def all_answered(self) -> None:
        """Record that the registry answered every call with the orders of the last `take`."""
        self._urgent = False
        self._unreported = 0
        self._held_sent = self.judge.guard.many_fail
        self._called_at = self.judge.now
