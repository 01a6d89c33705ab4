"""One run: the whole system of a plan in virtual time, its faults, and the observer who watches it come to rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from random import Random

from registry_server.service import Event, ServiceRole, ServiceSpec
from tests.simulation import words
from tests.simulation.loop import Loop, Process
from tests.simulation.network import DOWN, UP, Path
from tests.simulation.observer import Observer, Violation
from tests.simulation.plan import Fault, Member, Plan
from tests.simulation.sim_agent import SimAgent
from tests.simulation.sim_readers import SimOperator, SimSubscriber, SimWatcher
from tests.simulation.sim_registry import SimRegistry
from tests.simulation.sim_store import SimStore
from tests.simulation.sim_tron import SimTron, facts_of
from tron.policy import Policies

LOOK_EVERY = 0.25
"""How often the observer compares, in virtual seconds."""

AFTERGLOW = 3.0
"""Virtual seconds that go by after everything came to rest: what was not to happen may still happen."""

DIRECTIONS = {0: (UP, DOWN), 1: (UP,), 2: (DOWN,)}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a run."""

    violations: tuple[Violation, ...]
    virtual_seconds: float
    acts: int
    verdicts: int
    deaths: int


class Cluster:
    """The processes of a plan. `run` plays it to its end."""

    def __init__(self, plan: Plan, *, trace: bool = False) -> None:
        self.plan = plan
        self.loop = Loop()
        self.store = SimStore()
        calls = 5 * len(plan.fleet) / plan.batch  # one after the other, where many fail at once
        slack = 0.8 + (10 + 2 * calls) * plan.delay[1]
        self.observer = Observer(self.loop, self.store, plan.policy, slack)
        if trace:
            self.observer.trace = []
        self.registry = SimRegistry(self.loop, self.observer, self.store, self._dice("disk"), facts_of, plan.retention)
        self.observer.registry = self.registry
        policies = Policies(plan.policy, {})
        self.tron = SimTron(
            self.loop, self.registry, self.observer, self._path("tron"), policies, self._dice("tron"), plan.batch
        )
        self.observer.tron = self.tron
        self.operator = SimOperator(self.loop, self.registry, self._path("operator"), self._dice("operator"))
        self.watchers = [
            SimWatcher(self.loop, self.registry, self.observer, self._path(name), name, self._dice(name))
            for name in ("watcher-0", "watcher-1")
        ]
        self.subscriber = SimSubscriber(
            self.loop, self.registry, self.observer, self._path("subscriber"), "subscriber", self._dice("subscriber")
        )
        self._pids = 0
        self._published = 0
        self._roamed = 0
        self.agents: dict[str, list[SimAgent]] = self.observer.processes
        self._members = {member.service_id: member for member in plan.fleet}

    def run(self) -> Outcome:
        """Play until everything came to rest, or a promise is broken."""
        loop, observer = self.loop, self.observer
        self.registry.boot()
        self.tron.boot()
        self.operator.boot()
        for reader in (*self.watchers, self.subscriber):
            reader.boot()
        for member in self.plan.fleet:
            loop.at(member.starts_at, partial(self._begin, member))
        for fault in self.plan.faults:
            loop.at(fault.at, partial(self._happen, fault))
        calm_at = max(self.plan.ends_at, 3.0)
        deadline = calm_at + self._patience()
        rest_at: float | None = None
        while not observer.violations:
            loop.run(loop.now + LOOK_EVERY)
            observer.look()
            if loop.now < calm_at:
                continue
            self.registry.dies_at_commit = None  # what did not happen by now does not
            observer.calm_since = calm_at
            unrest = observer.unrest(self.watchers, self.subscriber)
            if unrest is None:
                rest_at = loop.now if rest_at is None else rest_at
                if loop.now >= rest_at + AFTERGLOW:
                    break
            else:
                rest_at = None
                if loop.now > deadline and not observer.violations:
                    observer.breach(unrest[0], f"{unrest[1]}, {loop.now - calm_at:.1f}s after the last fault")
        observer.check_disk()
        return Outcome(tuple(observer.violations), loop.now, loop.acts, observer.verdicts, observer.hearing.deaths)

    def _patience(self) -> float:
        policy = self.plan.policy
        slowest = max(member.interval for member in self.plan.fleet)
        climb = len(self.plan.fleet) and 4 * (policy.escalate_after + 6.0)
        return 25.0 + policy.reattach_window + 3 * slowest + climb + policy.guard_window + policy.flap_window

    # --- processes --------------------------------------------------------------------------------------------------

    def _dice(self, name: str) -> Random:
        return Random(f"{self.plan.seed}/{name}")

    def _path(self, name: str) -> Path:
        return Path(self.loop, self._dice(f"path of {name}"), self.plan.delay)

    def _start(self, member: Member) -> SimAgent:
        self._pids += 1
        spec = ServiceSpec(
            member.service_id,
            member.service_id,
            role=ServiceRole.EXPERIMENTAL,
            parent=member.parent,
            heartbeat_interval=member.interval,
            reconnect_grace=member.grace,
            stall_after=member.stall_after,
        )
        older = self.agents.setdefault(member.service_id, [])
        name = f"{member.service_id}/{len(older)}"
        agent = SimAgent(
            self.loop, self.registry, self.observer, self._path(name), spec, self._pids, f"{self.plan.seed}/{name}"
        )
        for each in older:
            if each.up and not each.over:
                self.observer.unwell(each)  # until it is heard again, or told to stop
        older.append(agent)
        self.observer.say(f"{agent.name} starts")
        agent.boot()
        return agent

    def _begin(self, member: Member) -> None:
        self._start(member)

    def _newest(self, service_id: str) -> SimAgent | None:
        """The process under this id that runs and was not told to stop."""
        for agent in reversed(self.agents.get(service_id, [])):
            if agent.up and not agent.over:
                return agent
        return None

    # --- faults -----------------------------------------------------------------------------------------------------

    def _happen(self, fault: Fault) -> None:
        self.observer.say(f"*** {fault}")
        act: Callable[[Fault], None] = getattr(self, f"_{fault.kind}")
        act(fault)

    def _after(self, lasts: float | None, act: Callable[[], None]) -> None:
        if lasts is not None:
            self.loop.at(self.loop.now + lasts, act)

    def _crash(self, fault: Fault, *, vanish: bool = False) -> None:
        agent = self._newest(fault.target)
        if agent is not None:
            self.observer.unwell(agent)
            agent.die(vanish=vanish)
            self._after(fault.lasts, partial(self._come_back, fault.target))

    def _vanish(self, fault: Fault) -> None:
        self._crash(fault, vanish=True)

    def _come_back(self, service_id: str) -> None:
        if self._newest(service_id) is None:
            self._start(self._members[service_id])

    def _trouble(
        self,
        agent: SimAgent,
        lasts: float | None,
        begin: Callable[[], None],
        end: Callable[[], None],
        *,
        of_link: bool = False,
    ) -> None:
        """Something that is wrong with an agent or its link for a while."""
        trouble = object()
        agent.disturbed(trouble, of_link=of_link)
        begin()

        def over() -> None:
            end()
            agent.healed(trouble)

        self._after(lasts, over)

    def _hang(self, fault: Fault, *, pings: bool = False) -> None:
        agent = self._newest(fault.target)
        if agent is not None:
            life = agent.life
            begin = partial(agent.pause, pings=pings)

            def end() -> None:
                if agent.life == life:
                    agent.resume(pings=pings)

            self._trouble(agent, fault.lasts, begin, end)

    def _freeze(self, fault: Fault) -> None:
        self._hang(fault, pings=True)

    def _busy(self, fault: Fault) -> None:
        """It says that it will be busy, and is: nothing of it runs but what answers pings."""
        agent = self._newest(fault.target)
        if agent is not None and agent.registered_at is not None and not agent.paused:
            assert fault.lasts is not None
            agent.declare_busy(fault.lasts + 0.5)
            self.loop.at(self.loop.now + 0.2, partial(self._freeze, fault))

    def _stall(self, fault: Fault) -> None:
        agent = self._newest(fault.target)
        if agent is not None:
            agent.stalls()
            self._after(fault.lasts, agent.gets_on)

    def _deaf(self, fault: Fault) -> None:
        agent = self._newest(fault.target)
        if agent is not None:
            agent.goes_deaf()
            self._after(fault.lasts, agent.hears_again)

    def _leave(self, fault: Fault) -> None:
        agent = self._newest(fault.target)
        if agent is not None:
            self._stop(agent)
            self._after(fault.lasts, partial(self._come_back, fault.target))

    def _twin(self, fault: Fault) -> None:
        """A second process claims the id."""
        if fault.target in self.agents:
            self._start(self._members[fault.target])

    def _cut(self, fault: Fault) -> None:
        agent = self._newest(fault.target)
        if agent is not None:
            self._trouble(agent, 0.0, agent.path.cut, lambda: None)

    def _flap(self, fault: Fault) -> None:
        for number in range(int(fault.detail)):
            self.loop.at(self.loop.now + number, partial(self._cut, fault))

    def _partition(self, fault: Fault) -> None:
        agent = self._newest(fault.target)
        if agent is not None:
            directions = DIRECTIONS[int(fault.detail)]
            path = agent.path
            begin, end = partial(path.block, *directions), partial(path.unblock, *directions)
            self._trouble(agent, fault.lasts, begin, end, of_link=True)

    def _roam(self, fault: Fault) -> None:
        """Its network changes; the old one holds what was on its way for a while."""
        agent = self._newest(fault.target)
        if agent is not None and not agent.paused:
            old = agent.path
            self._roamed += 1
            new = self._path(f"{agent.name} roams {self._roamed}")
            old.block(UP, DOWN)
            self._after(fault.lasts, partial(old.unblock, UP, DOWN))
            agent.roams(new)

    def _takeover(self, fault: Fault) -> None:
        """It is taken for dead while it is only cut off: another is started, and it may leave before it is told."""
        agent = self._newest(fault.target)
        if agent is not None and not agent.paused and fault.lasts is not None:
            self._partition(replace(fault, detail=0.0))
            self.loop.at(self.loop.now + 0.2, partial(self._twin, fault))
            if fault.detail:
                self.loop.at(self.loop.now + 0.3 + 0.6 * fault.lasts, partial(self._stop, agent))

    def _stop(self, agent: SimAgent) -> None:
        if agent.up and not agent.over and not agent.paused:
            agent.disturbed("leaves")
            agent.stop()

    def _slow(self, fault: Fault) -> None:
        agent = self._newest(fault.target)
        if agent is not None:
            path = agent.path
            extra = 0.6
            begin, end = partial(_slower, path, extra), partial(_slower, path, -extra)
            self._trouble(agent, fault.lasts, begin, end, of_link=True)

    # --- many at once -----------------------------------------------------------------------------------------------

    def _some(self, fault: Fault) -> list[str]:
        """A share of the fleet, by the number in the plan."""
        ids = [member.service_id for member in self.plan.fleet]
        return self._dice(f"some {fault.at}").sample(ids, max(1, round(fault.detail * len(ids))))

    def _storm(self, fault: Fault) -> None:
        for service_id in self._members:
            self._cut(Fault(fault.at, "cut", service_id))

    def _mass_crash(self, fault: Fault) -> None:
        for service_id in self._some(fault):
            self._crash(Fault(fault.at, "crash", service_id, fault.lasts))

    def _mass_partition(self, fault: Fault) -> None:
        for service_id in self._some(fault):
            self._partition(Fault(fault.at, "partition", service_id, fault.lasts))

    def _family(self, fault: Fault) -> None:
        """A service dies with everyone above it, one after the other."""
        service_id, after = fault.target, 0.0
        while service_id in self._members:
            self.loop.at(self.loop.now + after, partial(self._crash, Fault(fault.at, "crash", service_id, fault.lasts)))
            service_id = self._members[service_id].parent
            after += fault.detail

    # --- those who judge --------------------------------------------------------------------------------------------

    def _chain_trouble(self, lasts: float | None, begin: Callable[[], None], end: Callable[[], None]) -> None:
        self.observer.chain_disturbed()
        begin()

        def over() -> None:
            end()
            self.observer.chain_healed()

        self._after(lasts, over)

    def _die_and_return(self, process: SimRegistry | SimTron, lasts: float | None) -> None:
        def end() -> None:
            if not process.up:
                process.boot()

        if process.up:
            self._chain_trouble(lasts, process.die, end)

    def _registry_crash(self, fault: Fault) -> None:
        self._die_and_return(self.registry, fault.lasts)

    def _registry_dies_at_write(self, fault: Fault) -> None:
        """At one of the next commits, before it is on disk or after."""
        registry = self.registry
        if registry.up and registry.dies_at_commit is None:
            registry.dies = partial(self._die_and_return, registry, fault.lasts)
            registry.dies_at_commit = (abs(int(fault.detail)), fault.detail > 0)

    def _registry_restart(self, fault: Fault) -> None:
        """A stop in good order, and a start."""
        registry = self.registry
        if registry.up and not registry.paused and not registry.draining:
            registry.drain(1.0)
            self.observer.chain_disturbed()
            self.loop.at(self.loop.now + 0.3, partial(self._stopped, fault, registry.life))

    def _stopped(self, fault: Fault, life: int) -> None:
        if self.registry.life == life:
            self._registry_crash(fault)
        self.observer.chain_healed()

    def _pause(self, process: Process, lasts: float | None) -> None:
        if process.up:
            life = process.life

            def end() -> None:
                if process.life == life:
                    process.resume()

            self._chain_trouble(lasts, process.pause, end)

    def _registry_pause(self, fault: Fault) -> None:
        self._pause(self.registry, fault.lasts)

    def _tron_pause(self, fault: Fault) -> None:
        self._pause(self.tron, fault.lasts)

    def _slow_disk(self, fault: Fault) -> None:
        before = self.registry.disk

        def slow() -> None:
            self.registry.disk = (0.05, 1.5)

        def fast() -> None:
            self.registry.disk = before

        self._chain_trouble(fault.lasts, slow, fast)

    def _clock_step(self, fault: Fault) -> None:
        self.registry.wall_offset += fault.detail
        self.tron.wall_offset += fault.detail

    def _tron_crash(self, fault: Fault) -> None:
        self._die_and_return(self.tron, fault.lasts)

    def _tron_cut(self, fault: Fault) -> None:
        self._chain_trouble(0.0, self.tron.path.cut, lambda: None)

    def _tron_partition(self, fault: Fault) -> None:
        directions = DIRECTIONS[int(fault.detail)]
        path = self.tron.path
        self._chain_trouble(fault.lasts, partial(path.block, *directions), partial(path.unblock, *directions))

    def _tron_slow(self, fault: Fault) -> None:
        path = self.tron.path
        self._chain_trouble(fault.lasts, partial(_slower, path, 0.4), partial(_slower, path, -0.4))

    def _sinks_hang(self, fault: Fault) -> None:
        tron = self.tron
        tron.sinks_hang += 1
        self._after(fault.lasts, tron.sinks_take_again)

    # --- operators and readers --------------------------------------------------------------------------------------

    def _promote(self, fault: Fault) -> None:
        word = words.Promote(fault.target, ServiceRole.EXPERIMENTAL, ServiceRole.PRODUCTION)

        def told(count: object) -> None:
            if count:
                self.observer.promoted(fault.target, ServiceRole.PRODUCTION)

        self.operator.call(word, told, int(fault.detail))

    def _publish(self, fault: Fault) -> None:
        self._published += 1
        event = Event(
            "note", alert_id=f"note-{self._published}", recipient=fault.target, occurred_at=self.registry.wall()
        )
        self.operator.call(words.Publish(event), self.observer.published, int(fault.detail))

    def _maintain(self, fault: Fault) -> None:
        self.operator.call(words.Maintain(fault.target, fault.lasts), self.observer.maintained, int(fault.detail))

    def _deregister(self, fault: Fault) -> None:
        self.observer.dismissed.add(fault.target)
        for agent in self.agents.get(fault.target, ()):
            self.observer.unwell(agent)
        self.operator.call(words.Deregister(fault.target), lambda _: None, int(fault.detail))

    def _reader_cut(self, fault: Fault) -> None:
        for reader in (*self.watchers, self.subscriber)[int(fault.detail) :]:
            reader.path.cut()

    def _reader_partition(self, fault: Fault) -> None:
        for reader in (*self.watchers, self.subscriber)[int(fault.detail) :]:
            reader.path.block(UP, DOWN)
            self._after(fault.lasts, partial(reader.path.unblock, UP, DOWN))

    def _reader_pause(self, fault: Fault) -> None:
        reader = (*self.watchers, self.subscriber)[int(fault.detail)]
        reader.pause()
        self._after(fault.lasts, reader.resume)


def _slower(path: Path, extra: float) -> None:
    path.extra = max(0.0, path.extra + extra)


def play(plan: Plan) -> Outcome:
    """Run a plan."""
    return Cluster(plan).run()
