"""The judge before the real core of the registry, with the wire's messages between them, in one process and by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from grid_model.declaration import Declaration
from grid_model.event import OPERATORS, Event
from grid_model.liveness import Liveness
from grid_model.observation import Frame
from grid_model.service import Maintenance
from grid_model.verdict import VerdictOutcome

from registry_server.core.commits import Commits
from registry_server.core.effects import Alert
from registry_server.core.observer_stream import ObserverStream
from registry_server.core.registry import Registry
from registry_server.core.service import Instant, Report
from tests.simulation.translation import Wire
from tests.support.end_stream import end_stream
from tron.judge import Judge
from tron.policy import Policies, Policy

EPOCH = 1_700_000_000.0
OBSERVER = "tron"
STEP = 0.1
EVERYTHING = 2**62


@dataclass(slots=True)
class Program:
    """An agent: beats in every step while it `beats`, acknowledges while it `acknowledges`."""

    service_id: str
    session: int
    beats: bool = True
    acknowledges: bool = True
    activity: int | None = None
    heard: list[Event] = field(default_factory=list)


class WiredCorePair:
    """One registry and one TRON. `time` is attentive seconds."""

    def __init__(self, policy: Policy | None = None, **overrides: Policy) -> None:
        self.time = 1.0  # the registry hears for a while before anybody comes
        self.registry = Registry()
        self.programs: dict[str, Program] = {}
        self.log: list[Event] = []
        self._policies = Policies(policy or Policy(), overrides)
        self._sessions = 0
        self._wire = Wire()
        self.restart_tron()

    def restart_tron(self) -> None:
        """TRON is killed, and another one reads the snapshot."""
        self.registry.close_feed(0, self.now)
        durable = Commits(sequence=EVERYTHING)
        self.stream = ObserverStream(self.registry, durable, 0, OBSERVER, max_in_frame=EVERYTHING)
        self.judge = Judge(self._policies, OBSERVER)

    @property
    def now(self) -> Instant:
        """This moment."""
        return Instant(EPOCH + self.time, self.time)

    def start(self, service_id: str, parent: str = "", *, acknowledges: bool = True, **spec: Any) -> Program:
        """A program starts and registers; its interval is 1 s unless told."""
        self._sessions += 1
        self.registry.open_session(self._sessions)
        declared = {"name": service_id, "parent": parent, "heartbeat_interval": 1.0, **spec}
        self.registry.register(Declaration(service_id, **declared), 0, "", self._sessions, self.now)
        program = Program(service_id, self._sessions, acknowledges=acknowledges)
        self.programs[service_id] = program
        return program

    def kill(self, *service_ids: str) -> None:
        """Programs die, all at once: their streams break."""
        for service_id in service_ids:
            program = self.programs.pop(service_id)
            broken = end_stream(self.registry, program.session, self.now)
            self.registry.streams_broke(broken, self.now)

    def leave(self, service_id: str) -> None:
        """A program says goodbye."""
        self.registry.goodbye(self.programs.pop(service_id).session, service_id, "", self.now)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.time + seconds
        while self.time < end - 1e-9:
            self.time = round(self.time + STEP, 6)
            for program in self.programs.values():
                if program.beats:
                    report = None if program.activity is None else Report(activity=program.activity)
                    self.registry.beat(program.session, program.service_id, 0, report, self.now)
            self.registry.tick(self.now)
            self.look()

    def maintain(self, service_id: str, *, on: bool, until: float | None = None) -> None:
        """An operator holds notices about a service, or ends that."""
        if on:
            self.registry.hold_notices(Maintenance(service_id, self.now.wall, until, "work"))
        else:
            self.registry.release_notices(service_id)

    def look(self) -> None:
        """TRON reads a frame, judges, and has it applied; then alerts are delivered and acknowledged."""
        self.judge.learn(self._wire.frame(self._frame()))
        orders = self.judge.decide(0.0, self.now.wall)
        outcomes = []
        for ruling in orders.rulings:
            verdict = self._wire.verdict(ruling.verdict())
            outcomes.append((ruling, self.registry.apply(verdict, self.now).outcome))
        for ruling, outcome in reversed(outcomes):
            if outcome is VerdictOutcome.STALE:
                self.judge.refused(ruling)
        for copy in orders.copies:
            self.registry.notify(self._wire.copy(copy), self.now)
        standing = map(self._wire.suspicion, orders.preauthorized)
        self.registry.preauthorize(standing, orders.withdrawn, held=self.judge.guard.many_fail)
        self.registry.defer(OBSERVER, self._wire.deadlines(orders.deadlines))
        self.registry.report_cascade(self.judge.cascade_alert_id)
        self.registry.judged(OBSERVER, self.now)
        self._deliver()

    def state(self, service_id: str) -> Liveness | None:
        """What is judged; None if it is not registered."""
        lease = self.judge.detector.find(service_id)
        return None if lease is None else lease.liveness

    def told(self, recipient: str, *types: str) -> list[tuple[str, str]]:
        """What is on record as addressed to a recipient: (type, service_id), in order."""
        return [
            (event.type, event.service_id)
            for event in self.log
            if event.recipient == recipient and (not types or event.type in types)
        ]

    def copies(self, kind: str, service_id: str) -> list[Event]:
        """All copies of the alerts of one type about a service."""
        return [event for event in self.log if (event.type, event.service_id) == (kind, service_id)]

    def _deliver(self) -> None:
        sends = self.registry.take().sends
        by_session = {program.session: program for program in self.programs.values()}
        for session, message in sends:
            program = by_session.get(session)
            if program is not None and isinstance(message, Alert):
                program.heard.append(message.event)
                if program.acknowledges and program.beats:
                    self.registry.acknowledge_on_stream(session, [message.event.alert_id], self.now)
        for delivery in list(self.judge.for_operators.values()):
            self.registry.acknowledge(delivery.event.alert_id, OPERATORS, self.now)
        after = self.log[-1].sequence if self.log else 0
        self.log += self.registry.recent_events(after, 10_000) or []

    def _frame(self) -> Frame:
        (frame,) = self.stream.frame(self.now, lambda: 0.0)
        return frame
