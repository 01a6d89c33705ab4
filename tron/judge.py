"""All of TRON's judgement in one pure object: a frame of facts in, orders for the registry out.

It ties the parts together: the detector says what became true, the guard and the damping whether it is told, the
lineage to whom, the escalations to whom else, and the standing suspicions what the registry may say by itself. It is
rebuilt from each snapshot: whatever must survive is a fact that the registry keeps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from tron import alert_book
from tron.damping import Damping
from tron.detector import Detector
from tron.escalation import ASK_AGAIN, Escalations
from tron.facts import OPERATORS, AlertDraft, Cause, Facts, Forebear, Frame, Kind, Lease, OpenCopy, State, Transition
from tron.guard import Guard
from tron.lineage import Lineage
from tron.policy import OrphanPolicy, Policies
from tron.standing import Standing, StandingSuspicion
from tron.unreached import Unreached

ORPHANS_AT_ONCE = 200
"""Orphans that are told in the transaction of the verdict; the others a tick later, if it was not refused."""

MAX_FOLDED = 400_000
"""Bytes of ids that one verdict takes along: a call has at most 1 MiB. Who has no room is told of by itself."""

PART = 200
"""Orders that are decided in one go: 10 ms, and one call."""

_FAILURES = frozenset({Kind.MISS, Kind.SUSPECT})
_FOR_OPERATORS = frozenset({Kind.STALL, Kind.DOWN, Kind.DEREGISTER})


@dataclass(frozen=True, slots=True)
class Ruling:
    """One transition with what is said about it; `hushed`: why nobody is told for now, empty where somebody is."""

    transition: Transition
    alert: AlertDraft | None = None
    hushed: str = ""
    folded: bool = False
    folds: tuple[str, ...] = ()
    further: tuple[AlertDraft, ...] = ()


@dataclass(frozen=True, slots=True)
class Notice:
    """An alert without a verdict, or one more copy of one; the contract explains each field."""

    alert_id: str
    alert: AlertDraft | None = None
    climbs_from: str = ""
    told_about: str = ""


@dataclass(slots=True)
class Orders:
    """Everything for the registry that follows from one frame."""

    rulings: list[Ruling] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    standing: list[StandingSuspicion] = field(default_factory=list)
    withdrawn: list[int] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether nothing has to be told."""
        return not (self.rulings or self.notices or self.standing or self.withdrawn)

    def __len__(self) -> int:
        return len(self.rulings) + len(self.notices) + len(self.standing) + len(self.withdrawn)

    def add(self, more: Orders) -> None:
        """Take over what came later."""
        self.rulings += more.rulings
        self.notices += more.notices
        self.standing += more.standing
        self.withdrawn += more.withdrawn


