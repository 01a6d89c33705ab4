"""Moves the agents of a stream that is about to end to the next stream, while both are open. This module does no I/O.

One agent moves first. The other agents follow once the registry has confirmed the registration of the first agent on
the next stream. If the next stream cannot register an agent in time, this agent returns to the former stream and
registers there again. The former stream stays open until no agent needs it. So the heartbeats of an agent pause only
while a registration of this agent is in progress.

The registry assigns an agent to the stream on which the agent registered last, with the same incarnation. After that,
nothing that happens on the former stream, not even its end, counts for the agent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tron_client.protocol.session import AgentSession
    from tron_client.protocol.shared_stream import SharedStream

REGISTERED_WITHIN = 5.0
"""Seconds after which an agent that is not registered on the next stream returns to the former one. An agent whose
heartbeats are due more often than this may be suspected meanwhile; but the registry is connected, so it usually answers
within milliseconds."""


class Handover:
    """One attempt to move the agents of a stream to the next stream. `begin`, `advance` and `give_back` return the
    agents that they moved, so that the transport can also move these agents in its own tables."""

    def __init__(self, former: SharedStream, following: SharedStream) -> None:
        """Prepare the move from the stream `former` to the stream `following`, which carries no agent yet."""
        self._former, self._following = former, following
        self._awaited: set[AgentSession] = set()
        """The agents that were registered on the former stream, and so must be registered on the next one."""
        self.first_registered = False
        """Whether the next stream has registered the first agent, so that the others may follow."""
        former.held = True

    def begin(self) -> tuple[AgentSession, ...]:
        """Move the first agent, which must be registered, to the next stream."""
        first = next((each for each in self._former.sessions if each.movable and each.confirmed), None)
        return () if first is None else self._move([first])

    def advance(self) -> tuple[AgentSession, ...]:
        """Move the other agents once the first one is registered on the next stream. Call this after each message on
        either stream."""
        if not self.first_registered:
            alone = not self._former.sessions  # its own stream is not shared
            known = self._following.offered is True or alone
            self.first_registered = known and all(each.confirmed for each in self._following.sessions)
        return self._move([each for each in self._former.sessions if each.movable]) if self.first_registered else ()

    @property
    def complete(self) -> bool:
        """Whether the former stream carries no agent any more, and the next stream has registered every agent that was
        registered on the former one."""
        if not self.first_registered or self._former.sessions:
            return False
        return all(each.confirmed for each in self._following.sessions if each in self._awaited)

    def finish(self) -> None:
        """Allow the former stream to end when it carries no agent any more."""
        self._former.held = False

    def give_back(self) -> tuple[AgentSession, ...]:
        """End the attempt: the agents that the next stream did not register return to the former stream."""
        returning = tuple(each for each in self._following.sessions if not each.confirmed and not each.over)
        for each in returning:
            self._following.hand_over(each, self._former)
        self.finish()
        return returning

    def _move(self, sessions: list[AgentSession]) -> tuple[AgentSession, ...]:
        self._awaited.update(each for each in sessions if each.confirmed)
        for each in sessions:
            self._former.hand_over(each, self._following)
        return tuple(sessions)
