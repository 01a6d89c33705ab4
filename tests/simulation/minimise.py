"""Makes a failing plan smaller: fewer faults, fewer agents, as long as the same promise is broken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from tests.simulation.cluster import play
from tests.simulation.plan import Plan

Fails = Callable[[Plan], bool]


def broken_promise(plan: Plan) -> str:
    """The first promise that a plan breaks; empty where all hold."""
    violations = play(plan).violations
    return violations[0].promise if violations else ""


def minimal_faults(plan: Plan, promise: str) -> tuple[int, ...]:
    """The numbers of as few faults as still break the promise."""

    def fails(kept: Sequence[int]) -> bool:
        return broken_promise(plan.keeping(tuple(kept))) == promise

    return tuple(fewest(list(range(len(plan.faults))), fails))


def fewest(items: list[int], fails: Callable[[Sequence[int]], bool]) -> list[int]:
    """Delta debugging: drop parts, large ones first, for as long as it still fails."""
    parts = 2
    while len(items) >= 1:
        size = max(1, len(items) // parts)
        for start in range(0, len(items), size):
            rest = items[:start] + items[start + size :]
            if fails(rest):
                items = rest
                parts = max(2, parts - 1)
                break
        else:
            if size == 1:
                break
            parts *= 2
    return items


def minimal_fleet(plan: Plan, promise: str) -> tuple[str, ...]:
    """The ids of as few agents as still break the promise, with the same faults."""
    ids = [member.service_id for member in plan.fleet]

    def fails(kept: Sequence[int]) -> bool:
        chosen = [ids[each] for each in kept]
        return bool(chosen) and broken_promise(with_fleet(plan, chosen)) == promise

    return tuple(ids[each] for each in fewest(list(range(len(ids))), fails))


def with_fleet(plan: Plan, service_ids: Sequence[str]) -> Plan:
    """The same with only some of its agents; faults of the others touch nobody."""
    return replace(plan, fleet=tuple(member for member in plan.fleet if member.service_id in service_ids))
