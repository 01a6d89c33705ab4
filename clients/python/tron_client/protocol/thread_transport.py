"""Runs a `SharedStream` over gRPC and threads: it moves bytes, holds a lock and a channel, and makes no decisions.

One worker thread opens the stream and reads. A thread of grpc takes the messages that are due, so heartbeats are sent
even while the threads of the program are busy. Whenever a stream ends, the worker asks the `SharedStream` whether and
when to open the next one.
"""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol

import grpc
from grid.registry.v1 import heartbeat_pb2, registry_service_pb2_grpc

from tron_client import forks
from tron_client.errors import from_rpc_error
from tron_client.outages import OUTAGES
from tron_client.protocol import codec, happened, stream_log
from tron_client.protocol.agent_channel import AgentChannel
from tron_client.protocol.agent_transport import Streams
from tron_client.protocol.answers import Alert, BeatAck
from tron_client.protocol.happened import Stop
from tron_client.protocol.messages import Beats
from tron_client.protocol.shared_stream import SharedStream
from tron_client.protocol.stream_move import StreamMove

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tron_client.address import Address
    from tron_client.errors import TronError
    from tron_client.protocol.agent_transport import AgentTransport, Call
    from tron_client.protocol.happened import Happened
    from tron_client.protocol.messages import OutgoingShared
    from tron_client.protocol.session import AgentSession
    from tron_client.protocol.shared_stream import Told
    from tron_client.protocol.stream_move import MovingStream
    from tron_client.reachability import Answer

_DRAIN_PATIENCE = 0.5
"""Seconds that a draining registry may take to end a stream that we half-closed."""
_FIRST_PATIENCE, _LATER_PATIENCE = 0.8, 5.0
"""Seconds without a registration after which the SDK looks for the cause: for the first stream, and after a stream that
broke."""

Events = list[tuple["AgentTransport", "Sequence[Happened]"]]
"""Pairs of an agent and the outcomes for it."""


class AllStreams(Streams, Protocol):
    """All streams to one Endpoint. The caller must hold the lock."""

    def carry_alone(self, agent: AgentTransport) -> None:
        """Carry the agent on a stream of its own, because the registry does not offer shared streams."""

    def opened(self, stream: ThreadTransport) -> None:
        """Record a new stream, to which agents of another stream are moving."""

    def ended(self, stream: ThreadTransport) -> None:
        """Record that the stream carries no agent any more."""


