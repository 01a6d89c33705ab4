"""Knows the truth: sees every process, every link and the disk, and reports which promise was broken, and when.

The promises are those of the architecture, made exact:

P1    Everything that was sent is on the disk at that moment, and is still there after each restart and at the end.
P2    DOWN or DEREGISTER is never applied (a) to an incarnation whose stream is open and of which something arrived
      less than `silence` real seconds ago, nor (b) to one that is well: its process runs, nothing is wrong with it or
      its link since it was last confirmed, whatever happened meanwhile to the registry, to TRON, or to the wall
      clock.
P3    A service that cannot be heard (dead, hung, cut off) is DOWN or deregistered within its bound, which is computed
      from the policy, from how it fell silent, and from when registry and TRON were last able to judge. A recipient
      is notified; see `hearing`.
P4    A stream on which no message will arrive (all services on it are DOWN, and were not heard since; or it has no
      service, and nothing arrived on it for a minute) is ended within a second: no socket of a dead machine stays.
P5    An incarnation is given to one process, the number for an id never falls, a process that is not the newest
      changes nothing, and every superseded process really has a successor.
P7    A reader sees each revision once and in order, none twice with two meanings, none left out while it keeps up;
      what it has in the end is what the registry has. Events the same, by their numbers.
ALERT One alert has one alert_id, whichever TRON sends it and however often. A death is reported once, "restored"
      only after "down", and always after it once the service is well.
STALL A service that beats but makes no progress is reported as stalled within its bound, and is never down for it.
GUARD No service is deregistered while the guard against mass failures is up, and the guard ends automatically.
FRESH No liveness is shown while TRON is not watching, and it is shown again soon after all is well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grid_model.event import Event
from grid_model.liveness import Liveness, LivenessCause
from grid_model.service import Maintenance, ServiceRole
from grid_model.verdict import Verdict, VerdictKind

from registry_server.core.changes import Change
from registry_server.core.effects import (
    Alert,
    AppendEvent,
    Registered,
    RemoveService,
    SupersededBy,
    WithdrawCopy,
    Write,
)
from registry_server.core.record import Record
from registry_server.core.registry import Registry
from registry_server.core.service import Service
from registry_server.core.sessions import EMPTY_FOR
from tests.simulation.bounds import Evidence, down_by, silent_since
from tests.simulation.hearing import Hearing
from tests.simulation.loop import Loop, Process
from tests.simulation.network import SENT_AGAIN
from tests.simulation.sim_store import SimStore
from tron.policy import Policy

if TYPE_CHECKING:
    from tests.simulation.sim_agent import SimAgent
    from tests.simulation.sim_registry import SimRegistry
    from tests.simulation.sim_tron import SimTron

PROMISES = ("P1", "P2", "P3", "P4", "P5", "P7", "ALERT", "STALL", "GUARD", "FRESH")

WATCHED_WITHIN = 9.0
"""Seconds from when nothing is wrong any more until somebody judges: a connect time-out, a back-off, a snapshot."""

ENDED_WITHIN = 1.0
"""Seconds within which a stream is ended on which nobody will speak any more, once that was judged."""

SETTLED_AFTER = 4.0
"""Seconds after which what a slow disk held back has happened."""

UNWATCHED_AFTER = 1.0
"""Seconds after TRON's death from which nothing may be shown as judged."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken."""

    promise: str
    at: float
    what: str

    def __str__(self) -> str:
        return f"{self.promise} broken at {self.at:.3f}s: {self.what}"


