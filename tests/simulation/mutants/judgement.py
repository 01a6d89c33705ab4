"""Mistakes of TRON, and of the SDK."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from grid_model.event import Event
from grid_model.liveness import Liveness
from grid_model.observation import Facts
from grid_model.verdict import VerdictOutcome
from tron_client.protocol.messages import AlertAck, Goodbye, Register
from tron_client.protocol.send_queue import SendQueue
from tron_client.protocol.session import AgentSession
from tron_client.schedule import BeatSchedule

from registry_server.core.judgements import Judgements
from tests.simulation.mutants.mutant import Mutant, Patches
from tron import alert_book, suppression
from tron import facts as nouns
from tron.damping import Damping
from tron.detector import Detector
from tron.escalation import Escalations
from tron.facts import NEVER, Kind, Lease
from tron.grouping import Groups
from tron.guard import Fleet, Guard
from tron.held_deaths import HeldDeaths
from tron.hierarchy import Hierarchy
from tron.judge import Judge
from tron.orders import Ruling
from tron.policy import Policy
from tron.session import Session


def _refusal_is_ignored() -> Patches:
    # The facts that follow a refusal would correct it, too.
    return [(Judge, "refused", lambda *_: None), (Judgements, "show_again", lambda *_: None)]


def _the_wrong_verdict_is_taken_back() -> Patches:
    answered = Session.answered

    def confused(self: Session, rulings: Sequence[Ruling], outcomes: Sequence[VerdictOutcome | None]) -> None:
        others = [*rulings[1:], *getattr(self, "before", [])[-1:], *rulings[:1]]
        answered(self, others[: len(rulings)], outcomes)
        vars(self)["before"] = rulings or getattr(self, "before", [])

    # The facts that follow a refusal would correct it, too.
    return [(Session, "answered", confused), (Judgements, "show_again", lambda *_: None)]


def _deadline_before_its_verdict() -> Patches:
    """The registry ignores the deadline of a service that is suspect there, and TRON waits forever for the report."""
    return [(Judge, "_may_defer", lambda *_: True)]


def _reattach_window_ignored() -> Patches:
    return [(Detector, "_held", lambda *_, **__: 0.0)]


def _restored_without_down() -> Patches:
    restored, recovered = Kind.RESTORE.meaning, Kind.RECOVER.meaning
    announced = replace(recovered, event_type=restored.event_type, alert=restored.alert)
    meanings = {**nouns._MEANINGS, Kind.RECOVER: announced}
    reason = suppression.reason

    def told(kind: Kind, facts: Facts, *rest: Any) -> str:
        return "" if kind in (Kind.RESTORE, Kind.RECOVER) else reason(kind, facts, *rest)

    return [(nouns, "_MEANINGS", meanings), (suppression, "reason", told)]


def _silence_on_a_stream_is_forgiven() -> Patches:
    next_ = Detector._next

    def trusting(self: Any, lease: Lease) -> tuple[Kind, float]:
        kind, due = next_(self, lease)
        return (kind, NEVER) if kind in (Kind.MISS, Kind.DOWN) and lease.facts.connected else (kind, due)

    return [(Detector, "_next", trusting)]


def _beats_move_no_deadline() -> Patches:
    def record_beat(self: Any, incarnation: int, observation: int, at: float) -> None:
        lease = self._by_incarnation.get(incarnation)
        if lease is not None:
            lease.observation, lease.deadline = max(lease.observation, observation), None
            self._schedule(lease)

    return [(Detector, "record_beat", record_beat)]


def _alert_ids_are_drawn() -> Patches:
    return [(alert_book, "_alert_id", lambda *_: str(uuid.uuid4()))]


def _alert_ids_forget_the_observation() -> Patches:
    def alert_id(service_id: str, incarnation: int, about: object, kind: str) -> str:
        return f"{service_id}/{incarnation}/{kind}"

    return [(alert_book, "_alert_id", alert_id)]


def _nothing_climbs() -> Patches:
    return [(Escalations, "due", lambda *_: [])]


def _climbs_under_a_new_id() -> Patches:
    escalated_copy = alert_book.escalated_copy

    def renamed(alert: Event, recipient: str, why: str, **options: Any) -> Event:
        return replace(escalated_copy(alert, recipient, why, **options), alert_id=f"{alert.alert_id}^")

    return [(alert_book, "escalated_copy", renamed)]


def _climbs_to_the_dead() -> Patches:
    def next_live(self: Hierarchy, id_or_name: str) -> str:
        return next(iter(self.lineage.ancestors(id_or_name)), "")

    return [(Hierarchy, "next_live", next_live)]


def _folds_what_lives_elsewhere() -> Patches:
    return [(Groups, "lists_all", lambda *_: True)]


def _guard_ratchets() -> Patches:
    update = Guard.update

    def sticky(self: Any, now: float, fleet: Fleet) -> Any:
        was = self.active
        cascade = update(self, now, fleet)
        self.active = self.active or was
        return cascade

    return [(Guard, "update", sticky)]


def _guard_holds_nothing() -> Patches:
    return [(Guard, "holds", property(lambda _: False))]


def _held_deaths_are_never_released() -> Patches:
    return [(HeldDeaths, "release", lambda *_: [])]


def _stalls_are_deaths() -> Patches:
    next_ = Detector._next

    def impatient(self: Any, lease: Lease) -> tuple[Kind, float]:
        kind, due = next_(self, lease)
        if lease.liveness is Liveness.SUSPECT and lease.cause.name == "STALLED":
            return Kind.DOWN, lease.judged_at + 1.0
        return kind, due

    return [(Detector, "_next", impatient)]


def _activity_is_not_looked_at() -> Patches:
    return [(Detector, "_stalls_at", lambda *_: NEVER)]


def _damping_hides_deaths() -> Patches:
    reason = suppression.reason

    def silent(kind: Kind, facts: Facts, now: float, guard: Guard, damping: Damping) -> str:
        damped = kind is not Kind.RESTORE and damping.is_damped(facts.service_id, now)
        return "flapping" if damped else reason(kind, facts, now, guard, damping)

    return [(suppression, "reason", silent), (HeldDeaths, "release", lambda *_: [])]


def _stalls_without_a_beat() -> Patches:
    def stalls_at(self: Any, lease: Lease, policy: Policy) -> float:
        facts = lease.facts
        if facts.stall_after is None:
            return NEVER
        return float(max(facts.active_at, self._busy_until(lease, policy)) + facts.stall_after)

    def stall_limit(_: Any, lease: Lease, __: Policy) -> float:
        return NEVER if lease.facts.stall_after is None else lease.facts.stall_after

    return [(Detector, "_stalls_at", stalls_at), (Detector, "_stall_limit", stall_limit)]


def _beats_too_rarely() -> Patches:
    def beaten(self: Any, now: float) -> None:
        if self._due is not None and self._due <= now:
            self._due += 3 * self.interval

    return [(BeatSchedule, "beaten", beaten)]


def _superseded_is_not_obeyed() -> Patches:
    return [(AgentSession, "_step_down", lambda *_: None)]


def _beats_after_its_goodbye() -> Patches:
    next_message = SendQueue.next_message

    def restless(self: SendQueue, now: float) -> Register | AlertAck | Goodbye | None:
        message = next_message(self, now)
        if isinstance(message, Goodbye):
            self._goodbye, self.open = None, True
        return message

    return [(SendQueue, "next_message", restless)]


MISTAKES = (
    Mutant(
        "deadline_before_its_verdict",
        "TRON sends the report deadline of a service before the verdict that ends its suspicion",
        ("P3",),
        _deadline_before_its_verdict,
        first=5320,
    ),
    Mutant(
        "refusal_is_ignored",
        "TRON believes what was refused",
        ("ALERT", "P2", "P3", "STALL"),
        _refusal_is_ignored,
        first=2700,
    ),
    Mutant(
        "wrong_one_is_taken_back",
        "TRON takes back another verdict than the refused one",
        ("ALERT", "P2", "P3", "GUARD", "STALL"),
        _the_wrong_verdict_is_taken_back,
        first=4200,
    ),
    Mutant("reattach_window_ignored", "no window after a restart", ("P2",), _reattach_window_ignored),
    Mutant("restored_without_down", "who was only suspected is restored", ("ALERT",), _restored_without_down),
    Mutant("silence_is_forgiven", "who hangs on a stream is alive", ("P3",), _silence_on_a_stream_is_forgiven),
    Mutant("beats_move_no_deadline", "beats are not heard", ("P2",), _beats_move_no_deadline),
    Mutant("alert_ids_are_drawn", "the same judgement has two ids", ("ALERT",), _alert_ids_are_drawn, first=3700),
    Mutant("alert_ids_too_few", "two judgements have one id", ("ALERT", "P3"), _alert_ids_forget_the_observation),
    Mutant("nothing_climbs", "alerts to the dead wait forever", ("P3",), _nothing_climbs),
    Mutant("climbs_under_a_new_id", "each copy has its own id", ("ALERT", "P3"), _climbs_under_a_new_id),
    Mutant("climbs_to_the_dead", "alerts climb to who is down", ("P3",), _climbs_to_the_dead, kind="family"),
    Mutant("folds_too_much", "a list in a list is not told", ("P3",), _folds_what_lives_elsewhere, kind="family"),
    Mutant("guard_ratchets", "the guard never comes down", ("GUARD", "P3"), _guard_ratchets),
    Mutant("guard_holds_nothing", "who fails in a mass failure is given up", ("GUARD",), _guard_holds_nothing),
    Mutant("held_is_not_released", "what was held is never told", ("P3",), _held_deaths_are_never_released),
    Mutant("stalls_are_deaths", "who gets nothing done is dead", ("P2",), _stalls_are_deaths),
    Mutant("activity_is_not_looked_at", "nobody stalls", ("STALL",), _activity_is_not_looked_at),
    Mutant("damping_hides_deaths", "who flaps may die unheard", ("P3",), _damping_hides_deaths),
    Mutant("beats_too_rarely", "the SDK beats every third interval", ("P2",), _beats_too_rarely),
    Mutant("superseded_is_not_obeyed", "the SDK beats on for a lost id", ("P5",), _superseded_is_not_obeyed),
    Mutant("beats_after_goodbye", "the SDK goes on after its goodbye", ("P5",), _beats_after_its_goodbye),
    Mutant("stalls_without_a_beat", "who did not beat yet stalls", ("P2", "P3"), _stalls_without_a_beat),
)
