"""TRON's judge and the registry's real core, in one process: between them are only the messages of the wire."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from grid_model.declaration import Declaration
from grid_model.event import Event
from grid_model.observation import Frame
from grid_model.service import Maintenance
from grid_model.verdict import AlertCopy, VerdictOutcome

from registry_server.core.commits import Commits
from registry_server.core.effects import Effects
from registry_server.core.observer_stream import ObserverStream
from registry_server.core.record import Record
from registry_server.core.registry import Registry
from registry_server.core.service import Instant
from tests.simulation.translation import Wire
from tests.support.end_stream import end_stream
from tron.facts import Kind
from tron.judge import Judge
from tron.orders import Orders, Ruling
from tron.policy import Policies, Policy

EPOCH = 1_700_000_000.0
OBSERVER = "tron"
TICK = 0.1
EVERYTHING = 2**62

PATIENT = Policy(misses_before_deregister=10_000, guard_ratio=1.0)
"""No service is deregistered soon, and no failure is a mass failure: for stories about recipients."""


class CorePair:
    """A registry, and a TRON that judges each tick. Agents beat by themselves for as long as they are in `beating`."""

    def __init__(self, policy: Policy = PATIENT, registry: Registry | None = None, **overrides: Policy) -> None:
        self.policies = Policies(policy, overrides)
        self.registry = registry or Registry()
        self.now = 0.0
        self.hearing_since = 0.0
        self.beating: set[str] = set()
        self.judged: list[tuple[float, Kind, str]] = []
        """What was accepted, and when."""
        self.rulings: list[Ruling] = []
        self.copies: list[AlertCopy] = []
        """Those that the registry took for new."""
        self._sessions: dict[str, int] = {}
        self._next = 0
        self._feed_id = 900
        self._wire = Wire()
        self.restart_tron()

    def instant(self) -> Instant:
        """This moment."""
        return Instant(EPOCH + self.now, self.now)

    def restart_tron(self) -> None:
        """TRON is killed, and another one reads the snapshot."""
        self.registry.close_feed(self._feed_id, self.instant())
        self._feed_id += 1
        durable = Commits(sequence=EVERYTHING)
        self._stream = ObserverStream(self.registry, durable, self._feed_id, OBSERVER, max_in_frame=EVERYTHING)
        self.judge = Judge(self.policies, OBSERVER)

    def join(self, service_id: str, parent: str = "", **fields: Any) -> Record:
        """A process starts, registers on a stream of its own, and beats."""
        self.now += 0.001
        self._next += 1
        self._sessions[service_id] = self._next
        self.registry.open_session(self._next)
        spec = Declaration(
            **{"name": service_id, "heartbeat_interval": 1.0, **fields}, service_id=service_id, parent=parent
        )
        self.registry.register(spec, 0, "", self._next, self.instant())
        self.beating.add(service_id)
        return self.registry.get(service_id)

    def kill(self, *service_ids: str) -> None:
        """Their streams break."""
        for service_id in service_ids:
            self.beating.discard(service_id)
            self.registry.streams_broke(
                end_stream(self.registry, self._sessions[service_id], self.instant()), self.instant()
            )

    def hang(self, *service_ids: str) -> None:
        """They beat no more; their streams stand."""
        self.beating.difference_update(service_ids)

    def leave(self, service_id: str) -> None:
        """It says goodbye."""
        self.beating.discard(service_id)
        self.registry.goodbye(self._sessions[service_id], service_id, "", self.instant())

    def maintain(self, service_id: str, *, until: float | None = None) -> None:
        """An operator holds notices about it, to this second, or without an end."""
        wall = None if until is None else EPOCH + until
        self.registry.hold_notices(Maintenance(service_id, self.instant().wall, wall, "new disk"))

    def acknowledge(self, recipient: str, kind: str = "", about: str = "") -> list[str]:
        """The recipient acknowledges its copies (of one type, about one service); return their ids."""
        found = [each.alert_id for each in self.mail(recipient, kind) if about in ("", each.service_id)]
        for alert_id in found:
            self.registry.acknowledge(alert_id, recipient, self.instant())
        return found

    def mail(self, recipient: str, kind: str = "") -> list[Event]:
        """What waits for a recipient, oldest first."""
        waiting = self.registry.waiting_for(recipient)
        return [copy.event for copy in waiting if kind in ("", copy.event.type)]

    def told(self, recipient: str, kind: str = "") -> list[Event]:
        """What the log says that a recipient was notified of, oldest first, also what waits no more."""
        events = self.registry.recent_events(0, 10_000) or []
        return [event for event in events if event.recipient == recipient and kind in ("", event.type)]

    def about(self, recipient: str, kind: str = "service_down") -> list[str]:
        """About whom alerts of one type wait for a recipient."""
        return [event.service_id for event in self.mail(recipient, kind)]

    def step(self) -> Orders:
        """One tick: agents beat, TRON judges, the registry applies. Return the orders."""
        self.now = round(self.now + TICK, 6)
        self.send_beats()
        self.registry.tick(self.instant())
        return self.look()

    def send_beats(self) -> None:
        """Each agent in `beating` sends a heartbeat."""
        for service_id in sorted(self.beating):
            self.beat(service_id)

    def look(self) -> Orders:
        """TRON reads a frame, judges, and its orders are applied."""
        self.judge.learn(self.frame())
        orders = self.judge.decide(self.hearing_since, self.instant().wall)
        self.apply(orders)
        return orders

    def frame(self) -> Frame:
        """What TRON reads of the registry now."""
        (frame,) = self._stream.frame(self.instant(), lambda: self.hearing_since)
        return self._wire.frame(frame)

    def apply(self, orders: Orders) -> None:
        """As the registry's door does it: verdicts, notices, then what stands."""
        now = self.instant()
        outcomes = [self.registry.apply(self._wire.verdict(each.verdict()), now).outcome for each in orders.rulings]
        for ruling, outcome in zip(orders.rulings, outcomes, strict=True):
            if outcome is VerdictOutcome.APPLIED:
                self.judged.append((self.now, ruling.transition.kind, ruling.transition.service_id))
                self.rulings.append(ruling)
        for ruling, outcome in reversed(list(zip(orders.rulings, outcomes, strict=True))):
            if outcome is VerdictOutcome.STALE:
                self.judge.refused(ruling)
        for copy in orders.copies:
            if self.registry.notify(self._wire.copy(copy), now):
                self.copies.append(copy)
        standing = map(self._wire.suspicion, orders.preauthorized)
        self.registry.preauthorize(standing, orders.withdrawn, held=self.judge.guard.many_fail)
        self.registry.defer(OBSERVER, self._wire.deadlines(orders.deadlines))
        self.registry.report_cascade(self.judge.cascade_alert_id)
        self.registry.judged(OBSERVER, now, None, self.idle_until(orders))
        self.deliver(self.registry.take())

    def idle_until(self, orders: Orders) -> float | None:
        """Until when TRON says that it needs no frame without news; here it always wants one at each tick."""
        return None

    def deliver(self, effects: Effects) -> None:
        """What the registry sends after TRON's orders reaches nobody here: alerts wait in the mailboxes."""

    def run(self, seconds: float) -> None:
        """Let time pass."""
        for _ in range(round(seconds / TICK)):
            self.step()

    def beat(self, service_id: str) -> None:
        """It says that it is alive."""
        self.registry.beat(self._sessions[service_id], service_id, 0, None, self.instant())

    def decide(self) -> Orders:
        """A tick whose orders are still on their way to the registry."""
        self.now = round(self.now + TICK, 6)
        self.send_beats()
        self.judge.learn(self.frame())
        return self.judge.decide(self.hearing_since, self.instant().wall)

    def session(self, service_id: str) -> int:
        """Its stream."""
        return self._sessions[service_id]

    def kinds(self, service_id: str) -> list[Kind]:
        """What was judged of a service, in order."""
        return [kind for _, kind, about in self.judged if about == service_id]


def grown(pair: CorePair, tree: dict[str, str], **fields: Any) -> CorePair:
    """The pair with these services (child: parent), known for a while, so that they count as established."""
    for service_id, parent in tree.items():
        pair.join(service_id, parent, **fields)
    pair.run(3.0)
    return pair


def ids(events: Iterable[Event]) -> list[str]:
    """Their alert_ids."""
    return [event.alert_id for event in events]
