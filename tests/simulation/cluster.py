"""One run: the whole system of a plan in virtual time, its faults, and the observer who watches it come to rest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from random import Random

from grid_model.declaration import Declaration
from grid_model.service import ServiceRole

from tests.simulation.faults import Faults
from tests.simulation.loop import Loop
from tests.simulation.network import Path
from tests.simulation.observer import Observer, Violation
from tests.simulation.plan import Member, Plan
from tests.simulation.rest import unrest
from tests.simulation.sim_agent import SimAgent
from tests.simulation.sim_readers import SimLister, SimOperator, SimSubscriber, SimWatcher
from tests.simulation.sim_registry import SimRegistry
from tests.simulation.sim_store import SimStore
from tests.simulation.sim_tron import SimTron
from tests.simulation.translation import Plain, Wire
from tron.policy import Policies

LOOK_EVERY = 0.25
"""How often the observer compares, in virtual seconds."""

AFTERGLOW = 3.0
"""Virtual seconds that go by after everything came to rest: what was not to happen may still happen."""


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
        translator = Wire() if plan.wire else Plain()
        self.registry = SimRegistry(self.loop, self.observer, self.store, self.dice("disk"), plan.retention)
        self.observer.registry = self.registry
        policies = Policies(plan.policy, {})
        self.tron = SimTron(
            self.loop,
            self.registry,
            self.observer,
            self.path("tron"),
            policies,
            self.dice("tron"),
            plan.batch,
            translator,
        )
        self.observer.tron = self.tron
        self.operator = SimOperator(self.loop, self.registry, self.path("operator"), self.dice("operator"))
        self.watchers = [
            kind(self.loop, self.registry, self.observer, self.path(name), name, self.dice(name))
            for kind, name in ((SimWatcher, "watcher-0"), (SimLister, "watcher-1"))
        ]
        self.subscriber = SimSubscriber(
            self.loop, self.registry, self.observer, self.path("subscriber"), "subscriber", self.dice("subscriber")
        )
        self._pids = 0
        self.agents: dict[str, list[SimAgent]] = self.observer.processes
        self.members = {member.service_id: member for member in plan.fleet}

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
        faults = Faults(self)
        for fault in self.plan.faults:
            loop.at(fault.at, partial(faults.happen, fault))
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
            restless = unrest(observer, self.watchers, self.subscriber)
            if restless is None:
                rest_at = loop.now if rest_at is None else rest_at
                if loop.now >= rest_at + AFTERGLOW:
                    break
            else:
                rest_at = None
                if loop.now > deadline and not observer.violations:
                    observer.breach(restless[0], f"{restless[1]}, {loop.now - calm_at:.1f}s after the last fault")
        observer.check_disk()
        return Outcome(tuple(observer.violations), loop.now, loop.acts, observer.verdicts, observer.hearing.deaths)

    def _patience(self) -> float:
        policy = self.plan.policy
        slowest = max(member.interval for member in self.plan.fleet)
        escalation = len(self.plan.fleet) and 4 * (policy.escalate_after + 6.0)
        return 25.0 + policy.reattach_window + 3 * slowest + escalation + policy.guard_window + policy.flap_window

    # --- processes --------------------------------------------------------------------------------------------------

    def dice(self, name: str) -> Random:
        """Dice of its own for each purpose, so that less of one thing does not change another."""
        return Random(f"{self.plan.seed}/{name}")

    def path(self, name: str) -> Path:
        """A network between somebody and the registry."""
        return Path(self.loop, self.dice(f"path of {name}"), self.plan.delay)

    def start(self, member: Member) -> SimAgent:
        """A process starts under an id; its previous holder will be superseded."""
        self._pids += 1
        spec = Declaration(
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
            self.loop, self.registry, self.observer, self.path(name), spec, self._pids, f"{self.plan.seed}/{name}"
        )
        for each in older:
            if each.up and not each.over:
                self.observer.unwell(each)  # until it is heard again, or told to stop
        older.append(agent)
        self.observer.say(f"{agent.name} starts")
        agent.boot()
        return agent

    def _begin(self, member: Member) -> None:
        self.start(member)

    def newest(self, service_id: str) -> SimAgent | None:
        """The process under this id that runs and was not told to stop."""
        for agent in reversed(self.agents.get(service_id, [])):
            if agent.up and not agent.over:
                return agent
        return None


def play(plan: Plan) -> Outcome:
    """Run a plan."""
    return Cluster(plan).run()
