"""Which agent of a shared stream a message is for. Decisions only.

Several agents of a process may have one service_id: the newest holds the id, and the older ones learn that they are
superseded. So a message is routed by the instance_id of its registration if it names one, else by service_id and
incarnation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tron_client.protocol.messages import Alert, DeclaredDown, Left, Registered, Rejected, Superseded, UnknownService

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tron_client.protocol.messages import Incoming
    from tron_client.protocol.session import AgentSession


class Members:
    """The agents of a stream, in the order in which they joined."""

    def __init__(self) -> None:
        self._sessions: dict[AgentSession, str] = {}  # each with the id under which it is found
        self._names: dict[AgentSession, str] = {}
        self._by_id: dict[str, dict[AgentSession, None]] = {}
        self._by_instance: dict[str, AgentSession] = {}
        self._instances: dict[AgentSession, str] = {}
        self._departed: set[str] = set()

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[AgentSession]:
        return iter(self._sessions)

    def __contains__(self, session: object) -> bool:
        return session in self._sessions

    def add(self, session: AgentSession, name: str = "") -> None:
        """It joins. An alert may name it by `name`, its service's, if it was not registered when that was sent."""
        self._names[session] = name
        self._list(session)

    def remove(self, session: AgentSession) -> None:
        """It is on the stream no more."""
        self._unlist(session)
        self._sessions.pop(session, None)
        self._names.pop(session, None)
        self._by_instance.pop(self._instances.pop(session, ""), None)

    def stream_opened(self) -> None:
        """A new stream: what was on its way on the one before does not arrive."""
        self._departed.clear()

    def departed(self, service_id: str) -> None:
        """An agent with this id went while messages about it may still be on their way."""
        self._departed.add(service_id)

    def returned(self, service_id: str) -> None:
        """Messages about an agent with this id that went have arrived, or never will."""
        self._departed.discard(service_id)

    def registering(self, session: AgentSession, instance_id: str) -> None:
        """A registration with this instance_id goes out."""
        self._by_instance.pop(self._instances.get(session, ""), None)
        self._instances[session], self._by_instance[instance_id] = instance_id, session

    def registered(self, session: AgentSession) -> None:
        """The registry may have assigned its id."""
        if self._sessions.get(session, session.service_id) != session.service_id:
            self._unlist(session)
            self._list(session)

    def receivers(self, message: Incoming) -> tuple[AgentSession, ...]:
        """The agents that a message about agents is for: usually one; none if it is gone."""
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
            case Registered() | Rejected() | UnknownService() | DeclaredDown():
                return self._newest(message.service_id)
        return ()

    def _newest(self, service_id: str) -> tuple[AgentSession, ...]:
        newest = max(self._by_id.get(service_id, ()), key=lambda each: each.incarnation, default=None)
        return () if newest is None else (newest,)

    def _named(self, name: str) -> tuple[AgentSession, ...]:
        named = [each for each, own in self._names.items() if own == name and each.incarnation]
        return (max(named, key=lambda each: each.incarnation),) if named else ()

    def _superseded(self, message: Superseded) -> tuple[AgentSession, ...]:
        of_id = self._by_id.get(message.service_id, ())
        older = tuple(each for each in of_id if 0 < each.incarnation < message.incarnation)
        if older or message.service_id in self._departed:
            return older
        # No agent holds an older one, so this answers a registration that a newer one has overtaken.
        return tuple(each for each in of_id if not each.incarnation)

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
