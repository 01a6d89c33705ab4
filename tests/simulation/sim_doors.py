"""What agents and TRON find at the registry: the simulated link around the core."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from grid_model.errors import Draining, ReaderTooSlow
from grid_model.verdict import VerdictOutcome, VerdictResult

from registry_server.core.agent_stream import AgentStream
from registry_server.core.columns import Columns
from registry_server.core.effects import EndStream, Message
from registry_server.core.observer_stream import ObserverStream, VerdictCall
from registry_server.core.record import Record
from registry_server.core.service import Report
from registry_server.core.stream_messages import (
    AgentMessage,
    AlertAck,
    BeatAck,
    Beats,
    Drain,
    Goodbye,
    Output,
    Register,
    Registrations,
)
from tests.simulation import words
from tests.simulation.network import DOWN, UP, Connection

if TYPE_CHECKING:
    from tests.simulation.sim_registry import SimRegistry

SWEEP = 0.25
"""Seconds between two looks for acknowledgements that wait; as `HeartbeatStreams.sweep_forever`."""

MAX_IN_FRAME = 3
"""Facts in one message: few, so that small fleets come in several too."""

MOST_IN_FRAME = 4
"""Facts in one frame; likewise."""

FRAMES_UNREAD = 32
"""Frames that fit into the flow-control window of an observer that does not read."""


@dataclass(slots=True)
class Stream:
    """A Heartbeat stream on the simulated link."""

    connection: Connection
    agent: AgentStream
    arrived_at: float
    """When something last came on it, in attentive seconds."""
    drained_until: float = float("-inf")

    @property
    def session_id(self) -> int:
        """Its number."""
        return self.agent.session_id

    @property
    def is_left_behind(self) -> bool:
        """Whether the client closed its end: what arrives now was sent before, perhaps over another network."""
        return not self.connection.open[DOWN]


class Heartbeats:
    """The streams of agents: the link around `core.agent_stream`, as `grpc_heartbeat` is the wire around it."""

    def __init__(self, registry: SimRegistry) -> None:
        self._registry = registry
        self._streams: dict[int, Stream] = {}
        self._awake: dict[int, None] = {}

    def open(self, connection: Connection, word: object) -> None:
        """A stream begins with this word."""
        registry = self._registry
        session_id = registry.next_id()
        registry.core.open_session(session_id)
        agent = AgentStream(
            registry.core,
            registry.commits,
            session_id,
            read_report,
            owes=lambda: None,
            wake=lambda: self._awake.setdefault(session_id),
            broken=self._broken,
        )
        stream = self._streams[session_id] = Stream(connection, agent, registry.now().attentive)
        connection.on_message[UP] = partial(self._receive, stream)
        connection.on_end[UP] = partial(self._ended, stream)
        self._receive(stream, word)

    def streams(self) -> list[Stream]:
        """All that are open."""
        return list(self._streams.values())

    def evict(self, service_id: str) -> None:
        """The agent read too slowly: we end its stream."""
        record = self._registry.core.records.get(service_id)
        stream = None if record is None or record.session is None else self._streams.get(record.session)
        if stream is not None:
            stream.agent.end(ReaderTooSlow("too much waits to be read"))
            self._write()

    def say(self, session_id: int, message: Message | EndStream) -> None:
        """A message for a stream, which is on disk by now."""
        registry, stream = self._registry, self._streams.get(session_id)
        if stream is None:
            return
        if isinstance(message, EndStream):
            registry.observer.say(f"registry ends a silent stream with {message.services} services")
        stream.agent.push(message)
        self._write()

    def sweep(self) -> None:
        """Acknowledge what waits for it."""
        for stream in self._streams.values():
            stream.agent.flush_ack(self._registry.loop.now)
        self._write()

    def drain(self, reconnect_after: float) -> None:
        """All clients are asked to leave."""
        now = self._registry.now()
        for stream in self._streams.values():
            stream.drained_until = now.attentive + reconnect_after
            stream.agent.drain(reconnect_after, now)
        self._write()

    def _write(self) -> None:
        """As the writers of `grpc_heartbeat`: write what waits, and end what must end."""
        awake, self._awake = self._awake, {}
        for session_id in awake:
            stream = self._streams.get(session_id)
            if stream is None:
                continue
            while (output := stream.agent.next_output()) is not None:
                self._send(stream.connection, output)
                stream.agent.written(output)
            if stream.agent.failure is not None:
                self._ended(stream)
                stream.connection.close(UP, stream.agent.failure)
        if self._awake:
            self._write()

    def _send(self, connection: Connection, output: Output) -> None:
        if isinstance(output, Registrations):
            for each in output.registered:
                self._send(connection, each)
        elif isinstance(output, BeatAck):
            connection.down(words.BeatAck(output.sequence))
        elif isinstance(output, Drain):
            connection.down(words.Drain(output.reconnect_after))
        else:
            self._registry.observer.told(output)
            connection.down(output)

    def _ended(self, stream: Stream, _: Exception | None = None) -> None:
        """As `RegistryLoop.close_session`."""
        registry, session_id = self._registry, stream.agent.session_id
        if self._streams.pop(session_id, None) is not None:
            now = registry.now()
            if stream.agent.failure is not None or registry.draining or now.attentive <= stream.drained_until:
                records = registry.core.records.values()
                registry.observer.we_ended([each for each in records if each.session == session_id])
            if registry.draining:
                registry.core.end_session(session_id, Draining.reason)
            registry.core.stream_ended(session_id, now)
            while registry.core.detaches:
                record = registry.core.detach_next()
                self._broken([] if record is None else [record])
            registry.flush_inline()

    def _broken(self, records: list[Record]) -> None:
        """As `RegistryLoop.broken`."""
        registry = self._registry
        registry.observer.streams_broke(records)
        registry.upkeep.streams_broke(records, registry.now(), registry.loop.now)

    def _receive(self, stream: Stream, word: Any) -> None:
        """One message, and what the observer makes of it."""
        registry, process = self._registry, stream.connection.ends[DOWN]
        if isinstance(word, words.BeatInColumns):
            self._receive_columns(stream, word)
            return
        before = registry.core.records.get(_service_id(word))
        observation = None if before is None else before.observation
        now = registry.now()
        stream.arrived_at = now.attentive
        if isinstance(word, words.Beat | words.Register) and not stream.is_left_behind:
            registry.observer.spoke(process)
        stream.agent.receive(to_message(word), now, registry.loop.now, draining=registry.draining)
        after = registry.core.records.get(_service_id(word))
        if isinstance(word, words.Goodbye):
            if before is not None and after is None:
                registry.observer.said_goodbye(before, process)
        elif after is not None and (after is not before or after.observation != observation):
            if isinstance(word, words.Register):
                registry.observer.registered(registry.core.view(after), process)
            else:
                registry.observer.heard(after, process)
        registry.flush()
        self._write()

    def _receive_columns(self, stream: Stream, word: words.BeatInColumns) -> None:
        """As `_receive`: whichever services count as heard, the process must hold them."""
        registry, process = self._registry, stream.connection.ends[DOWN]
        before = {service_id: record.observation for service_id, record in registry.core.records.items()}
        now = registry.now()
        stream.arrived_at = now.attentive
        if not stream.is_left_behind:
            registry.observer.spoke(process)
        stream.agent.receive(to_message(word), now, registry.loop.now, draining=registry.draining)
        for service_id, record in registry.core.records.items():
            if record.observation != before.get(service_id):
                registry.observer.heard(record, process)
        registry.flush()
        self._write()


def to_message(word: Any) -> AgentMessage:
    """A word of the simulated link, for the core."""
    match word:
        case words.Beat():
            return Beats((word,), ack_requested=word.ack_requested)
        case words.BeatInColumns():
            figures = {} if word.activity is None else {"activity": (word.activity,)}
            columns = Columns((word.incarnation,), word.sequence, figures)
            return Beats((), ack_requested=word.ack_requested, columns=columns)
        case words.Register(spec, incarnation, instance_id):
            return Register(spec, incarnation, instance_id)
        case words.Ack(alert_ids):
            return AlertAck(alert_ids)
        case words.Goodbye(service_id, reason):
            return Goodbye(service_id, reason)
    raise TypeError(f"not a word of an agent: {word!r}")


def read_report(beat: Any, before: Report, *, replaces_figures: bool) -> Report:
    """What a simulated beat reports; it always says everything."""
    assert not replaces_figures
    report: Report = beat.report
    return report if report is not None else before


def _service_id(word: Any) -> str:
    return word.spec.service_id if isinstance(word, words.Register) else getattr(word, "service_id", "")


@dataclass(slots=True)
class Observing:
    """TRON's stream of facts."""

    connection: Connection
    stream: ObserverStream
    unread: int = 0
    waiting: bool = False


