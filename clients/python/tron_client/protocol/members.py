"""Finds the agent of a shared stream for which a message is meant. This module does no I/O.

Several agents of a process may have the same service_id: the newest agent holds the id, and the registry notifies the
older agents that they are superseded. So the receiver of a message is found by the instance_id of its registration if
the message contains an instance_id, else by service_id and incarnation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tron_client.protocol.answers import Alert, DeclaredDown, Left, Registered, Rejected, Superseded, UnknownService

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tron_client.protocol.answers import Incoming
    from tron_client.protocol.session import AgentSession


class Members:
    """The agents of a stream, in the order in which they joined."""

    def __init__(self) -> None:
        self._sessions: dict[AgentSession, str] = {}  # each with the id under which it is found
        self._names: dict[AgentSession, str] = {}
        self._by_id: dict[str, dict[AgentSession, None]] = {}
        self._by_instance: dict[str, AgentSession] = {}
        self._instances: dict[AgentSession, str] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[AgentSession]:
        return iter(self._sessions)

    def __contains__(self, session: object) -> bool:
        return session in self._sessions

    def add(self, session: AgentSession, name: str = "") -> None:
        """Add an agent. `name` is the name of its service, because an alert that was sent before the registration may
        be addressed to this name."""
        self._names[session] = name
        self._list(session)

    def name_of(self, session: AgentSession) -> str:
        """Return the name of an agent's service."""
        return self._names.get(session, "")

    def remove(self, session: AgentSession) -> None:
        """Remove an agent that this stream no longer carries."""
        self._unlist(session)
        self._sessions.pop(session, None)
        self._names.pop(session, None)
        self._by_instance.pop(self._instances.pop(session, ""), None)

    def registering(self, session: AgentSession, instance_id: str) -> None:
        """Record that a registration of this agent with this instance_id is being sent."""
        self._by_instance.pop(self._instances.get(session, ""), None)
        self._instances[session], self._by_instance[instance_id] = instance_id, session

    def registered(self, session: AgentSession) -> None:
        """Update the service id under which an agent is found, because the registry may have assigned the id."""
        if self._sessions.get(session, session.service_id) != session.service_id:
            self._unlist(session)
            self._list(session)

    def receivers(self, message: Incoming) -> tuple[AgentSession, ...]:
        """Return the agents for which a message is meant: usually one, none if that agent has left the stream."""
        match message:
            case Registered() | Rejected() if message.instance_id:
                found = self._by_instance.get(message.instance_id)
                return () if found is None else (found,)
            case Superseded():
                return self._superseded(message)
            case Left():
                of_id = self._by_id.get(message.service_id, ())
                return tuple(each for each in of_id if each.incarnation == message.incarnation)
            case Alert():
                return self._newest(message.recipient) or self._named(message.recipient)
            case UnknownService() if message.incarnation:
                return tuple(each for each in self if each.incarnation == message.incarnation)
            case UnknownService():
                return self._waiting(message.service_id) or self._newest(message.service_id)
            case Registered() | Rejected() | DeclaredDown():
                return self._newest(message.service_id)
        return ()

    def _newest(self, service_id: str) -> tuple[AgentSession, ...]:
        of_id = self._by_id.get(service_id, ())
        return tuple(of_id) if len(of_id) < 2 else (max(of_id, key=lambda each: each.incarnation),)

    def _named(self, name: str) -> tuple[AgentSession, ...]:
        named = [each for each, own in self._names.items() if own == name and each.incarnation]
        return (max(named, key=lambda each: each.incarnation),) if named else ()

    def _waiting(self, service_id: str) -> tuple[AgentSession, ...]:
        """Return the first agent that waits for the answer to a goodbye, or that re-attaches."""
        of_id = self._by_id.get(service_id, ())
        leaving = tuple(each for each in of_id if each.goodbye_sent)
        return (leaving or tuple(each for each in of_id if each.incarnation and each.unanswered))[:1]

    def _superseded(self, message: Superseded) -> tuple[AgentSession, ...]:
        of_id = self._by_id.get(message.service_id, ())
        older = tuple(each for each in of_id if 0 < each.incarnation < message.incarnation)
        # If no agent holds an older one, this may answer a registration that a newer one has overtaken: the first of
        # those that wait, because answers come in order.
        return older or tuple(each for each in of_id if each.may_be_overtaken)[:1]

    def _list(self, session: AgentSession) -> None:
        self._sessions[session] = session.service_id
        self._by_id.setdefault(session.service_id, {})[session] = None

    def _unlist(self, session: AgentSession) -> None:
        service_id = self._sessions.get(session)
        of_id = None if service_id is None else self._by_id.get(service_id)
        if service_id is not None and of_id is not None:
            of_id.pop(session, None)
            if not of_id:
                del self._by_id[service_id]
