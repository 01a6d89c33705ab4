"""How each fault of a plan is done to a cluster, and undone. The observer learns at once which agents it concerns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from grid_model.event import Event
from grid_model.service import ServiceRole

from tests.simulation import words
from tests.simulation.loop import Process
from tests.simulation.network import DOWN, UP, Path
from tests.simulation.plan import Fault
from tests.simulation.sim_agent import SimAgent
from tests.simulation.sim_registry import SimRegistry
from tests.simulation.sim_tron import SimTron

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster

DIRECTIONS = {0: (UP, DOWN), 1: (UP,), 2: (DOWN,)}
"""Which directions a partition stops, by its number in the plan."""

SLOW, SLOW_TRON = 0.6, 0.4
"""Seconds that a slow link adds at most."""

SLOW_DISK = (0.05, 3.0)
"""How long a commit takes on a slow disk, in seconds."""


class Faults:
    """A method for each kind of fault."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.loop = cluster.loop
        self.observer = cluster.observer
        self.registry = cluster.registry
        self._disk = self.registry.disk
        self._slow_disks = 0
        self.tron = cluster.tron
        self._published = 0
        self._roamed = 0

    def happen(self, fault: Fault) -> None:
        """Let it happen now; what it does to whom is gone by then is nothing."""
        self.observer.say(f"*** {fault}")
        act: Callable[[Fault], None] = getattr(self, f"_{fault.kind}")
        act(fault)

    def _after(self, lasts: float | None, act: Callable[[], None]) -> None:
        if lasts is not None:
            self.loop.at(self.loop.now + lasts, act)

    # --- one agent --------------------------------------------------------------------------------------------------

    def _crash(self, fault: Fault, *, vanish: bool = False) -> None:
        agent = self.cluster.newest(fault.target)
        if agent is not None:
            self.observer.unwell(agent)
            agent.die(vanish=vanish)
            self._after(fault.lasts, partial(self._come_back, fault.target))

    def _vanish(self, fault: Fault) -> None:
        self._crash(fault, vanish=True)

    def _come_back(self, service_id: str) -> None:
        if self.cluster.newest(service_id) is None:
            self.cluster.start(self.cluster.members[service_id])

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
        agent = self.cluster.newest(fault.target)
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
        agent = self.cluster.newest(fault.target)
        if agent is not None and agent.registered_at is not None and not agent.paused:
            assert fault.lasts is not None
            agent.declare_busy(fault.lasts + 0.5)
            self.loop.at(self.loop.now + 0.2, partial(self._freeze, fault))

    def _stall(self, fault: Fault) -> None:
        agent = self.cluster.newest(fault.target)
        if agent is not None:
            agent.stalls()
            self._after(fault.lasts, agent.gets_on)

    def _deaf(self, fault: Fault) -> None:
        agent = self.cluster.newest(fault.target)
        if agent is not None:
            agent.goes_deaf()
            self._after(fault.lasts, agent.hears_again)

    def _leave(self, fault: Fault) -> None:
        agent = self.cluster.newest(fault.target)
        if agent is not None:
            self._stop(agent)
            self._after(fault.lasts, partial(self._come_back, fault.target))

    def _twin(self, fault: Fault) -> None:
        """A second process claims the id."""
        if fault.target in self.cluster.agents:
            self.cluster.start(self.cluster.members[fault.target])

    def _evict(self, fault: Fault) -> None:
        """The registry ends its stream: it read too slowly."""
        agent = self.cluster.newest(fault.target)
        if agent is not None and self.registry.up and not self.registry.paused:
            self._trouble(agent, 0.0, partial(self.registry.heartbeats.evict, fault.target), lambda: None)

    def _cut(self, fault: Fault) -> None:
        agent = self.cluster.newest(fault.target)
        if agent is not None:
            self._trouble(agent, 0.0, agent.path.cut, lambda: None)

    def _flap(self, fault: Fault) -> None:
        for number in range(int(fault.detail)):
            self.loop.at(self.loop.now + number, partial(self._cut, fault))

    def _partition(self, fault: Fault) -> None:
        agent = self.cluster.newest(fault.target)
        if agent is not None:
            directions = DIRECTIONS[int(fault.detail)]
            path = agent.path
            begin, end = partial(path.block, *directions), partial(path.unblock, *directions)
            self._trouble(agent, fault.lasts, begin, end, of_link=True)

    def _roam(self, fault: Fault) -> None:
        """Its network stops, and it goes on by another; the old one holds for a while what was on its way."""
        agent = self.cluster.newest(fault.target)
        if agent is not None and fault.lasts is not None:
            old = agent.path
            begin, end = partial(old.block, UP, DOWN), partial(old.unblock, UP, DOWN)
            self._trouble(agent, fault.lasts, begin, end, of_link=True)
            self.loop.at(self.loop.now + 0.5 * fault.lasts, partial(self._move, agent, old))

    def _move(self, agent: SimAgent, old: Path) -> None:
        if agent.up and not agent.over and not agent.paused and agent.path is old:
            self._roamed += 1
            agent.roams(self.cluster.path(f"{agent.name} roams {self._roamed}"))

    def _takeover(self, fault: Fault) -> None:
        """It is considered dead while it is only cut off: another is started, and it may leave before it learns."""
        agent = self.cluster.newest(fault.target)
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
        agent = self.cluster.newest(fault.target)
        if agent is not None:
            path = agent.path
            begin, end = partial(_slower, path, SLOW), partial(_slower, path, -SLOW)
            self._trouble(agent, fault.lasts, begin, end, of_link=True)

    # --- many at once -----------------------------------------------------------------------------------------------

    def _some(self, fault: Fault) -> list[str]:
        """A share of the fleet, by the number in the plan."""
        ids = [member.service_id for member in self.cluster.plan.fleet]
        return self.cluster.dice(f"some {fault.at}").sample(ids, max(1, round(fault.detail * len(ids))))

    def _storm(self, fault: Fault) -> None:
        for service_id in self.cluster.members:
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
        while service_id in self.cluster.members:
            self.loop.at(self.loop.now + after, partial(self._crash, Fault(fault.at, "crash", service_id, fault.lasts)))
            service_id = self.cluster.members[service_id].parent
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
        def slow() -> None:
            self._slow_disks += 1
            self.registry.disk = SLOW_DISK

        def fast() -> None:
            self._slow_disks -= 1
            if not self._slow_disks:
                self.registry.disk = self._disk

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
        self._chain_trouble(fault.lasts, partial(_slower, path, SLOW_TRON), partial(_slower, path, -SLOW_TRON))

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

        self.cluster.operator.call(word, told, int(fault.detail))

    def _publish(self, fault: Fault) -> None:
        self._published += 1
        event = Event(
            "note", alert_id=f"note-{self._published}", recipient=fault.target, occurred_at=self.registry.wall()
        )
        self.cluster.operator.call(words.Publish(event), self.observer.published, int(fault.detail))

    def _maintain(self, fault: Fault) -> None:
        self.cluster.operator.call(
            words.Maintain(fault.target, fault.lasts), self.observer.maintained, int(fault.detail)
        )

    def _deregister(self, fault: Fault) -> None:
        self.observer.dismissed.add(fault.target)
        for agent in self.cluster.agents.get(fault.target, ()):
            self.observer.unwell(agent)
        self.cluster.operator.call(words.Deregister(fault.target), lambda _: None, int(fault.detail))

    def _reader_cut(self, fault: Fault) -> None:
        for reader in (*self.cluster.watchers, self.cluster.subscriber)[int(fault.detail) :]:
            reader.path.cut()

    def _reader_partition(self, fault: Fault) -> None:
        for reader in (*self.cluster.watchers, self.cluster.subscriber)[int(fault.detail) :]:
            reader.path.block(UP, DOWN)
            self._after(fault.lasts, partial(reader.path.unblock, UP, DOWN))

    def _reader_pause(self, fault: Fault) -> None:
        reader = (*self.cluster.watchers, self.cluster.subscriber)[int(fault.detail)]
        reader.pause()
        self._after(fault.lasts, reader.resume)


def _slower(path: Path, extra: float) -> None:
    path.extra = max(0.0, path.extra + extra)