class ThreadTransport:
    """Runs a stream for the agents that are added, until no agent is left. The caller must hold the lock to add, poke
    or abandon an agent."""

    def __init__(self, connection: AllStreams, process: str) -> None:
        """`process` is a random string that is the same for all streams of the process; if it is empty, the stream is
        not shared."""
        self._connection = connection
        self._process = process
        self.address: Address = connection.address
        self.changed = threading.Condition(connection.lock)
        """Notified when there is something to send, or no agent is left."""
        self.stream = SharedStream(process)
        self._agents: dict[AgentSession, AgentTransport] = {}
        self._waits: list[int] = []
        self._channel = AgentChannel(self.address)
        self._streams = 0
        self._call: Any = None
        self._broken_off = False
        self._move: StreamMove | None = None
        """Moves the agents to the next stream; None until the registry has asked for it."""
        self._beside: StreamMove | None = None
        """Moves agents to this stream; None once it has ended."""
        self.over = False
        """Whether no agent is left, and no agent can be added any more."""
        self._worker = threading.Thread(target=self._run, name="tron-stream", daemon=True)

    def __len__(self) -> int:
        return len(self._agents)

    @property
    def offered(self) -> bool | None:
        """Whether the registry offers shared streams; None while that is unknown."""
        return self.stream.offered

    def start(self) -> None:
        """Start the worker thread."""
        self._worker.start()

    def join(self, timeout: float) -> None:
        """Wait until the worker thread has ended, for at most `timeout` seconds."""
        if self._worker.ident is not None and threading.current_thread() is not self._worker:
            self._worker.join(max(0.0, timeout))

    def add(self, agent: AgentTransport) -> None:
        """Carry this agent from now on."""
        self._agents[agent.session] = agent
        agent.carried(self)
        self.stream.join(agent.session, agent.name)
        if self._streams and self.stream.offered is not True:
            self._look_for_causes(_FIRST_PATIENCE)
        self.changed.notify_all()

    def poke(self, agent: AgentTransport) -> None:
        """Send the messages that this agent's session has to send."""
        self.stream.poke(agent.session)
        self.changed.notify_all()

    def abandon(self, agent: AgentTransport) -> Call | None:
        """Stop carrying this agent, without a goodbye. Return the gRPC call that must be cancelled, or None."""
        if agent.session not in self._agents:
            return None
        break_off = self.stream.abandon(agent.session)
        self._remove(agent)
        self._broken_off = self._broken_off or break_off
        return self._call if break_off or self.over else None

    def forget(self) -> None:
        """Drop the stream in a forked child, because it belongs to the parent process."""
        forks.keep(self._call, self._move)
        self._channel.forget()

    # --- the worker -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        delay = 0.0
        try:
            while True:
                with self.changed:
                    if self.changed.wait_for(lambda: self.over, delay):
                        return
                    # Its agents are on the next stream, and may come back.
                    self.changed.wait_for(lambda: self.over or self._agents)
                delay = self._hold_stream()
        finally:
            with self.changed:
                agents = tuple(self._agents.values())
                for agent in agents:
                    self._remove(agent)
            for agent in agents:
                agent.finish()
            self._channel.close()

    def _hold_stream(self) -> float:
        """Open one stream and read it to its end; return the seconds until the next one should be opened."""
        error: TronError | None = None
        try:
            self._read()
        except grpc.RpcError as failed:
            error = None if self._broken_off else from_rpc_error(failed, self.address)
        except Exception:
            if not self.over:
                stream_log.failed(",".join(agent.service_id for agent in tuple(self._agents.values())))
        with self.changed:
            self._call = None
            self._stop_moving()
            end = self.stream.stream_ended(codec.stream_error(error), time.monotonic(), random.random())
            outcomes = [(self._agents[session], then) for session, then in end.agents]
            for agent, then in outcomes:
                if isinstance(then, Stop):
                    self._remove(agent)
                agent.notify()
            self.changed.notify_all()
        for agent, then in outcomes:
            stream_log.ended(agent.service_id, self.address, then, error)
            if isinstance(then, Stop):
                agent.handle(() if then.because is None else (then.because,))
                agent.finish()
        return end.delay or 0.0

    def _read(self) -> None:
        with self.changed:
            if self.over:
                return
            channel = self._channel.open()
            self._broken_off = False
            self.stream.stream_opened()
            self._streams += 1
            stub = registry_service_pb2_grpc.RegistryServiceStub(channel)
            # Waits for the connection: the channel tries at most 2 s apart, and a refusal would only add our own wait.
            call = stub.Heartbeat(self._requests(self._streams), wait_for_ready=True)
            self._call = call
            known = any(session.incarnation for session in self._agents)
            if self._beside is None:
                self._look_for_causes(_LATER_PATIENCE if known else _FIRST_PATIENCE)
        try:
            for response in call:
                self._receive(response)
                if self.over:
                    return
        finally:
            self._stop_looking()
            call.cancel()

    def _receive(self, response: heartbeat_pb2.HeartbeatResponse) -> None:
        for message in codec.decode_all(response):
            with self.changed:
                events = self._agents_of(self.stream.receive(message, time.monotonic(), random.random()))
                if type(message) is BeatAck:
                    return
                # An alert has nothing sent before the program has handled it: the thread that sends must not delay it.
                if type(message) is not Alert:
                    self.changed.notify_all()
                    self._move_if_asked()
            self._handle(events)

    # --- what goes up -----------------------------------------------------------------------------------------------

    def _requests(self, stream: int) -> Iterator[heartbeat_pb2.HeartbeatRequest]:
        """Yield the messages of one stream. gRPC asks for the next message once the previous one has been sent."""
        while (message := self._next_message(stream)) is not None:
            senders = message.senders if isinstance(message, Beats) else ()
            agents = [self._agents.get(session) for session in senders]
            yield from codec.encode_all(message, [None if agent is None else agent.loop_lag() for agent in agents])

    def _next_message(self, stream: int) -> OutgoingShared | None:
        """Wait for the next message; return None if this stream sends no more."""
        message: OutgoingShared | None = None
        going_on = True
        while message is None and going_on:
            with self.changed:
                now = time.monotonic()
                if stream != self._streams:
                    return None
                message = self.stream.next_message(now)
                events = self._agents_of(self.stream.take_told())
                dead, going_on = self.stream.is_dead, self.stream.sending
                if message is None and going_on and not events:
                    deadline = self.stream.deadline(now)
                    self.changed.wait(None if deadline is None else deadline - now)
            self._handle(events)
            if dead:
                self._break_connection()
        return message

    # --- what happened ----------------------------------------------------------------------------------------------

    def _agents_of(self, told: Told) -> Events:
        """Return the agents to which this happened. Agents that are over are removed from the stream."""
        events: Events = []
        for session, each in told:
            agent = self._agents.get(session)
            if agent is not None:
                events.append((agent, each))
                if session.over:
                    self._remove(agent)
                elif any(isinstance(event, happened.SharingNotOffered) for event in each):
                    self._remove(agent)
                    self._connection.carry_alone(agent)
                agent.notify()
        return events

    def _handle(self, events: Events) -> None:
        for agent, each in events:
            agent.handle(each)
            for event in each:
                match event:
                    case happened.RegistrationConfirmed() if event.first:
                        self._stop_looking()
                    case happened.DrainBegan() if agent is events[0][0]:
                        self._cancel_soon(self._call)
            if agent.session.over:
                agent.finish()

    def _remove(self, agent: AgentTransport) -> None:
        del self._agents[agent.session]
        self.stream.leave(agent.session)
        agent.carried(None)
        if not self.stream.held:
            self._end_if_empty()
        self.changed.notify_all()

    def _end_if_empty(self) -> None:
        if not self._agents and not self.over:
            self.over = True
            self._connection.ended(self)

    def _break_connection(self) -> None:
        """Break the stream, because the registry does not answer on it, and do not use its connection again."""
        with self.changed:
            call = self._call
        self._channel.give_up()
        if call is not None:
            call.cancel()

    @staticmethod
    def _cancel_soon(call: Call) -> None:
        """Cancel a call that was half-closed, in case the registry does not end it."""
        timer = threading.Timer(_DRAIN_PATIENCE, call.cancel)
        timer.daemon = True
        timer.start()

    # --- the next stream --------------------------------------------------------------------------------------------

    def _move_if_asked(self) -> None:
        renewal = self.stream.renewal
        if renewal is not None and (self._move is None or not self._move.running) and self._agents:
            self.stream.renewal = None
            self._move = StreamMove(self, renewal)
            self._move.start()

    def _stop_moving(self) -> None:
        """Stop all moves, because the stream has ended: agents that were moving to this stream, and are not registered
        here, return."""
        if self._move is not None:
            self._move.stop()
        if self._beside is not None:
            self._beside.give_back()
            self._beside = None
            self._end_if_empty()

    def may_renew(self) -> bool:
        """Return whether the next stream may use another credential."""
        return self._channel.may_renew()

    def following(self) -> ThreadTransport:
        """Create the next stream, on a new connection that is not open yet, and return it. If several streams leave the
        same connection, their next streams share the new connection."""
        self._channel.give_up()
        return ThreadTransport(self._connection, self._process)

    def connect(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for the connection; return whether it is open. If it is not, the channel is
        closed."""
        try:
            with self.changed:
                self._channel.open()
            if self._channel.wait_ready(timeout):
                return True
        except ValueError:
            pass  # the files are being written
        self._channel.close()
        return False

    def start_beside(self, move: StreamMove) -> None:
        """Open this stream while the former one is still open; `move` moves agents to it. The caller must hold the
        lock."""
        self._beside = move
        self._connection.opened(self)
        self.start()

    def pass_on(self, sessions: Iterable[AgentSession], to: MovingStream) -> None:
        """Transfer these agents, which the `SharedStream` has handed over, to the transport `to`. The caller must hold
        the lock."""
        assert isinstance(to, ThreadTransport)
        for session in sessions:
            to.take_up(self._agents.pop(session))
        self.changed.notify_all()

    def take_up(self, agent: AgentTransport) -> None:
        """Carry an agent that was transferred from another stream. The caller must hold the lock."""
        self._agents[agent.session] = agent
        agent.carried(self)
        self.changed.notify_all()

    def wind_up(self) -> None:
        """End the stream if it carries no agent. The caller must hold the lock."""
        if self._agents:
            return
        self._end_if_empty()
        if self._worker.ident is None:
            self._channel.close()  # it was never opened
        if self._call is not None:
            self._cancel_soon(self._call)
        self.changed.notify_all()

    # --- why there is no registration -------------------------------------------------------------------------------

    def _look_for_causes(self, patience: float) -> None:
        self._waits.append(OUTAGES.begin(self.address, self._found, patience))

    def _stop_looking(self) -> None:
        with self.changed:
            waits, self._waits = self._waits, []
        for number in waits:
            OUTAGES.end(number)

    def _found(self, answer: Answer) -> None:
        words = answer.words if answer.kind != "grpc" else f"{answer.words}, and the registration has no answer yet"
        with self.changed:
            hindered = [agent for session, agent in self._agents.items() if session.hindered(words)]
        for agent in hindered:
            stream_log.not_connected(agent.service_id, self.address, words)
