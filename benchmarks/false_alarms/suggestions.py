"""What the timeout achieves that `tron explain` suggests: learned from the first day of an agent, held for the rest."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from benchmarks.false_alarms.detectors import Failure, FixedTimeouts, facts_of
from benchmarks.false_alarms.environments import DAY
from benchmarks.false_alarms.measures import Measures
from benchmarks.false_alarms.traces import Trace
from tron.margin import margin_of
from tron.policy import Policy

LEARNED_FOR = DAY


class Suggested:
    """Suspects an agent after the silence that TRON's rule (`tron.margin`) suggests from the gaps of its first day."""

    def play(self, trace: Trace, failures: Sequence[Failure]) -> dict[str, Measures]:
        """Return the measures of the time after the first day, under the name `suggested`; empty if the trace is too
        short."""
        learned = next((n for n, at in enumerate(trace.read) if at - trace.read[0] >= LEARNED_FOR), len(trace))
        timeout = suggestion(Trace(trace.interval, trace.sent[:learned], trace.read[:learned]))
        rest = Trace(trace.interval, trace.sent[learned:], trace.read[learned:])
        if timeout is None or len(rest) < 2:
            return {}
        later = [Failure(each.last - learned, each.at) for each in failures if each.last >= learned]
        (measures,) = FixedTimeouts([timeout], warm_up=0).play(rest, later).values()
        return {"suggested": measures}


def suggestion(trace: Trace) -> float | None:
    """Return the timeout that is suggested after a trace, as `tron explain` does; None if it is too short."""
    longest = max((after - before for before, after in pairwise(trace.read)), default=0.0)
    facts = facts_of(trace.interval, trace.read[0], longest_gap=longest)
    margin = margin_of(facts, Policy(), trace.read[-1])
    return None if margin is None else margin.suggested
