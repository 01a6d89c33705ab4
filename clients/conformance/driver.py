"""Drives the Python session by the line protocol of README.md, without a clock and without a network.

`python -m clients.conformance.driver` reads commands from stdin and answers on stdout.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict
from grid.registry.v1 import heartbeat_pb2, service_pb2
from grid_model import wire
from tron_client.alerts import Alert, AlertInbox
from tron_client.protocol import codec, happened
from tron_client.protocol.answers import StreamError
from tron_client.protocol.handover import Handover
from tron_client.protocol.session import AgentSession
from tron_client.protocol.shared_stream import SharedStream
from tron_client.reporting import checked_figures

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
"""What the agent's wall clock shows at 0."""


class Program:
    """What the program holds of one agent."""

    def __init__(self, given: dict[str, Any], new_instance_id: Callable[[], str], mark: str) -> None:
        declared = ParseDict(given["service"], service_pb2.Service())
        interval = wire.seconds(declared.heartbeat_interval)
        self.session = AgentSession(declared, declared.service_id, interval, new_instance_id, given.get("status", "ok"))
        self.name = declared.name
        self.inbox = AlertInbox(self.session.inbox_emptied)
        self.mark = mark
        """What follows the word of its answers: nothing if it is alone."""


class Driver:
    """The agents of one stream, on a clock that moves only by `at`."""

    def __init__(self) -> None:
        self._now = 0.0
        self._draw = 0.5
        self._instance_ids = (f"instance-{number}" for number in count(1))
        self._said: list[str] = []
        self._process = ""
        self._stream = SharedStream()
        self._former = self._stream
        self._handover: Handover | None = None
        self._programs: list[Program] = []
        self._begin("", [{"service": {}}])

    def command(self, line: str) -> list[str]:
        """Obey one command; returns the answers. Raises ValueError for a command that does not exist."""
        verb, _, argument = line.partition(" ")
        given: Any = json.loads(argument) if argument else None
        obey = getattr(self, f"_do_{verb}", None)
        if obey is None:
            raise ValueError(f"no such command: {verb}")
        obey(given)
        self._pump()
        said, self._said = self._said, []
        return said

    def _do_agent(self, given: dict[str, Any]) -> None:
        self._begin("", [given])

    def _do_agents(self, given: list[dict[str, Any]]) -> None:
        self._begin("process", given)

    def _do_join(self, given: dict[str, Any]) -> None:
        program = Program(given, lambda: next(self._instance_ids), f"#{len(self._programs)}")
        self._programs.append(program)
        self._stream.join(program.session, program.name)

    def _do_select(self, number: int) -> None:
        self._selected = number

    def _do_at(self, now: float) -> None:
        self._now = now

    def _do_draw(self, draw: float) -> None:
        self._draw = draw

    def _do_connect(self, _: None) -> None:
        if len(self._stream):
            self._stream.stream_opened()
            self._sending = True

    def _do_receive(self, given: dict[str, Any]) -> None:
        for message in codec.decode_all(ParseDict(given, heartbeat_pb2.HeartbeatResponse())):
            before = self._stream.sessions
            self._tell(self._stream.receive(message, self._now, self._draw))
            self._finish(each for each in before if each.over and self._shared)
        if (renewal := self._stream.renewal) is not None:
            self._stream.renewal = None
            self._said.append(f"renew {renewal.ends_at - self._now:g}")

    def _do_next(self, _: None) -> None:
        self._former, self._stream = self._stream, SharedStream(self._process)
        self._handover = Handover(self._former, self._stream)
        self._handover.begin()
        self._stream.stream_opened()

    def _do_end(self, given: dict[str, Any] | None) -> None:
        error = None
        if given is not None:
            fields = tuple((each["field"], each["description"]) for each in given.get("fields", ()))
            error = StreamError(given.get("reason", ""), given.get("message", ""), given.get("incarnation", 0), fields)
        if self._handover is not None:
            self._handover.give_back()
            self._stream, self._handover = self._former, None
            return
        self._sending = False
        end = self._stream.stream_ended(error, self._now, self._draw)
        for session, then in end.agents:
            if isinstance(then, happened.Stop):
                self._tell([(session, () if then.because is None else (then.because,))])
                self._finish([session] if self._shared else ())
        for program in self._programs:
            if program.session.over:
                program.session.finish()
        self._said.append("stop" if end.delay is None else f"reconnect {end.delay:g}")

    def _do_report(self, given: dict[str, Any]) -> None:
        names = ("status", "p95_ms", "queue_depth", "load", "message", "progress")
        figures = checked_figures(*(given.get(name) for name in names))
        wall = EPOCH + timedelta(seconds=self._now)
        self._session.report(figures, given.get("busy_for"), self._now, wall)

    def _do_advance(self, steps: int) -> None:
        self._session.advance(steps)

    def _do_acknowledge(self, alert_id: str) -> None:
        self._acknowledge(self._programs[self._selected], alert_id)

    def _do_goodbye(self, reason: str) -> None:
        if not self._session.goodbye(reason):
            self._stream.leave(self._session)
            self._finish([self._session])

    def _do_abandon(self, _: None) -> None:
        self._stream.abandon(self._session)
        self._finish([self._session])

    def _do_state(self, _: None) -> None:
        self._said.append(f"state {self._session.state(self._now)}")

    @property
    def _session(self) -> AgentSession:
        return self._programs[self._selected].session

    def _begin(self, process: str, given: list[dict[str, Any]]) -> None:
        self._now, self._selected, self._sending = 0.0, 0, False
        self._shared, self._process = bool(process), process
        self._stream, self._handover = SharedStream(process), None
        self._programs = []
        for each in given:
            self._do_join(each)
        if not process:
            self._programs[0].mark = ""  # it is alone

    def _finish(self, sessions: Iterable[AgentSession]) -> None:
        for session in sessions:
            session.finish()
            self._said.append(f"stop{self._program(session).mark}")

    def _program(self, session: AgentSession) -> Program:
        return next(each for each in self._programs if each.session is session)

    def _acknowledge(self, program: Program, alert_id: str) -> None:
        program.inbox.acknowledged(alert_id)
        program.inbox.handled(alert_id)
        program.session.acknowledge(alert_id)

    def _pump(self) -> None:
        if self._handover is not None:
            self._handover.advance()
            self._send_all(self._former, "send_former")
        stream = self._stream
        self._send_all(stream, "send")
        if self._handover is not None and self._handover.complete:
            self._handover.finish()
            self._handover = None
            self._said.append("close_former")
        if self._sending and stream.is_dead:
            self._sending = False
            self._said.append("break")
        if self._sending and not stream.sending:
            self._sending = False
            self._said.append("close")

    def _send_all(self, stream: SharedStream, word: str) -> None:
        for session in stream.sessions:
            stream.poke(session)
        while (message := stream.next_message(self._now)) is not None:
            encoded = MessageToDict(codec.encode(message), preserving_proto_field_name=True)
            self._said.append(f"{word} {json.dumps(encoded)}")
        self._tell(stream.take_told())

    def _tell(self, told: Iterable[tuple[AgentSession, Iterable[happened.Happened]]]) -> None:
        for session, events in told:
            program = self._program(session)
            for each in events:
                self._tell_one(program, each)

    def _tell_one(self, program: Program, event: happened.Happened) -> None:
        mark = program.mark
        match event:
            case happened.RegistrationConfirmed():
                self._said.append(f"registered{mark} {event.service.incarnation}")
            case happened.AlertReceived():
                alert = Alert(event.event, self._now, lambda alert_id: self._acknowledge(program, alert_id))
                reception = program.inbox.offer(alert)
                program.session.alert_offered(event.alert_id, reception)
                if reception == "taken":
                    program.inbox.take()
                    self._said.append(f"alert{mark} {json.dumps(event.alert_id)}")
            case happened.DownDeclared():
                self._said.append(f"declared_down{mark} {json.dumps(event.event.cause)}")
            case happened.TakenOver():
                self._said.append(f"superseded{mark} {event.incarnation}")
            case happened.RegistrationRefused():
                self._said.append(f"refused{mark} {json.dumps([field for field, _ in event.fields])}")
            case happened.FieldRejected():
                self._said.append(f"rejected{mark} {json.dumps(event.field)}")
            case happened.SharingNotOffered():
                self._said.append(f"own_stream{mark}")


def main() -> None:
    """Answer until stdin ends."""
    driver = Driver()
    for line in sys.stdin:
        for answer in driver.command(line.strip()):
            print(answer)
        print("ok", flush=True)


if __name__ == "__main__":
    main()
