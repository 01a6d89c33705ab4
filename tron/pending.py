"""Transitions that wait for their ruling (a verdict with its alerts), in an order that is fair to the recipients of
their alerts. Pure.

Rulings on thousands of deaths at once take seconds. An alert to one parent must not wait until all deaths under another
parent have their rulings. So while more than `FAIR_ABOVE` transitions wait, the parents take turns; otherwise the
transitions are ruled on in the order in which they were decided.
"""

from __future__ import annotations

from collections import OrderedDict

from grid_model.round_robin import RoundRobin

from tron.facts import Kind, Transition

FAIR_ABOVE = 100
"""Up to this many waiting transitions are taken in order, because one call has room for all of them."""

_Key = tuple[str, Kind]


class PendingTransitions:
    """The waiting transitions: for each registered service, at most one of each kind."""

    def __init__(self) -> None:
        self._in_order: OrderedDict[_Key, Transition] = OrderedDict()
        self._by_parent: RoundRobin[_Key] = RoundRobin()
        self._of_service: dict[str, list[Transition]] = {}

    def __len__(self) -> int:
        return len(self._in_order)

    def has(self, service_id: str) -> bool:
        """Return whether any transition of this service waits for its ruling."""
        return service_id in self._of_service

    def is_overtaken(self, service_id: str, observation: int, unless: frozenset[Kind]) -> bool:
        """Return whether a waiting transition of this service is based on an observation that is older than
        `observation`. Transitions of the kinds in `unless` are ignored."""
        waiting = self._of_service.get(service_id, ())
        return any(each.observation < observation and each.kind not in unless for each in waiting)

    def put(self, transition: Transition) -> None:
        """Add a transition. If one of the same service and kind is waiting, the new one replaces it."""
        key = (transition.service_id, transition.kind)
        if key in self._in_order:
            self._remove(self._in_order[key])
        self._in_order[key] = transition
        self._by_parent.put(transition.facts.parent, key)
        self._of_service.setdefault(transition.service_id, []).append(transition)

    def take(self) -> Transition:
        """Remove and return the transition to rule on next. Raises StopIteration if none waits."""
        if len(self._in_order) > FAIR_ABOVE:
            transition = self._in_order[self._by_parent.take()]
        else:
            transition = next(iter(self._in_order.values()))
            self._by_parent.remove(transition.facts.parent, (transition.service_id, transition.kind))
        self._forget(transition)
        return transition

    def withdraw(self, service_id: str) -> list[Transition]:
        """Remove and return the waiting transitions of a service, newest first, because newer facts are known."""
        withdrawn = self._of_service.get(service_id, [])[::-1]
        for transition in withdrawn:
            self._remove(transition)
        return withdrawn

    def _remove(self, transition: Transition) -> None:
        self._by_parent.remove(transition.facts.parent, (transition.service_id, transition.kind))
        self._forget(transition)

    def _forget(self, transition: Transition) -> None:
        del self._in_order[transition.service_id, transition.kind]
        same = self._of_service[transition.service_id]
        same.remove(transition)
        if not same:
            del self._of_service[transition.service_id]
