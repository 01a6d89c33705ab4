"""What TRON does on one stream of facts: which frame leads to which calls, and what is taken back. Pure.

The monitor and the simulation run it. They carry the calls; at most one is under way at a time, and what is decided
meanwhile goes out with the next one. So calls are small while little happens, and the registry never waits for TRON.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from grid_model.observation import Frame
from grid_model.verdict import VerdictOutcome

from tron.judge import PART, Judge
from tron.orders import Orders, Ruling

REPORT_EVERY = 0.2
"""Attentive seconds between two calls that tell the registry that it is watched."""

_REFUSED = (VerdictOutcome.STALE, VerdictOutcome.INVALID)


@dataclass(slots=True)
class Call:
    """One call to the registry: these parts of the orders, in their order."""

    rulings: slice
    copies: slice
    preauthorized: slice
    deadlines: slice
    withdrawn: Sequence[int]
    held: bool
    """Whether no stream that breaks is suspected in advance for now: many fail."""
    cascade_alert_id: str
    """The mass failure that was reported; empty for none."""
    judged_until: float


class Session:
    """One stream of facts, from its snapshot to its end. `part`: about how many orders are decided in one go."""

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

    def read(self, frame: Frame, newer: Callable[[], bool]) -> bool:
        """Learn a message of facts. Return whether to `decide` on it.

        Not before the snapshot is complete, and not while more of the same frame waits, whose last message is the one
        with which time goes on. `newer`: whether another message waits.
        """
        judged_to = self.judge.now
        self.judge.learn(frame)
        self._hearing_since = frame.hearing_since
        # The next urgent frame comes once the registry knows that this one was judged.
        self._urgent = self._urgent or bool(frame.observations or frame.removed)
        self._called = False
        return self.judge.complete and not (self.judge.now == judged_to and newer())

    def decide(self, wall: float, newer: Callable[[], bool]) -> Iterator[None]:
        """Decide on the frame, part by part; others may run between two of them. `newer`: whether another message waits
        to be read."""
        for orders in self.judge.decide_in_parts(self._hearing_since, wall, self._part, newer=newer):
            self._decided.add(orders)
            yield

    @property
    def has_orders(self) -> bool:
        """Whether orders are decided that were not taken yet."""
        return not self._decided.empty

    @property
    def must_wait(self) -> bool:
        """Whether to decide no more before the call that is under way is answered: what newer frames bring must not
        wait for thousands of orders."""
        return len(self._decided) >= self._part

    @property
    def report_is_due(self) -> bool:
        """Whether a frame on which all is decided needs a call without orders."""
        if self._called:
            return False
        held_changed = self.judge.guard.many_fail != self._held_sent
        return self._urgent or held_changed or self.judge.now - self._called_at >= REPORT_EVERY

    def take(self) -> Orders:
        """The orders to send now, in `calls`; perhaps none: that only tells that the frame was judged."""
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
        """The calls for orders of these sizes, each of at most `most` unless one order is larger; at least one."""
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
            )
            for start, end in pairwise(starts)
        ]
        calls[0].withdrawn = withdrawn
        # Only the last call may say that the cascade was reported: the next observer relies on it.
        self._cascade_sent = calls[-1].cascade_alert_id = judge.cascade_alert_id
        return calls

    def answered(self, rulings: Sequence[Ruling], outcomes: Sequence[VerdictOutcome | None]) -> None:
        """A call with these rulings was answered: what the registry refused is taken back, the newest first."""
        for ruling, outcome in reversed(list(zip(rulings, outcomes, strict=True))):
            if outcome in _REFUSED:
                self.judge.refused(ruling)

    def all_answered(self) -> None:
        """Every call for the orders that were taken was answered."""
        self._urgent = False
        self._held_sent = self.judge.guard.many_fail
        self._called_at = self.judge.now
