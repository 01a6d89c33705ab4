"""What the registry believes of the records that other servers report for the audit log, and how many it takes. Pure.

| reporter | acts                                        | refusals                     | time and `via`      |
|----------|---------------------------------------------|------------------------------|---------------------|
| judge    | all                                         | counted with the registry's  | as reported         |
| relay    | of its own routes, MOST_ACTS within WINDOW  | counted for this relay alone | now, and the relay  |

TRON is trusted as the registry itself is. A relay is not: it could report acts that were never done, and enough
records to push out others. Acts at the registry and at TRON are recorded by these, so no relay needs to report
them. The store keeps what relays report in a part of its own; see `store`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

from grid_model.access import Principal, Role
from grid_model.errors import FieldError, InvalidRequest, QuotaExceeded

from grid_hosting.access.audit import WINDOW, AuditKind, AuditRecord
from grid_hosting.access.book import is_principal_name

MOST_ACTS = 60
"""Acts that one relay may report within WINDOW. Overflow rule: a report with further ones is refused with
QUOTA_EXCEEDED, and nothing of it is stored; the relay keeps them, and tries again."""

MOST_REPORTERS = 1000
"""Relays whose acts are counted. Overflow rule: the one that reported the longest time ago is forgotten."""

SERVER_METHODS = "/grid."
"""How the methods of the registry and of TRON begin, and those of no relay."""

OLDEST = 86_400.0
"""Seconds for which a record may have waited at a judge."""


class Reports:
    """The reports of all other servers. `now`: monotonic seconds; `wall`: seconds since the epoch."""

    def __init__(self) -> None:
        self._acts: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._acts)

    def accept(self, records: Sequence[AuditRecord], reporter: Principal, now: float, wall: float) -> list[AuditRecord]:
        """Return the records as they are stored. Raises InvalidRequest, QuotaExceeded."""
        if is_judge(reporter):
            return [_of_judge(each, reporter, wall) for each in records]
        errors = [error for number, each in enumerate(records) for error in _errors(f"records[{number}]", each)]
        if errors:
            raise InvalidRequest.of(*errors)
        self._count(sum(each.kind is AuditKind.ACT for each in records), reporter.name, now)
        return [replace(each, at=wall, via=reporter.name) for each in records]

    def _count(self, acts: int, reporter: str, now: float) -> None:
        if not acts:
            return
        began, count = self._acts.get(reporter, (now, 0))
        if now - began >= WINDOW:
            began, count = now, 0
        if count + acts > MOST_ACTS:
            raise QuotaExceeded(f"{reporter} may report {MOST_ACTS} acts within {WINDOW:g} s")
        self._acts[reporter] = began, count + acts
        self._acts.move_to_end(reporter)
        if len(self._acts) > MOST_REPORTERS:
            self._acts.popitem(last=False)


def is_judge(reporter: Principal) -> bool:
    """Whether a reporter is trusted as the registry itself."""
    return Role.JUDGE in reporter.roles


def _of_judge(record: AuditRecord, reporter: Principal, wall: float) -> AuditRecord:
    at = record.at if wall - OLDEST <= record.at <= wall else wall
    return replace(record, at=at, via=record.via or reporter.name)


def _errors(field: str, record: AuditRecord) -> list[FieldError]:
    errors = []
    if record.kind is not AuditKind.DROPPED:
        if record.method.startswith(SERVER_METHODS):
            errors.append(FieldError(f"{field}.method", f"is {record.method}, whose server records its calls itself"))
        if not (is_principal_name(record.actor) or _is_network(record)):
            errors.append(FieldError(f"{field}.actor", f"is {record.actor!r}, which is not the name of a principal"))
    return errors


def _is_network(record: AuditRecord) -> bool:
    return record.kind is AuditKind.REFUSAL and record.actor.startswith("network:")
