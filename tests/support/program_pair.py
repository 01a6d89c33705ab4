"""A core pair whose agents are programs: they receive alerts, and acknowledge them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from grid_model.event import OPERATORS, Event
from grid_model.liveness import Liveness

from registry_server.core.effects import Alert, Effects
from registry_server.core.service import Report
from tests.support.core_pair import CorePair
from tron.policy import Policy


@dataclass(slots=True)
class Program:
    """An agent: beats in every step while it `beats`, acknowledges while it `acknowledges`."""

    service_id: str
    session: int
    beats: bool = True
    acknowledges: bool = True
    activity: int | None = None
    heard: list[Event] = field(default_factory=list)


class ProgramPair(CorePair):
    """A core pair with the usual policy. Every alert that was sent is in its log."""

    def __init__(self, policy: Policy | None = None, **overrides: Policy) -> None:
        self.programs: dict[str, Program] = {}
        self.log: list[Event] = []
        super().__init__(policy or Policy(), None, **overrides)
        self.now = 1.0  # the registry hears for a while before anybody comes

    def start(self, service_id: str, parent: str = "", *, acknowledges: bool = True, **fields: Any) -> Program:
        """A program starts and registers; its interval is 1 s unless another is given."""
        self.join(service_id, parent, **fields)
        program = Program(service_id, self.session(service_id), acknowledges=acknowledges)
        self.programs[service_id] = program
        return program

    def kill(self, *service_ids: str) -> None:
        """Programs die, all at once: their streams break."""
        for service_id in service_ids:
            del self.programs[service_id]
        super().kill(*service_ids)

    def leave(self, service_id: str) -> None:
        """A program says goodbye."""
        del self.programs[service_id]
        super().leave(service_id)

    def send_beats(self) -> None:
        """Each program that beats sends a heartbeat."""
        for program in self.programs.values():
            if program.beats:
                report = None if program.activity is None else Report(activity=program.activity)
                self.registry.beat(program.session, program.service_id, 0, report, self.instant())

    def deliver(self, effects: Effects) -> None:
        """Programs receive alerts and acknowledge them, and so do the operators."""
        by_session = {program.session: program for program in self.programs.values()}
        for session, message in effects.sends:
            program = by_session.get(session)
            if program is not None and isinstance(message, Alert):
                program.heard.append(message.event)
                if program.acknowledges and program.beats:
                    self.registry.acknowledge_on_stream(session, [message.event.alert_id], self.instant())
        for delivery in list(self.judge.for_operators.values()):
            self.registry.acknowledge(delivery.event.alert_id, OPERATORS, self.instant())
        after = self.log[-1].sequence if self.log else 0
        self.log += self.registry.recent_events(after, 10_000) or []

    def state(self, service_id: str) -> Liveness | None:
        """The liveness by TRON's latest verdict; None if TRON does not watch the service."""
        lease = self.judge.detector.find(service_id)
        return None if lease is None else lease.liveness

    def notices(self, recipient: str, *types: str) -> list[tuple[str, str]]:
        """The alerts in the log that are addressed to a recipient, in order: (type, service_id)."""
        return [
            (event.type, event.service_id)
            for event in self.log
            if event.recipient == recipient and (not types or event.type in types)
        ]

    def copies_of(self, kind: str, service_id: str) -> list[Event]:
        """All copies of the alerts of one type about a service."""
        return [event for event in self.log if (event.type, event.service_id) == (kind, service_id)]
