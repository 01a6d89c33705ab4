"""Agents of two processes on shared streams against the registry's core, in random order: each is what it should be.

The real `SharedStream`, `AgentSession`, `AgentStream` and `Registry` talk over links that delay and break. Agents join,
often with an id that another one has, say goodbye and are abandoned; some register with an id that is refused; services
are deregistered, alerts published.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from tron_client.protocol import answers, happened, messages
from tron_client.protocol.members import Members
from tron_client.protocol.session import AgentSession
from tron_client.protocol.shared_stream import SharedStream

from registry_server.core import agent_stream, effects, stream_messages
from registry_server.core.columns import Columns
from registry_server.core.commits import Commits
from registry_server.core.registry import Registry
from tests.support.end_stream import end_stream
from tests.unit.registry_server.builders import at, make_event, make_spec

SEEDS = 150
STEPS = 250
IDS = ("a", "b", "c", "d", "e")
REFUSED_ID = " an id must not begin with a blank"
INTERVAL = 1.0


class Program:
    """What a process knows of one of its agents."""

    def __init__(self, service_id: str, words: list[Program]) -> None:
        def word() -> str:
            words.append(self)
            return str(len(words) - 1)

        self.session = AgentSession("", service_id, INTERVAL, word)
        self.leaving = False
        self.abandoned = False
        self.refused = False
        self.taken_over_by = 0


class Process:
    """A process with agents on one shared stream, and the link to the registry."""

    def __init__(self, name: str) -> None:
        self.stream = SharedStream(name)
        self.programs: dict[AgentSession, Program] = {}
        self.session_id = 0
        self.at_registry: agent_stream.AgentStream | None = None
        self.up: deque[Any] = deque()
        self.down: deque[Any] = deque()


class World:
    """Two processes and a registry."""

    def __init__(self, seed: int) -> None:
        self.dice = Random(seed)
        self.now = 0.0
        self.registry = Registry()
        self.commits = Commits()
        self.processes = [Process("one"), Process("two")]
        self.sessions = 0
        self.alerts = 0
        self.words: list[Program] = []  # whose each instance_id is
        self.newest: dict[str, tuple[int, Program]] = {}

    def run(self) -> None:
        """Many steps, then calm, then look."""
        steps: list[tuple[Callable[[Process], None], int]] = [
            (self.connect, 6),
            (self.send, 12),
            (self.arrive, 12),
            (self.answer, 12),
            (self.hear, 12),
            (self.pass_time, 3),
            (self.join, 3),
            (self.join_refused, 1),
            (self.leave, 2),
            (self.abandon, 1),
            (self.deregister, 1),
            (self.alert, 1),
            (self.break_link, 1),
        ]
        doings, weights = zip(*steps, strict=True)
        for _ in range(STEPS):
            (do,) = self.dice.choices(doings, weights)
            do(self.dice.choice(self.processes))
        for _ in range(20):
            self.settle()
            self.now += INTERVAL / 2
        self.settle()
        self.look()

    # --- what happens -----------------------------------------------------------------------------------------------

    def connect(self, process: Process) -> None:
        if process.at_registry is None and len(process.stream):
            self.sessions += 1
            process.session_id = self.sessions
            self.registry.open_session(self.sessions)
            process.at_registry = agent_stream.AgentStream(
                self.registry,
                self.commits,
                self.sessions,
                lambda _, before, *, replaces_figures: before,
                owes=lambda: None,
                wake=lambda: None,
                broken=lambda _: None,
            )
            process.stream.stream_opened()

    def break_link(self, process: Process) -> None:
        if process.at_registry is not None:
            process.at_registry = None
            process.up.clear()
            process.down.clear()
            end_stream(self.registry, process.session_id, at(self.now))
            self._deliver()
            self._ended(process, process.stream.stream_ended(None, self.now, self.dice.random()).agents)

    def send(self, process: Process) -> None:
        if process.at_registry is not None:
            message = process.stream.next_message(self.now)
            if message is not None:
                process.up.append(message)
            self._told(process, process.stream.take_told())
            assert not process.stream.is_dead
            if not len(process.stream) and not process.up and message is None:
                self.break_link(process)

    def arrive(self, process: Process) -> None:
        if process.up and process.at_registry is not None:
            process.at_registry.receive(_to_registry(process.up.popleft()), at(self.now), self.now)
            assert process.at_registry.failure is None, "an error about one agent ends the stream of all"
            self._deliver()
            for service_id in IDS:
                if (record := self.registry.resolve(service_id)) is not None:
                    word, incarnation = record.instances[-1]
                    self.newest[service_id] = incarnation, self.words[int(word)]

    def answer(self, process: Process) -> None:
        stream = process.at_registry
        if stream is not None and (output := stream.next_output()) is not None:
            many = output.registered if isinstance(output, stream_messages.Registrations) else (output,)
            process.down += map(_to_agents, many)
            stream.written(output)

    def hear(self, process: Process) -> None:
        if process.down:
            self._told(process, process.stream.receive(process.down.popleft(), self.now, self.dice.random()))

    def pass_time(self, _: Process) -> None:
        self.now += self.dice.uniform(0.0, 0.5)
        for process in self.processes:
            if process.at_registry is not None:
                process.at_registry.flush_ack(self.now)

    def join(self, process: Process) -> None:
        self._join(process, self.dice.choice(IDS))

    def join_refused(self, process: Process) -> None:
        self._join(process, REFUSED_ID)

    def leave(self, process: Process) -> None:
        if (program := self._one_of(process)) is not None:
            program.leaving = True
            if program.session.goodbye("done"):
                process.stream.poke(program.session)
            else:
                process.stream.leave(program.session)

    def abandon(self, process: Process) -> None:
        if (program := self._one_of(process)) is not None:
            program.abandoned = True
            if process.stream.abandon(program.session):
                self.break_link(process)

    def deregister(self, _: Process) -> None:
        service_id = self.dice.choice(IDS)
        if self.registry.resolve(service_id) is not None:
            self.registry.deregister(service_id, "operator", at(self.now))
            self._deliver()

    def alert(self, _: Process) -> None:
        self.alerts += 1
        event = make_event("incident", alert_id=f"alert {self.alerts}", recipient=self.dice.choice(IDS))
        self.registry.publish(event, at(self.now))
        self._deliver()

    def settle(self) -> None:
        """All that is on its way arrives, and all streams are open."""
        going_on = True
        while going_on:
            going_on = False
            for process in self.processes:
                self.connect(process)
                before = len(process.up), len(process.down)
                for do in (self.send, self.arrive, self.answer, self.hear):
                    do(process)
                stream = process.at_registry
                due = process.stream.deadline(self.now)
                waits = stream is not None and (stream.has_output or (due is not None and due <= self.now))
                going_on = going_on or waits or before != (0, 0) or bool(process.up or process.down)

    # --- what must hold ---------------------------------------------------------------------------------------------

    def look(self) -> None:
        for service_id in IDS:
            alive = [
                (process, program)
                for process in self.processes
                for program in process.programs.values()
                if program.session.service_id == service_id and not program.session.over
            ]
            record = self.registry.resolve(service_id)
            assert len(alive) <= 1, f"the newest holds the id {service_id}"
            for process, program in alive:
                assert not program.leaving, "its goodbye is done"
                assert program.session.state(self.now) == "connected"
                assert record is not None
                assert (record.incarnation, record.session) == (program.session.incarnation, process.session_id)
                assert self.registry.waiting_for(service_id) == []
            if not alive and record is not None:
                assert record.session is None, f"no stream carries {service_id}, which is gone"
        for process in self.processes:
            for program in process.programs.values():
                if program.session.over:
                    assert program.leaving or program.abandoned or program.taken_over_by or program.refused
                else:
                    assert program.session.service_id != REFUSED_ID
        for service_id, (incarnation, newest) in self.newest.items():
            superseded = newest.taken_over_by and not newest.leaving
            assert not superseded, f"{service_id}: incarnation {incarnation} is the newest and stopped as superseded"

    # --- inside -----------------------------------------------------------------------------------------------------

    def _join(self, process: Process, service_id: str) -> None:
        program = Program(service_id, self.words)
        process.programs[program.session] = program
        process.stream.join(program.session)

    def _one_of(self, process: Process) -> Program | None:
        running = [each for each in process.programs.values() if not each.session.over and not each.leaving]
        return self.dice.choice(running) if running else None

    def _deliver(self) -> None:
        streams = {each.session_id: each.at_registry for each in self.processes if each.at_registry is not None}
        for session_id, message in self.registry.take().sends:
            if session_id in streams:
                streams[session_id].push(message)

    def _ended(self, process: Process, agents: Any) -> None:
        for session, then in agents:
            if isinstance(then, happened.Stop):
                self._told(process, [(session, [] if then.because is None else [then.because])])

    def _told(self, process: Process, told: Any) -> None:
        for session, events in told:
            for event in events:
                match event:
                    case happened.AlertReceived():
                        session.acknowledge(event.alert_id)
                        process.stream.poke(session)
                    case happened.TakenOver():
                        process.programs[session].taken_over_by = event.incarnation
                    case happened.RegistrationRefused():
                        assert session.service_id == REFUSED_ID
                        process.programs[session].refused = True
                    case happened.SharingNotOffered():
                        raise AssertionError(event)


def _to_registry(message: messages.OutgoingShared) -> Any:
    match message:
        case messages.Register():
            return _registration(message)
        case messages.Registers():
            registers = [_registration(each, among=True) for each in message.registers]
            return stream_messages.Registers(registers, len(registers))
        case messages.Beats():
            asked = any(beat.ack_requested for beat in (*message.beats, *message.alive))
            columns = None
            if message.alive:
                columns = Columns([beat.incarnation for beat in message.alive], message.alive[-1].sequence)
            return stream_messages.Beats(message.beats, ack_requested=asked, columns=columns)
        case messages.AlertAck():
            return stream_messages.AlertAck(message.alert_ids)
        case messages.Goodbye():
            return stream_messages.Goodbye(message.service_id, message.reason, message.incarnation)
        case messages.Abandoned():
            return stream_messages.Abandoned(message.service_id, message.incarnation)
    raise TypeError(message)


def _registration(message: messages.Register, *, among: bool = False) -> stream_messages.Register:
    spec = make_spec(message.service_id, heartbeat_interval=INTERVAL)
    return stream_messages.Register(spec, message.incarnation, message.instance_id, message.shared, among=among)


def _to_agents(output: Any) -> answers.Incoming:
    match output:
        case stream_messages.BeatAck():
            return answers.BeatAck(output.sequence)
        case effects.Registered():
            service = output.service
            return answers.Registered(
                service.spec.service_id, service.incarnation, service, None, output.instance_id, batches=True
            )
        case effects.Alert():
            return answers.Alert(output.event.alert_id, output.event, output.event.recipient)
        case effects.UnknownService():
            return answers.UnknownService(output.service_id, output.incarnation)
        case effects.SupersededBy():
            return answers.Superseded(output.incarnation, output.service_id)
        case effects.Left():
            return answers.Left(output.service_id, output.incarnation)
        case effects.Rejected():
            return answers.Rejected(
                output.field, output.description, output.service_id, output.reason, output.instance_id
            )
    raise TypeError(output)


def test_each_agent_is_what_it_should_be() -> None:
    for seed in range(SEEDS):
        try:
            World(seed).run()
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error


@pytest.mark.parametrize(
    ("of", "attribute", "instead"),
    [
        (Members, "_superseded", lambda self, message: self._newest(message.service_id)),
        (Members, "registering", lambda *_: None),
        (AgentSession, "may_be_overtaken", property(lambda session: not session.incarnation)),
        (AgentSession, "unanswered", property(lambda _: False)),
        (AgentSession, "share", lambda *_: None),
        (AgentSession, "_left", lambda *_: None),
        (SharedStream, "abandon", lambda self, session: self.leave(session)),
        (SharedStream, "_acknowledged", lambda *_: None),
        (agent_stream.AgentStream, "_refuse", lambda self, message, error: self.end(error)),
    ],
)
def test_a_mistake_is_found(monkeypatch: pytest.MonkeyPatch, of: type, attribute: str, instead: object) -> None:
    monkeypatch.setattr(of, attribute, instead)
    with pytest.raises(AssertionError):
        test_each_agent_is_what_it_should_be()