class Judge:
    """Judges all services of one registry, as of the frames that it is given. `observer` is TRON's own service_id."""

    def __init__(self, policies: Policies, observer: str) -> None:
        self.policies = policies
        self.detector = Detector(policies, exempt=frozenset({observer}))
        self.lineage = Lineage()
        self.guard = Guard(policies.default)
        self.damping = Damping()
        self.escalations = Escalations()
        self.mail: dict[str, OpenCopy] = {}
        """What operators are still to be told, by alert_id: in the registry until it is acknowledged."""
        self.suspected: list[Facts] = []
        """Whom the registry suspected in our name since this was last emptied."""
        self.cascade_alert_id = ""
        self.complete = False
        """Whether the snapshot was read."""
        self.now = 0.0
        self._observer = observer
        self._unreached = Unreached()
        self._standing = Standing()
        self._untold: dict[str, None] = {}
        self._not_yet: set[str] = set()
        """Whose held deaths come with the next frame: there were too many for one."""
        self._folded: dict[str, str] = {}
        self._orphans: list[AlertDraft] = []
        """Who is still to be told that its parent is down."""
        self._lists: dict[str, tuple[str, tuple[str, ...]]] = {}
        """By service_id: the alert of its death, and who is listed in it."""

    def set_policies(self, policies: Policies) -> None:
        """Judge by these from now on."""
        self.policies = policies
        self.guard.policy = policies.default
        self.detector.set_policies(policies)
        for lease in self.detector.leases():
            self._standing.touch(lease.facts.service_id)

    def learn(self, frame: Frame) -> None:
        """Take over what the registry tells."""
        self.now = frame.now
        for forebear in frame.forebears:
            self.lineage.remember(forebear)
        for service_id in frame.removed:
            self._forget(service_id)
        for facts in frame.observations:
            self._learn_facts(facts)
        for incarnation, observation, at in frame.beats:
            self.detector.heard(incarnation, observation, at)
        for copy in frame.copies:
            self.escalations.put(copy)
            self._unreached.put(copy)
            if copy.alert.recipient == OPERATORS:
                self.mail[copy.alert.alert_id] = copy
        for alert_id, recipient in frame.copies_ended:
            self.escalations.end(alert_id, recipient)
            self._unreached.end(alert_id, recipient)
            if recipient == OPERATORS:
                self.mail.pop(alert_id, None)
        if frame.cascade_alert_id:
            self.cascade_alert_id = frame.cascade_alert_id
            failed = (lease.facts.service_id for lease in self.detector.leases() if lease.state is not State.ALIVE)
            self.guard.resume(frame.now, failed)
        if frame.hearing_since != self.detector.hearing_since:
            self._standing.forget_all(lease.facts.service_id for lease in self.detector.leases())
        self.complete = self.complete or frame.snapshot_complete
        if frame.snapshot_complete:
            self._recount()

    def decide(self, hearing_since: float, wall: float) -> Orders:
        """All that follows from what is known, in one piece; see `decide_in_parts`."""
        whole = Orders()
        for orders in self.decide_in_parts(hearing_since, wall):
            whole.add(orders)
        return whole

    def decide_in_parts(self, hearing_since: float, wall: float, size: int = PART) -> Iterator[Orders]:
        """What follows from all that is known, in parts of about `size` orders; between two of them others may run, and
        an empty part is there only for that. `wall`: the epoch time of the newest frame. Call once a frame, after the
        snapshot is complete; the orders count as accepted until `refused` says otherwise."""
        orders = Orders()
        transitions: list[Transition] = []
        overdone: set[str] = set()
        more = True
        while more:
            # Everyone who fails is counted before anyone is ruled about: many at once are one failure.
            found = self.detector.advance(self.now, hearing_since, size)
            overdone |= {each.service_id for each in found if self._count(each)}
            transitions += found
            more = len(found) == size
            if more:
                yield Orders()
        self._watch_for_cascades(orders, wall)
        self._tell_orphans(orders)
        released = self._release(orders, wall)
        for transition in transitions:
            # A death that was held is told before it is final.
            waits = self.guard.holds or transition.service_id in released or transition.service_id in self._not_yet
            if transition.kind is Kind.DEREGISTER and waits:
                self.detector.refused(transition)
            else:
                orders.rulings.append(self._rule(transition, overdone, wall))
            if len(orders) >= size:
                yield orders
                orders = Orders()
        while self._climb(orders, size):
            yield orders
            orders = Orders()
        while self._stand_by(orders, size):
            yield orders
            orders = Orders()
        yield orders

    def refused(self, ruling: Ruling) -> None:
        """The registry knew better. Newer facts are on their way."""
        self.detector.refused(ruling.transition)
        if ruling.transition.kind in _FAILURES:
            self.guard.ended(ruling.transition.service_id)  # it does not fail: a newer fact is there
        self._standing.touch(ruling.transition.service_id)
        before = ruling.transition.facts
        self._note_told(ruling.transition.service_id, before.told_to, before.untold)
        for service_id in ruling.folds:
            self._folded.pop(service_id, None)

    def undelivered(self) -> list[AlertDraft]:
        """CRITICAL alerts of which nobody at all was notified in time, each once."""
        return self._unreached.due(self.now, self._reaches)

    def recipient_of(self, facts: Facts) -> str:
        """Who is told about a service: its parent as declared, or who stands in for it; empty where nobody is."""
        adopts = self.policies.of(facts.service_id).orphan_policy is OrphanPolicy.ADOPT
        if facts.parent and adopts and self._is_lost(facts.parent):
            return self.next_live(facts.parent)
        return facts.parent

    def next_live(self, word: str) -> str:
        """The next ancestor above `word` that is not down; the operators where there is none."""
        for ancestor in self.lineage.ancestors(word):
            service_id = self.lineage.resolve(ancestor)
            if service_id is not None and not self._is_down(service_id):
                return service_id
        return OPERATORS

    def folded_into(self, facts: Facts) -> str:
        """The alert of another service that lists this one; empty where none does."""
        return facts.folded_into or self._folded.get(facts.service_id, "")

    def hush(self, kind: Kind, facts: Facts) -> str:
        """Why nobody is told of such a transition now; empty where somebody is."""
        if kind is Kind.RESTORE:
            return "" if facts.told_to else "its failure was told to nobody"
        if facts.maintained:
            return "maintenance"
        if self.guard.covers(facts.service_id) and kind is not Kind.STALL:
            return "mass failure"
        if kind in _FAILURES and self.damping.is_damped(facts.service_id, self.now):
            return "flapping"
        listed = kind is Kind.DEREGISTER and not facts.parent and facts.service_id in self.guard.listed
        return "told with a mass failure" if listed else ""

    # --- facts ------------------------------------------------------------------------------------------------------

    def _learn_facts(self, facts: Facts) -> None:
        service_id = facts.service_id
        before = self.detector.find(service_id)
        self.lineage.put(Forebear(service_id, facts.name, facts.parent))
        self.detector.observe(facts)
        self._standing.touch(service_id)
        if before is None:
            self._touch_children(service_id)
        if facts.judged is State.DOWN and facts.untold is not None:
            self._untold[service_id] = None
        else:
            self._untold.pop(service_id, None)
        if facts.judged is State.ALIVE:
            self._folded.pop(service_id, None)
        if before is not None and before.state is State.ALIVE and facts.judged is State.SUSPECT:
            self._standing.used_up(service_id)
            self.suspected.append(facts)
            self.guard.failed(service_id, facts.judged_at, before.judged_at)  # a stream that broke: when is known
            self.damping.suspected(service_id, self.now, self.policies)

    def _forget(self, service_id: str) -> None:
        lease = self.detector.find(service_id)
        self._touch_children(service_id)
        self.detector.forget(service_id)
        self.lineage.remove(service_id)
        self.guard.ended(service_id)
        self._standing.used_up(service_id)
        self._untold.pop(service_id, None)
        self._folded.pop(service_id, None)
        self._lists.pop(service_id, None)
        self._look_at_mail_of(service_id, None if lease is None else lease.facts.name)

    def _recount(self) -> None:
        """Who failed just before we came still counts; what was judged before the registry's start does not."""
        failing = [each for each in self.detector.leases() if each.state is not State.ALIVE and each.judged_at > 0.0]
        for lease in sorted(failing, key=lambda each: each.judged_at):
            if lease.cause is not Cause.STALLED:
                self.guard.failed(lease.facts.service_id, lease.judged_at, 0.0, _spread(lease.cause, lease.facts))

    # --- transitions ------------------------------------------------------------------------------------------------

    def _count(self, transition: Transition) -> bool:
        """Tell guard and damping. Return whether it is the suspicion that makes too many."""
        service_id = transition.service_id
        self._standing.touch(service_id)
        if transition.kind in _FAILURES:
            facts = transition.facts
            self.guard.failed(service_id, self.now, facts.judged_at, _spread(transition.cause, facts))
            return self.damping.suspected(service_id, self.now, self.policies)
        if transition.kind in (Kind.RECOVER, Kind.RESTORE):
            self.guard.ended(service_id)
            self._folded.pop(service_id, None)
            self._touch_children(service_id)
        return False

    def _watch_for_cascades(self, orders: Orders, wall: float) -> None:
        cascade = self.guard.update(self.now, lambda: self.detector.states()[State.ALIVE], self._parent_of)
        self.detector.hold_deregistrations(self.guard.holds)
        if cascade is not None:
            alert = alert_book.cascade_alert(cascade, self._observer, wall, self.now)
            self.cascade_alert_id = alert.alert_id
            orders.notices.append(Notice(alert.alert_id, alert))
        elif not self.guard.active:
            self.cascade_alert_id = ""

    def _rule(self, transition: Transition, overdone: set[str], wall: float) -> Ruling:
        facts, kind = transition.facts, transition.kind
        recipient = self.recipient_of(facts)
        if kind is Kind.RESTORE and facts.told_to and recipient not in facts.told_to:
            recipient = facts.told_to[0]
        elif not recipient and kind in _FOR_OPERATORS:
            recipient = OPERATORS
        alert = alert_book.alert_for(transition, wall, self.now, recipient)
        if alert is None:
            return Ruling(transition)
        hushed = self.hush(kind, facts)
        if hushed == "flapping" and transition.service_id in overdone:
            policy = self.policies.of(transition.service_id)
            hushed, alert = "", alert_book.flapping(alert, policy.flap_count, policy.flap_window)
        if hushed:
            alert = alert_book.held(alert, hushed)
            if kind is Kind.DOWN:
                self._note_told(transition.service_id, (), alert)
            return Ruling(transition, alert, hushed)
        if kind is Kind.RESTORE:
            self._note_told(transition.service_id, (), None)
            others = [each for each in facts.told_to if each != recipient]
            further = tuple(alert_book.climbing(alert, each, "was told that it was down") for each in others)
            return Ruling(transition, alert, further=further)
        if kind is Kind.DOWN:
            return self._rule_down(transition, alert, wall)
        return Ruling(transition, alert, folded=kind is Kind.DEREGISTER and bool(self.folded_into(facts)))

    def _rule_down(self, transition: Transition, alert: AlertDraft, wall: float) -> Ruling:
        """A death: who failed with it is listed in its alert, and its living children are told."""
        facts = transition.facts
        self._note_told(facts.service_id, (self.lineage.resolve(alert.recipient) or alert.recipient,), None)
        self._look_at_mail_of(facts.service_id, facts.name)
        affected = alert_book.within(self._failed_with(transition), MAX_FOLDED)
        told = self._orphan_alerts(alert, wall)
        self._touch_children(facts.service_id)
        alert = alert_book.with_subtree(alert, affected, len(told))
        for service_id in affected:
            self._folded[service_id] = alert.alert_id
        self._lists[facts.service_id] = alert.alert_id, tuple(affected)
        self._orphans += told[ORPHANS_AT_ONCE:]
        return Ruling(
            transition,
            alert,
            folded=self._is_told_by(self.folded_into(facts), facts.service_id, affected),
            folds=tuple(affected),
            further=tuple(told[:ORPHANS_AT_ONCE]),
        )

    def _note_told(self, service_id: str, told_to: tuple[str, ...], untold: AlertDraft | None) -> None:
        """What the registry will say of a service's last death, before it says so."""
        lease = self.detector.find(service_id)
        if lease is not None:
            lease.facts = replace(lease.facts, told_to=told_to, untold=untold)
            if untold is not None:
                self._untold[service_id] = None
            else:
                self._untold.pop(service_id, None)

    def _orphan_alerts(self, death: AlertDraft, wall: float) -> list[AlertDraft]:
        """What its living children are told of a death."""
        stands_in = self.next_live(death.service_id)
        return [
            alert_book.orphan_alert(
                death, lease.facts, self.policies.of(lease.facts.service_id).orphan_policy, stands_in, wall
            )
            for lease in map(self.detector.find, self.lineage.children(death.service_id))
            if lease is not None and lease.state is State.ALIVE
        ]

    def _failed_with(self, transition: Transition) -> list[str]:
        """Everyone below a service whose failure belongs to the same story: not judged yet, judged since a window
        before it was last heard, or told to it and not acknowledged."""
        descendants = self.lineage.descendants(transition.service_id)
        if not descendants:
            return []
        since = transition.heard_at - self.policies.default.guard_window
        words = (transition.service_id, transition.facts.name)
        waiting = [copy.alert for word in words for copy in self.escalations.waiting_for(word)]
        unheard = {alert.service_id for alert in waiting}
        # Who is listed in an alert that climbs no further because of this one must be listed here, even if it is gone.
        told = {alert.service_id: tuple(alert.details.get("affected", ())) for alert in waiting}
        found: dict[str, None] = {}
        for service_id in descendants:
            lease = self.detector.find(service_id)
            if lease is None or lease.state is State.ALIVE or lease.cause is Cause.STALLED:
                continue
            if lease.state is State.SUSPECT or lease.judged_at >= since or service_id in unheard:
                _, listed = self._lists.get(service_id, ("", told.get(service_id, ())))
                found |= dict.fromkeys((service_id, *listed))
        return list(found)

    def _is_told_by(self, alert_id: str, service_id: str, affected: list[str]) -> bool:
        """Whether this alert of an ancestor, which lists the service, lists all who failed with the service too."""
        for word in self.lineage.ancestors(service_id) if alert_id else ():
            known, listed = self._lists.get(self.lineage.resolve(word) or word, ("", ()))
            if known == alert_id:
                return set(affected) <= set(listed)
        return bool(alert_id) and not affected

    # --- who else is told -------------------------------------------------------------------------------------------

    def _tell_orphans(self, orders: Orders) -> None:
        """The orphans for whom there was no room with the verdict."""
        orphans, self._orphans = self._orphans, []
        orders.notices += [Notice(each.alert_id, each) for each in orphans if self._is_down(each.service_id)]

    def _release(self, orders: Orders, wall: float) -> set[str]:
        """Deaths that were held back are told once nothing holds them any more, to orphans too; return whose."""
        released: set[str] = set()
        waiting = list(self._untold)
        self._not_yet = set()
        for n, service_id in enumerate(waiting):
            if len(released) >= PART:
                self._not_yet = set(waiting[n:])
                break
            lease = self.detector.find(service_id)
            facts = None if lease is None else lease.facts
            if lease is None or facts is None or facts.untold is None or lease.state is not State.DOWN:
                del self._untold[service_id]
                continue
            recipient = self.recipient_of(facts) or OPERATORS
            listed = recipient == OPERATORS and service_id in self.guard.listed
            if facts.maintained or listed or self.guard.covers(service_id):
                continue
            del self._untold[service_id]
            alert = alert_book.released(facts.untold, recipient)
            orders.notices.append(Notice(alert.alert_id, alert, told_about=service_id))
            self._orphans += self._orphan_alerts(alert, wall)
            released.add(service_id)
        return released

    def _climb(self, orders: Orders, size: int) -> bool:
        """What is not acknowledged in time, or waits for somebody who is down or unknown, goes to the next above.
        Return whether more may have to."""
        due = self.escalations.due(self.now, size)
        for copy in due:
            alert = copy.alert
            lease = self.detector.find(alert.service_id)
            if self.guard.covers(alert.service_id) or (lease is not None and lease.facts.maintained):
                self.escalations.look_again(copy, self.now + self.policies.default.guard_burst)
                continue
            after = self.policies.of(alert.service_id).escalate_after
            lost = self._is_lost(alert.recipient)
            if not lost and self.now < copy.since + after:
                self.escalations.look_again(copy, copy.since + after)
                continue
            self.escalations.look_again(copy, self.now + ASK_AGAIN)
            why = lost or f"not acknowledged within {after:g} s"
            target = self.next_live(alert.recipient)
            told_about = alert.service_id if alert.type == "service_down" else ""
            is_back = lease is not None and lease.state is State.ALIVE
            climbed = alert_book.climbing(alert, target, why, is_back=is_back)
            orders.notices.append(Notice(alert.alert_id, climbed, alert.recipient, told_about))
        return len(due) == size

    def _reaches(self, word: str) -> bool:
        """Whether what waits for this recipient goes out to it: over a stream that is open now."""
        service_id = self.lineage.resolve(word)
        lease = None if service_id is None else self.detector.find(service_id)
        return lease is not None and lease.facts.connected

    def _is_lost(self, word: str) -> str:
        """Why a recipient can not be expected to hear; empty where it can."""
        service_id = self.lineage.resolve(word)
        if service_id is None:
            return f"{word} is not registered"
        return f"{service_id} is down" if self._is_down(service_id) else ""

    def _is_down(self, service_id: str) -> bool:
        lease = self.detector.find(service_id)
        return lease is None or lease.state is State.DOWN

    def _look_at_mail_of(self, service_id: str, name: str | None) -> None:
        self.escalations.look_at(service_id)
        if name is not None and name != service_id:
            self.escalations.look_at(name)

    # --- beforehand -------------------------------------------------------------------------------------------------

    def _stand_by(self, orders: Orders, size: int) -> bool:
        """Say beforehand what follows from a stream that breaks. Return whether more has to be said."""
        touched = self._standing.touched(self.now, size)
        for service_id in touched:
            told, withdrawn = self._standing.change(service_id, self._wanted(self.detector.find(service_id)))
            if told is not None:
                orders.standing.append(told)
            if withdrawn is not None:
                orders.withdrawn.append(withdrawn)
        return len(touched) == size

    def _touch_children(self, service_id: str) -> None:
        """Who is told about them may be another now."""
        for child in self.lineage.children(service_id):
            self._standing.touch(child)

    def _wanted(self, lease: Lease | None) -> StandingSuspicion | None:
        if lease is None or lease.state is not State.ALIVE or not lease.facts.connected:
            return None
        facts = lease.facts
        if facts.service_id == self._observer:
            return None
        held_until = self.detector.break_held_until(lease)
        if self.now < held_until:
            self._standing.touch_at(facts.service_id, held_until)
            return None
        alert: AlertDraft | None = None
        if facts.maintained or self.damping.is_damped(facts.service_id, self.now):
            self._standing.touch_at(facts.service_id, self.now + self.policies.of(facts.service_id).flap_window)
        else:
            alert = alert_book.standing_alert(facts, self.recipient_of(facts))
            policy = self.policies.of(facts.service_id)
            if self.damping.count(facts.service_id, self.now, policy.flap_window) == policy.flap_count - 1:
                alert = alert_book.flapping(alert, policy.flap_count, policy.flap_window)
                self._standing.touch_at(facts.service_id, self.now + policy.flap_window)
        return StandingSuspicion(facts.service_id, facts.incarnation, alert)

    def _parent_of(self, service_id: str) -> str | None:
        lease = self.detector.find(service_id)
        return None if lease is None else self.lineage.resolve(lease.facts.parent)


def _spread(cause: Cause, facts: Facts) -> float:
    """To within how many seconds it is known when a service fell silent."""
    return facts.interval if cause is Cause.SILENT else 0.0
