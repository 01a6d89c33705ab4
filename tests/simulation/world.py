"""The cores of the registry and of TRON with a manual clock between them: no process, no wire, no waiting."""

from __future__ import annotations

from dataclasses import dataclass

from grid_model.declaration import Declaration
from grid_model.event import Event
from grid_model.observation import Frame
from grid_model.verdict import VerdictOutcome

from registry_server.core.attention import AttentiveClock
from registry_server.core.effects import AppendEvent, DropIntent, PutIntent, PutService, RemoveService
from registry_server.core.facts import facts_of
from registry_server.core.registry import Registry
from registry_server.core.service import Instant, Intent, StoredService, Tombstone
from tests.support.end_stream import end_stream
from tron.detector import Detector
from tron.facts import Transition
from tron.judge import Judge
from tron.policy import Policies, Policy

TICK = 0.1
EPOCH = 1_700_000_000.0
OBSERVER = "tron"


@dataclass(slots=True)
class Agent:
    """A program that registers, and beats while it runs and its stream is open."""

    service_id: str
    interval: float
    incarnation: int
    session: int | None
    next_beat: float
    beats: bool


class World:
    """One registry, one TRON, and agents. `now` is the monotonic clock that they share."""

    def __init__(self, policy: Policy) -> None:
        self.now = -TICK  # the registry starts a tick before anybody comes
        self.policy = policy
        self.agents: dict[str, Agent] = {}
        self.judged: list[tuple[float, Transition]] = []
        """What was decided and accepted, and when."""
        self.events: list[Event] = []
        self._services: dict[str, StoredService] = {}
        self._tombstones: dict[str, Tombstone] = {}
        self._intents: dict[str, Intent] = {}
        self._sessions = 0
        self._start(Registry(), self.now)
        self.step()

    def instant(self) -> Instant:
        """This moment, on the registry's clocks."""
        return Instant(EPOCH + self.now, self._clock.read(self.now))

    def step(self) -> None:
        """Let one tick pass: agents beat, the clock goes on, TRON judges."""
        self.now += TICK
        for agent in self.agents.values():
            if agent.beats and agent.session is not None and agent.next_beat <= self.now + 1e-9:
                self.beat(agent)
        self._clock.tick(self.now)
        self.core.tick(self.instant())
        self.look()

    def look(self) -> None:
        """TRON reads a frame, judges, and has its verdicts applied."""
        now = self.instant()
        frame = self._feed.take()
        self.judge.learn(
            Frame(
                now=now.attentive,
                hearing_since=self._clock.hearing_since,
                observations=tuple(facts_of(self.core.get(each), None) for each in frame.changed),
                beats=frame.beats,
                removed=frame.removed,
                snapshot_complete=not self.judge.complete,
            )
        )
        rulings = self.judge.decide(self._clock.hearing_since, now.wall).rulings
        outcomes = [self.core.apply(each.verdict(), now).outcome for each in rulings]
        for ruling, outcome in zip(reversed(rulings), reversed(outcomes), strict=True):
            if outcome is VerdictOutcome.STALE:
                self.judge.refused(ruling)
        accepted = zip(rulings, outcomes, strict=True)
        self.judged += [(self.now, each.transition) for each, outcome in accepted if outcome is VerdictOutcome.APPLIED]
        self.core.judged(OBSERVER, now)
        self.save()

    def register(self, service_id: str, interval: float, *, beats: bool) -> None:
        """A process starts and registers on a stream of its own."""
        session = self._open()
        spec = Declaration(service_id, service_id, heartbeat_interval=interval)
        service = self.core.register(spec, 0, "", session, self.instant())
        self.agents[service_id] = Agent(service_id, interval, service.incarnation, session, self.now + interval, beats)

    def beat(self, agent: Agent) -> None:
        """It says that it is alive."""
        assert agent.session is not None
        self.core.beat(agent.session, agent.service_id, 0, None, self.instant())
        agent.next_beat = self.now + agent.interval

    def break_stream(self, agent: Agent) -> None:
        """Its stream ends without a word."""
        if agent.session is not None:
            end_stream(self.core, agent.session, self.instant())
        agent.session = None

    def kill(self, agent: Agent) -> None:
        """It ends as a crash does."""
        agent.beats = False
        self.break_stream(agent)

    def re_attach(self, agent: Agent) -> None:
        """It opens a new stream with the incarnation that it holds."""
        agent.session = self._open()
        spec = Declaration(agent.service_id, agent.service_id, heartbeat_interval=agent.interval)
        self.core.register(spec, agent.incarnation, "", agent.session, self.instant())
        agent.next_beat = self.now + agent.interval

    def stall(self, seconds: float) -> None:
        """The registry is stopped; no heartbeat is read meanwhile."""
        self.now += seconds

    def restart(self) -> None:
        """The registry is killed and starts again from what it stored; TRON reconnects."""
        self.save()
        for agent in self.agents.values():
            agent.session = None
        known = [service.incarnation for service in self._services.values()]
        known += [tombstone.incarnation for tombstone in self._tombstones.values()]
        core = Registry(revision=self.core.revision, incarnation=max(known, default=0))
        begin = Instant(EPOCH + self.now, 0.0)
        core.restore(self._services.values(), self._tombstones.values(), self._intents.values(), [], begin)
        self._start(core, self.now)

    def rebuilt_detector(self) -> Detector:
        """What a TRON that starts now would know: the registry's snapshot, and nothing else."""
        detector = Detector(Policies(self.policy, {}))
        for record in self.core.records.values():
            detector.observe(facts_of(record, None))
        return detector

    def hearing_since(self) -> float:
        """Since when the registry hears without a break."""
        return self._clock.hearing_since

    @property
    def detector(self) -> Detector:
        """What TRON thinks of single services."""
        return self.judge.detector

    def _start(self, core: Registry, now: float) -> None:
        self.core = core
        self._clock = AttentiveClock(now)
        self._feed = core.open_feed(0, OBSERVER)
        self.judge = Judge(Policies(self.policy, {}), OBSERVER)

    def _open(self) -> int:
        self._sessions += 1
        self.core.open_session(self._sessions)
        return self._sessions

    def save(self) -> None:
        """What the registry asked to be stored is stored."""
        for write in self.core.take().writes:
            match write:
                case PutService(service):
                    self._services[service.spec.service_id] = service
                    self._tombstones.pop(service.spec.service_id, None)
                case RemoveService(tombstone):
                    self._services.pop(tombstone.service_id, None)
                    self._tombstones[tombstone.service_id] = tombstone
                case PutIntent(intent):
                    self._intents[intent.service_id] = intent
                case DropIntent(service_id):
                    self._intents.pop(service_id, None)
                case AppendEvent(event):
                    self.events.append(event)
