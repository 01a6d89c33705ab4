"""Moves the agents of a stream that is about to end to the next one, which is open beside it. Decisions only.

One agent goes first, while the others go on where they are: only once the registry has answered its registration do
they follow. An agent that the next stream cannot register in time returns, and registers on the former stream again,
which stays open until no agent needs it. So an agent sends no heartbeats only while its registration is on its way.

The registry follows an agent to the stream on which it registered last, with the incarnation that it holds, and what
the former stream says or how it ends then says nothing about the agent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tron_client.protocol.session import AgentSession
    from tron_client.protocol.shared_stream import SharedStream

REGISTERED_WITHIN = 5.0
"""Seconds after which an agent that is not registered on the next stream returns to the former one. An agent whose
heartbeats are due more often than this may be suspected meanwhile; the registry is connected, so it commonly answers
within milliseconds."""


class Handover:
    """One attempt. Each method returns the agents that it moved; a transport's own tables follow them."""

    def __init__(self, former: SharedStream, following: SharedStream) -> None:
        """`following`: the next stream, which carries no agent yet."""
        self._former, self._following = former, following
        self._awaited: set[AgentSession] = set()
        """The agents that were registered, and so must be registered again."""
        self.first_registered = False
        """Whether the next stream has registered the first agent, and takes up new ones."""
        former.held = True

    def begin(self) -> tuple[AgentSession, ...]:
        """Move the first agent: one that is registered."""
        first = next((each for each in self._former.sessions if each.movable and each.confirmed), None)
        return () if first is None else self._move([first])

    def advance(self) -> tuple[AgentSession, ...]:
        """Move the others once the first is registered. Call it after each message on either stream."""
        if not self.first_registered:
            alone = not self._former.sessions  # its own stream is not shared
            known = self._following.offered is True or alone
            self.first_registered = known and all(each.confirmed for each in self._following.sessions)
        return self._move([each for each in self._former.sessions if each.movable]) if self.first_registered else ()

    @property
    def complete(self) -> bool:
        """Whether the former stream carries no agent any more, and each that was registered there is so on the next."""
        if not self.first_registered or self._former.sessions:
            return False
        return all(each.confirmed for each in self._following.sessions if each in self._awaited)

    def finish(self) -> None:
        """Let the former stream end, because the attempt is complete."""
        self._former.held = False

    def give_back(self) -> tuple[AgentSession, ...]:
        """End the attempt: the agents that the next stream did not register return."""
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
