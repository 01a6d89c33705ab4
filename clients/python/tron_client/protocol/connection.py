"""Decides which stream carries which agent: one `Connection` serves all agents of the process with equal Endpoints.

Agents share a stream up to a limit, then further agents share a second stream. If the registry does not offer shared
streams, each agent has a stream of its own, as does an agent with `own_stream`.
"""

from __future__ import annotations

import threading
import uuid
import weakref
from typing import TYPE_CHECKING

from tron_client import forks
from tron_client.callback_pool import CallbackPool, Lane
from tron_client.endpoint import AGENTS_PER_STREAM, CALLBACK_THREADS, Endpoint
from tron_client.protocol.thread_transport import ThreadTransport

if TYPE_CHECKING:
    from tron_client.address import Address
    from tron_client.protocol.agent_transport import AgentTransport


class Connection:
    """The streams to one Endpoint, the lock that guards their agents, and the threads that call the programs'
    callbacks."""

    def __init__(self, address: Address, *, shared: bool) -> None:
        self.lock = threading.RLock()
        self.address = address
        self._shared = shared
        self._most = address.agents_per_stream if isinstance(address, Endpoint) else AGENTS_PER_STREAM
        threads = address.callback_threads if isinstance(address, Endpoint) else CALLBACK_THREADS
        self._pool = CallbackPool(threads if shared else 2)
        self._streams: list[ThreadTransport] = []
        self._offered: bool | None = None
        self._forks = forks.depth()
        forks.watch(self)

    def lane(self) -> Lane:
        """Return a new lane: a queue for callbacks of one agent, which run one after the other."""
        return Lane(self._pool)

    def carry(self, agent: AgentTransport) -> None:
        """Carry the agent on a stream that has room, or on a new one. The caller must hold the lock."""
        stream = next((each for each in self._streams if self._has_room(each)), None)
        if stream is None:
            stream = ThreadTransport(self, _process_id() if self._shared else "")
            self._streams.append(stream)
            stream.add(agent)
            stream.start()
        else:
            stream.add(agent)

    def carry_alone(self, agent: AgentTransport) -> None:
        """Carry the agent on a stream of its own, because the registry does not offer shared streams. The caller must
        hold the lock."""
        self._offered = False
        self.carry(agent)

    def opened(self, stream: ThreadTransport) -> None:
        """Record a new stream, to which agents of another stream are moving. The caller must hold the lock."""
        self._streams.append(stream)

    def ended(self, stream: ThreadTransport) -> None:
        """Record that the stream carries no agent any more. The caller must hold the lock."""
        if stream in self._streams:  # one to which no agent has moved was never counted
            self._streams.remove(stream)

    def after_fork(self) -> None:
        """Drop the streams and the threads in a forked child, because they belong to the parent process."""
        if self._forks == forks.depth():
            return
        self._forks = forks.depth()
        self.lock = threading.RLock()
        for stream in self._streams:
            stream.forget()
        self._streams = []
        self._pool.after_fork()

    def _has_room(self, stream: ThreadTransport) -> bool:
        if not self._shared or len(stream) >= self._most:
            return False
        return stream.offered is True or (stream.offered is None and self._offered is not False)


class _Connections:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.by_endpoint: weakref.WeakValueDictionary[object, Connection] = weakref.WeakValueDictionary()
        self.process = (forks.depth(), uuid.uuid4().hex)

    def after_fork(self) -> None:
        self.lock = threading.Lock()


_connections = _Connections()
forks.watch(_connections)


def connection_to(address: Address, *, own_stream: bool) -> Connection:
    """Return the connection for an agent: the one that all agents with an equal Endpoint share, or, with `own_stream`,
    a new one for this agent alone."""
    if own_stream:
        return Connection(address, shared=False)
    if not _is_hashable(address):
        return Connection(address, shared=True)
    with _connections.lock:
        found = _connections.by_endpoint.get(address)
        if found is None:
            found = _connections.by_endpoint[address] = Connection(address, shared=True)
        return found


def _is_hashable(address: Address) -> bool:
    """Return whether an endpoint can be a key: an interceptor of the program may have no hash."""
    try:
        hash(address)
    except TypeError:
        return False
    return True


def _process_id() -> str:
    """Return the random string that identifies this process on all its streams."""
    if _connections.process[0] != forks.depth():
        _connections.process = (forks.depth(), uuid.uuid4().hex)
    return _connections.process[1]