class Observer:
    """Records what happens, and checks what must hold: at each act, at each look, and at the end."""

    def __init__(self, loop: Loop, store: SimStore, policy: Policy, slack: float) -> None:
        self.loop = loop
        self.store = store
        self.policy = policy
        self.slack = slack
        self.violations: list[Violation] = []
        self.trace: list[tuple[float, str]] | None = None
        """What happened, where somebody wants to read it."""
        self.registry: SimRegistry
        self.processes: dict[str, list[SimAgent]] = {}
        self.well_since: dict[SimAgent, float] = {}
        """The agents that are well, and since when."""
        self.chain_faults = 0
        """How much is wrong now with those who judge: the registry, TRON, and what is between them."""
        self.chain_well_since: float | None = None
        self._chain_clear_at = 0.0
        self._hearing_from = 0.0
        self._returned: dict[str, float] = {}
        """When each service first registered since the registry hears."""
        self._arrived: dict[int, float] = {}
        self._answered: dict[int, float] = {}
        self._broke_at: dict[int, float] = {}
        self._ended_by_us: set[int] = set()
        """Incarnations whose last stream the registry ended."""
        self._goodbyes: set[Process] = set()
        """The processes that left on purpose, and whose goodbye was taken."""
        self._holders: dict[int, Process] = {}
        self._told_to: dict[int, SimAgent] = {}
        self._told_incarnation: dict[str, int] = {}
        self.hearing = Hearing(self)
        self.calm_since: float | None = None
        """When the last fault of the plan was over; None before."""
        self.tron: SimTron
        self.verdicts = 0
        self.dismissed: set[str] = set()
        """Whom operators asked to remove."""
        self._published: dict[int, str] = {}
        self._promoted: dict[str, ServiceRole] = {}
        self._maintained: dict[str, Maintenance] = {}
        self._revisions: dict[int, tuple[str, Service | None]] = {}
        self._events: dict[int, str] = {}
        self._registry_up_at = 0.0

    def breach(self, promise: str, what: str) -> None:
        """A promise is broken."""
        self.say(f"!!! {promise}: {what}")
        self.violations.append(Violation(promise, self.loop.now, what))

    def say(self, what: str) -> None:
        """For the trace."""
        if self.trace is not None:
            self.trace.append((self.loop.now, what))

    # --- what is wrong, from those who do it ------------------------------------------------------------------------

    def unwell(self, agent: SimAgent) -> None:
        """Something happened to the agent, or to its link: until it is confirmed again it may be deregistered."""
        self.well_since.pop(agent, None)

    def chain_disturbed(self) -> None:
        """Something is wrong with the registry or with TRON."""
        self.chain_faults += 1
        self.chain_well_since = None

    def chain_healed(self) -> None:
        """That is over."""
        self.chain_faults -= 1
        self._chain_clear_at = self.loop.now

    # --- the registry -----------------------------------------------------------------------------------------------

    def registry_started(self, core: Registry) -> None:
        """It loaded its store: is everything there that was ever told?"""
        self.say(f"registry starts with {len(core.records)} services")
        self._hearing_from = self._registry_up_at = self.loop.now
        self._returned.clear()
        self._ended_by_us.clear()  # who does not come back after a restart is judged by that
        known = self.store.incarnation
        self._holders = {number: process for number, process in self._holders.items() if number <= known}
        self.check_disk()

    def registry_heard_nothing(self) -> None:
        """It stood still, and begins to hear again now."""
        self._hearing_from = self.loop.now
        self._returned.clear()

    def registered(self, service: Service, process: Process) -> None:
        """It took a registration from this process; no answer was sent yet."""
        number, service_id = service.incarnation, service.spec.service_id
        self._ended_by_us.discard(number)
        self.say(f"registry takes {process.name} as incarnation {number}")
        self._arrived[number] = self.loop.now
        self._returned.setdefault(service_id, self.loop.now)
        holder = self._holders.setdefault(number, process)
        if holder is not process:
            self.breach("P5", f"{process.name} registered as incarnation {number}, which {holder.name} holds")
        if number < self._told_incarnation.get(service_id, 0):
            self.breach(
                "P5", f"{service_id!r} fell to incarnation {number}, after {self._told_incarnation[service_id]}"
            )

    def heard(self, record: Record, process: Process) -> None:
        """It took a beat from this process for this record."""
        number = record.incarnation
        self._ended_by_us.discard(number)
        self._arrived[number] = self.loop.now
        holder = self._holders.get(number)
        if holder is not process:
            name = "nobody" if holder is None else holder.name
            self.breach("P5", f"a beat of {process.name} counted for incarnation {number}, which {name} holds")

    def streams_broke(self, broken: Sequence[Record]) -> None:
        """It saw a stream end."""
        for record in broken:
            self._broke_at[record.incarnation] = self.loop.now

    def we_ended(self, carried: Sequence[Record]) -> None:
        """It is about to end a stream: nobody whom that carries did anything."""
        self._ended_by_us.update(record.incarnation for record in carried)

    def said_goodbye(self, record: Record, process: Process | None) -> None:
        """It removed a service that left on purpose."""
        service_id, number = record.spec.service_id, record.incarnation
        self.say(f"registry lets {service_id} go, incarnation {number}")
        holder = self._holders.get(number)
        if process is None:
            for agent in self.processes.get(service_id, ()):
                self.unwell(agent)
        elif holder is not process:
            self.breach("P5", f"the goodbye of {process.name} removed incarnation {number}, which is not its own")
        else:
            self._goodbyes.add(process)

    def spoke(self, process: Process) -> None:
        """It receives a heartbeat or a registration of this process."""
        if process in self._goodbyes:
            self.breach("P5", f"{process.name} goes on after its goodbye")

    def told(self, message: object) -> None:
        """It says something to an agent: what it says must be on the disk."""
        if type(message) is Registered:
            service = message.service
            self._answered[service.incarnation] = self.loop.now
            self._must_be_stored(service.spec.service_id, service.incarnation, "registered")
        elif type(message) is Alert and self.hearing.is_stale(message.event, self.loop.now):
            event = message.event
            self.breach("ALERT", f"{event.recipient} is told {event.type} of {event.service_id}, which is over")
        elif type(message) is SupersededBy and message.incarnation > self.store.incarnation:
            self.breach("P1", f"told superseded by incarnation {message.incarnation}, which is not on disk")

    def shown(self, change: Change) -> None:
        """It shows a change to a reader: it must be on the disk."""
        if change.service is not None:
            self._must_be_stored(change.service_id, change.service.incarnation, "shown to a reader")

    def judged(self, record: Record, verdict: Verdict) -> None:
        """It applied a verdict."""
        self.verdicts += 1
        service_id, kind = record.spec.service_id, verdict.kind
        self.say(f"verdict {kind.name} {verdict.cause.name} for {service_id}, incarnation {record.incarnation}")
        if kind not in (VerdictKind.DOWN, VerdictKind.DEREGISTER):
            return
        policy = self.policy
        misses = policy.misses_before_down if kind is VerdictKind.DOWN else policy.misses_before_deregister
        silent_for = self.loop.now - self._arrived.get(record.incarnation, float("-inf"))
        if record.session is not None and silent_for < policy.silence(record.spec.heartbeat_interval, misses) - 0.002:
            self.breach(
                "P2", f"{service_id} was judged {kind.name} {silent_for:.3f}s after it was heard, its stream open"
            )
        holder = self._holders.get(record.incarnation)
        owed = verdict.cause is LivenessCause.SILENT and record.session is not None
        if owed and not getattr(holder, "may_beat", True) and self.registry.owes_answer(record.incarnation):
            self.breach("P2", f"{service_id} was judged {kind.name} while it waits for the answer to its registration")
        for agent, since in self.well_since.items():
            if agent is holder:
                self.breach("P2", f"{agent.name} was judged {kind.name} though it is well since {since:.3f}s")

    def committed(self, writes: Sequence[Write]) -> None:
        """It wrote to the disk."""
        for write in writes:
            if type(write) is AppendEvent:
                self.hearing.stored(write.event, self.loop.now)
            elif type(write) is RemoveService:
                self.hearing.removed(write.tombstone.service_id, on_purpose=write.tombstone.judgement is None)
        for write in writes:  # in the light of all that became true with it
            if type(write) is WithdrawCopy:
                self.hearing.withdrawn(write.alert_id, write.recipient, self.loop.now, absent=write.absent)

    def may_have_left(self, service_id: str) -> bool:
        """Whether a process of this service said goodbye, or an operator removed it."""
        return service_id in self.dismissed or any(each.left for each in self.processes.get(service_id, ()))

    # --- agents -----------------------------------------------------------------------------------------------------

    def holds(self, agent: SimAgent, incarnation: int) -> None:
        """The agent received its incarnation."""
        self.say(f"{agent.name} holds incarnation {incarnation}")
        holder = self._told_to.setdefault(incarnation, agent)
        if holder is not agent:
            self.breach("P5", f"incarnation {incarnation} was given to {holder.name} and to {agent.name}")
        service_id = agent.spec.service_id
        self._told_incarnation[service_id] = max(self._told_incarnation.get(service_id, 0), incarnation)

    def confirmed(self, agent: SimAgent) -> None:
        """The agent received an acknowledgement, after the last thing that went wrong with it."""
        self.well_since.setdefault(agent, self.loop.now)

    def superseded(self, agent: SimAgent, incarnation: int) -> None:
        """The agent learned that another holds its id, and stops."""
        self.say(f"{agent.name} stops: superseded by incarnation {incarnation}")
        self.well_since.pop(agent, None)
        if self.processes[agent.spec.service_id] == [agent]:
            self.breach(
                "P5", f"{agent.name} was told to stop for incarnation {incarnation}, and nobody else has its id"
            )

    def told_down(self, agent: SimAgent, event: Event) -> None:
        """The agent learned that it had been declared down."""
        self.say(f"{agent.name} hears that it was declared down")
        if event.service_id != agent.spec.service_id or event.type != "service_down":
            self.breach("ALERT", f"{agent.name} was told of {event.type} of {event.service_id} as its own death")

    def delivered(self, agent: SimAgent, event: Event) -> None:
        """An alert reached the agent's inbox."""
        self.say(f"{agent.name} gets {event.type} of {event.service_id} ({event.alert_id[:8]})")
        if not self.hearing.is_stored(event):
            self.breach("P1", f"{agent.name} was told of {event.type} of {event.service_id}, which is not on disk")

    def heeded(self, agent: SimAgent, alert_id: str) -> None:
        """The agent's program took the alert and acknowledges it."""
        self.hearing.heard(alert_id, agent.spec.service_id)

    def operators_heard(self, event: Event) -> None:
        """The operators' sinks hold an alert for good."""
        self.say(f"operators hear {event.type} of {event.service_id} ({event.alert_id[:8]})")
        if not self.hearing.is_stored(event):
            self.breach("P1", f"operators were told of {event.type} of {event.service_id}, which is not on disk")
        self.hearing.heard(event.alert_id, event.recipient)

    # --- readers ----------------------------------------------------------------------------------------------------

    def revision_seen(self, reader: str, change: Change) -> None:
        """A reader saw a change; a snapshot is not made of these."""
        known = self._revisions.setdefault(change.revision, (change.service_id, change.service))
        if known != (change.service_id, change.service):
            self.breach("P7", f"{reader} saw revision {change.revision} of {change.service_id} with another meaning")

    def event_seen(self, reader: str, event: Event) -> None:
        """A reader saw an event."""
        known = self._events.setdefault(event.sequence, event.alert_id)
        stored = self.store.events.get(event.sequence)
        if known != event.alert_id:
            self.breach("P7", f"{reader} saw event {event.sequence} as {known} and as {event.alert_id}")
        if stored is None and event.sequence >= min(self.store.events, default=self.store.sequence + 1):
            self.breach("P1", f"{reader} saw event {event.sequence}, which is not on disk")

    # --- at each moment ---------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Compare the truth with what the registry says, as far as its time has come."""
        registry, now = self.registry, self.loop.now
        self._look_for_watcher(now)
        self._look_at_streams()
        if self.chain_faults:
            return
        if self.chain_well_since is None:
            if registry.core.watched:
                self.chain_well_since = now
            elif now > self._chain_clear_at + WATCHED_WITHIN:
                self.breach("FRESH", f"nobody judges since {self._chain_clear_at:.3f}s, and nothing is wrong")
            return
        for service_id, processes in self.processes.items():
            record = registry.core.records.get(service_id)
            if record is None:
                continue
            out_since = silent_since(processes)
            if out_since is None:
                self._look_for_stall(record, processes, now)
            elif record.judgement.liveness is not Liveness.DOWN and now > self._down_by(record, processes, out_since):
                self.breach("P3", f"{service_id} cannot be heard since {out_since:.3f}s, and is not declared down")
        self.hearing.look(now)

    def _down_by(self, record: Record, processes: list[SimAgent], out_since: float) -> float:
        assert self.chain_well_since is not None
        number, clock = record.incarnation, self.registry.clock
        holder = self._holders.get(number)
        agent = next((each for each in processes if each is holder), processes[-1])
        known = Evidence(
            out_since=out_since,
            arrived_at=self._arrived.get(number, 0.0),
            answered_at=self._answered.get(number, 0.0),
            broke_at=self._broke_at.get(number, 0.0),
            hearing_from=self._hearing_from,
            returned_at=max(self._returned.values(), default=0.0),
            judging_from=self.chain_well_since,
            deaf_for=self.loop.now - self._registry_up_at - clock.read(self.loop.now),
        )
        return down_by(record, agent, known, self.policy, clock.hearing_since) + self.slack

    def _look_at_streams(self) -> None:
        """What we ended accuses nobody, and what is silent for good does not stay open."""
        registry = self.registry
        if not registry.up or registry.paused or registry.draining:
            return
        carried: dict[int, list[Record]] = {}
        for record in registry.core.records.values():
            if record.session is not None:
                carried.setdefault(record.session, []).append(record)
                continue
            accused = record.judgement.cause is LivenessCause.DISCONNECTED
            if accused and record.incarnation in self._ended_by_us and record.judged_at > (record.detached_at or 0.0):
                name = f"{record.spec.service_id} was judged {record.judgement.liveness.name}"
                self.breach("P2", f"{name} (DISCONNECTED), and it was the registry that ended its stream")
        if self.chain_well_since is None or self.loop.now < self.chain_well_since + SETTLED_AFTER:
            return
        now = registry.now().attentive
        for stream in registry.heartbeats.streams():
            records = carried.get(stream.session_id, [])
            if any(each.judgement.liveness is not Liveness.DOWN for each in records):
                continue
            last = stream.arrived_at if records else stream.arrived_at + EMPTY_FOR
            since = max([last, *(each.judged_at for each in records)])
            if since > stream.arrived_at and now > since + ENDED_WITHIN + self.slack:
                self.breach("P4", f"a stream with {len(records)} services is still open, and all of them are down")

    def _look_for_watcher(self, now: float) -> None:
        tron, registry = self.tron, self.registry
        if tron.up or not registry.up or registry.paused or not tron.path.open or tron.died_at is None:
            return
        since = max(tron.died_at, self._registry_up_at, self._hearing_from)
        if tron.path.opened_at > tron.died_at:
            since = max(since, tron.path.opened_at + SENT_AGAIN)  # the end of its stream was held up
        if now > since + UNWATCHED_AFTER + self.slack and registry.core.watched:
            self.breach("FRESH", f"judgements are shown, and TRON is dead since {tron.died_at:.3f}s")

    def _look_for_stall(self, record: Record, processes: list[SimAgent], now: float) -> None:
        assert self.chain_well_since is not None
        agent = processes[-1]
        well_since, stall_after = self.well_since.get(agent), record.spec.stall_after
        if agent.stalled_since is None or well_since is None or stall_after is None:
            return
        if agent.busy_until > now or self.registry.core.maintenance_of(record.spec.service_id) is not None:
            return
        since = max(agent.stalled_since, well_since, agent.busy_until)
        since = max(since, self._hearing_from + self.policy.reattach_window, self.chain_well_since)
        interval = record.spec.heartbeat_interval
        patience = max(stall_after, self.policy.silence(interval, 1)) + 2 * interval  # the first beat may bring news
        late = now > since + patience + self.slack
        if late and record.judgement.cause is not LivenessCause.STALLED:
            self.breach("STALL", f"{agent.name} gets nothing done since {agent.stalled_since:.3f}s, and nobody says so")

    # --- the disk ---------------------------------------------------------------------------------------------------

    def check_disk(self) -> None:
        """Everything that was sent is there."""
        for service_id, number in self._told_incarnation.items():
            self._must_be_stored(service_id, number, "held by a process")
        for sequence, alert_id in self._published.items():
            if sequence >= min(self.store.events, default=self.store.sequence + 1):
                stored = self.store.events.get(sequence)
                if stored is None or stored.alert_id != alert_id:
                    self.breach("P1", f"the event {alert_id} that was acknowledged as {sequence} is lost")
        for service_id, role in self._promoted.items():
            intent, service = self.store.intents.get(service_id), self.store.services.get(service_id)
            if intent is None or intent.promoted_to is not role:
                self.breach("P1", f"the promotion of {service_id} to {role.name} is lost")
            if service is not None and service.spec.role is not role:
                self.breach("P1", f"{service_id} was promoted to {role.name} and is {service.spec.role.name}")
        for service_id, maintenance in self._maintained.items():
            over = maintenance.until is not None and maintenance.until <= self.registry.latest_wall
            if not over and service_id not in self.store.maintenance:
                self.breach("P1", f"the maintenance of {service_id} is lost")

    def published(self, event: object) -> None:
        """A client was answered that this event is in the log."""
        assert isinstance(event, Event)
        self._published[event.sequence] = event.alert_id

    def promoted(self, service_id: str, role: ServiceRole) -> None:
        """A client was answered that it was promoted."""
        self._promoted[service_id] = role

    def maintained(self, maintenance: object) -> None:
        """A client was answered that alerts are held."""
        if isinstance(maintenance, Maintenance):
            self._maintained[maintenance.service_id] = maintenance

    def _must_be_stored(self, service_id: str, number: int, why: str) -> None:
        stored, tombstone = self.store.services.get(service_id), self.store.tombstones.get(service_id)
        on_disk = max(stored.incarnation if stored else 0, tombstone.incarnation if tombstone else 0)
        if on_disk < number or self.store.incarnation < number:
            self.breach("P1", f"incarnation {number} of {service_id} was {why}; on disk is {on_disk}")
