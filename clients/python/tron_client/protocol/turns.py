"""Decides which agent sends next on a shared stream. This module reads no clock and takes no locks.

Agents that have something to send take turns, in the order in which they asked. So an agent that reports a hundred
times a second delays each other agent by at most one message. An agent that has nothing to send gets its next turn at
its own deadline.
"""

from __future__ import annotations

import heapq
from itertools import count
from typing import Generic, TypeVar

Agent = TypeVar("Agent")


class Turns(Generic[Agent]):
    """The turns and deadlines of the agents of a stream. Agents are compared by identity. The number of entries is
    bounded by the number of agents."""

    def __init__(self) -> None:
        self._ready: dict[Agent, None] = {}  # a set that keeps the order
        self._due: dict[Agent, float] = {}
        self._times: list[tuple[float, int, Agent]] = []
        self._numbers = count()

    def ask(self, agent: Agent) -> None:
        """Give this agent a turn, after all agents that already wait for a turn."""
        self._ready.setdefault(agent)

    def ask_at(self, agent: Agent, due: float | None) -> None:
        """Give this agent a turn at `due`, because it has nothing to send before. If `due` is None, it gets no turn
        until it asks again."""
        if due is None:
            self._due.pop(agent, None)
        elif self._due.get(agent) != due:
            self._due[agent] = due
            heapq.heappush(self._times, (due, next(self._numbers), agent))
            if len(self._times) > 4 * len(self._due) + 64:
                self._drop_outdated()

    def forget(self, agent: Agent) -> None:
        """Remove an agent that sends nothing more."""
        self._ready.pop(agent, None)
        self._due.pop(agent, None)

    def clear(self) -> None:
        """Remove all agents."""
        self._ready.clear()
        self._due.clear()
        self._times.clear()

    def take(self, now: float) -> Agent | None:
        """Return the agent whose turn it is, and end that turn; None if no agent has a turn now."""
        while self._times and self._times[0][0] <= now:
            due, _, agent = heapq.heappop(self._times)
            if self._due.get(agent) == due:
                del self._due[agent]
                self._ready.setdefault(agent)
        if not self._ready:
            return None
        agent = next(iter(self._ready))
        del self._ready[agent]
        return agent

    def deadline(self, now: float) -> float | None:
        """Return the time of the next turn, as a time of the same clock as `now`. Return None if no agent has a turn
        until an agent asks for one."""
        if self._ready:
            return now
        while self._times and self._due.get(self._times[0][2]) != self._times[0][0]:
            heapq.heappop(self._times)
        return self._times[0][0] if self._times else None

    def _drop_outdated(self) -> None:
        self._times = [entry for entry in self._times if self._due.get(entry[2]) == entry[0]]
        heapq.heapify(self._times)
