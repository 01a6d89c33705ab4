"""Mistakes about alerts that newer facts have overtaken: of their withdrawal, and of the return that follows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from grid_model.event import OPERATORS, Event
from grid_model.verdict import Verdict, VerdictKind, VerdictResult

from registry_server.core import absent_recipients, overtaken
from registry_server.core.absent_recipients import AbsentRecipients
from registry_server.core.effects import Effects, WithdrawCopy
from registry_server.core.judgements import Judgements
from registry_server.core.record import Record
from registry_server.core.registry import Registry
from registry_server.core.service import Instant
from registry_server.core.verdicts import Verdicts
from tests.simulation.mutants.mutant import Mutant, Patches


def _deaths_are_withdrawn_by_any_verdict() -> Patches:
    apply = Verdicts._set

    def forgetful(self: Any, record: Record, verdict: Verdict, now: Instant) -> VerdictResult:
        if verdict.kind is VerdictKind.DEREGISTER:
            about = self._delivery.mailboxes.about(verdict.service_id)
            self._delivery.withdraw([copy for copy in about if copy.event.recipient != OPERATORS], now)
        return apply(self, record, verdict, now)

    return [(Verdicts, "_set", forgetful)]


def _lists_are_not_looked_at() -> Patches:
    def over(event: Event, service_id: str, is_alive: Callable[[str], bool]) -> bool:
        return event.recipient != OPERATORS and event.service_id == service_id and event.type != overtaken.RESTORED

    return [(overtaken, "_is_over", over)]


def _returns_are_not_summed_up() -> Patches:
    withdraw = Verdicts._withdraw_what_is_over

    def silent(self: Any, record: Record, verdict: Verdict, now: Instant) -> Verdict:
        told = withdraw(self, record, verdict, now)
        return verdict if told.alert is None else replace(told, alert=replace(told.alert, recipient=""))

    return [(Verdicts, "_withdraw_what_is_over", silent)]


def _absent_need_not_escalate() -> Patches:
    init = AbsentRecipients.__init__

    def hasty(self: AbsentRecipients, keep: float = 0.05) -> None:
        init(self, 0.05)

    return [(AbsentRecipients, "__init__", hasty), (absent_recipients, "must_escalate", lambda _: False)]


def _withdrawals_are_not_stored() -> Patches:
    take = Registry.take

    def lossy(self: Registry) -> Effects:
        effects = take(self)
        effects.writes[:] = [write for write in effects.writes if type(write) is not WithdrawCopy]
        return effects

    return [(Registry, "take", lossy)]


def _late_copies_come_alone() -> Patches:
    return [(Judgements, "return_after", lambda *_: None)]


MISTAKES = (
    Mutant("removal_withdraws", "alerts end with the record", ("P3",), _deaths_are_withdrawn_by_any_verdict),
    Mutant("lists_withdrawn", "a list with the dead in it ends", ("P3",), _lists_are_not_looked_at, kind="family"),
    Mutant("returns_not_summed_up", "who missed a death hears nothing", ("P3", "ALERT"), _returns_are_not_summed_up),
    Mutant("absent_escalate_not", "alerts to who is gone just end", ("P3",), _absent_need_not_escalate),
    Mutant("withdrawals_not_stored", "what is over comes back", ("ALERT", "P3"), _withdrawals_are_not_stored),
    Mutant(
        "late_copies_come_alone",
        "a late death without its return",
        ("P3",),
        _late_copies_come_alone,
        "family",
        first=21000,
    ),
)