class Observers:
    """TRON's two doors, as `grpc_observer`."""

    def __init__(self, registry: SimRegistry) -> None:
        self._registry = registry
        self._observing: dict[int, Observing] = {}

    def open(self, connection: Connection, word: words.Observe) -> None:
        """An observer listens from now on."""
        registry = self._registry
        stream = ObserverStream(
            registry.core,
            registry.commits,
            registry.next_id(),
            word.observer,
            max_in_frame=MAX_IN_FRAME,
            most_in_frame=MOST_IN_FRAME,
        )
        observing = self._observing[stream.feed_id] = Observing(connection, stream)
        connection.on_message[UP] = partial(self._apply, observing)
        connection.on_end[UP] = partial(self._ended, observing)
        self._tell(observing)

    def read(self, connection: Connection) -> None:
        """The observer took a frame from its socket, so that there is room for one more."""
        for observing in self._observing.values():
            if observing.connection is connection:
                observing.unread -= 1
                if observing.waiting and self._registry.up and not self._registry.paused:
                    self._tell(observing)
                return

    def wake(self, *, urgent: bool) -> None:
        """Tell everyone what is new, as their pacing allows; `urgent`: only what must not wait for the tick."""
        now = self._registry.now().attentive
        for observing in self._observing.values():
            if self._registry.core.feed_is_due(observing.stream.feed_id, now, tick=not urgent):
                self._tell(observing)

    def _ended(self, observing: Observing, _: Exception | None = None) -> None:
        feed_id = observing.stream.feed_id
        if self._observing.pop(feed_id, None) is not None:
            self._registry.core.close_feed(feed_id, self._registry.now())

    def _tell(self, observing: Observing) -> None:
        """As `ObserverService.observe`."""
        observing.waiting = observing.unread >= FRAMES_UNREAD
        if observing.waiting:
            return
        registry, clock = self._registry, self._registry.clock
        for frame in observing.stream.frame(registry.now(), lambda: clock.hears_since(registry.loop.now)):
            observing.unread += 1
            observing.connection.down(frame)

    def _apply(self, observing: Observing, word: words.ApplyVerdicts) -> None:
        """As `ObserverService.apply`."""
        registry = self._registry
        call = VerdictCall(registry.core, word.observer)
        now, records = registry.now(), registry.core.records
        results: list[VerdictResult] = []
        for verdict in word.verdicts:
            before = records.get(verdict.service_id)
            result = call.apply(verdict, now)
            results.append(result)
            if result.outcome is VerdictOutcome.APPLIED and before is not None:
                registry.observer.judged(before, verdict)
        for copy in word.copies:
            call.notify(copy, now)
        for suspicion in word.standing:
            call.preauthorize(suspicion)
        call.defer(word.deadlines)
        call.finish(
            word.withdrawn,
            now,
            held=word.standing_held,
            cascade_alert_id=word.cascade_alert_id,
            until=word.judged_until,
            idle_until=word.idle_until,
        )
        answer = partial(observing.connection.down, words.VerdictsApplied(word.call, tuple(results)))
        if word.verdicts or word.copies:
            registry.flush_inline(answer)
        else:
            registry.flush()
            answer()
