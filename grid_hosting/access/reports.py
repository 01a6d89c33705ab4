"""Decides which audit records the registry accepts from other servers, how many, and what it trusts in them. Pure.

| reporter | acts                                        | refusals                     | time and `via`      |
|----------|---------------------------------------------|------------------------------|---------------------|
| judge    | all                                         | counted with the registry's  | as reported         |
| relay    | at its HTTP routes, MOST_ACTS within WINDOW | counted for this relay alone | replaced            |

TRON (a judge) is trusted like the registry itself. A relay is not: it could report acts that never happened, or fill
the audit log until the records of others are removed. So the registry replaces the time of a relay's records by the
current time, and `via` by the name of the relay. The registry and TRON record the acts at their own methods, so no
relay needs to report these. The store limits the number of records of relays separately; see `store`.
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
"""Maximum number of acts that one relay may report within WINDOW seconds. Overflow rule: a report that exceeds it is
refused with QUOTA_EXCEEDED, and none of its records is stored; the relay keeps them, and tries again."""

MOST_REPORTERS = 1000
"""Maximum number of relays whose acts are counted. Overflow rule: the relay that has not reported for the longest time
is forgotten."""

SERVER_METHODS = "/grid."
"""The prefix of all methods of the registry and of TRON. No method of a relay has it."""

OLDEST = 86_400.0
"""Maximum age of a record from a judge, in seconds. If a record is older, or its time is in the future, the current
time replaces its time."""


class Reports:
    """Checks and limits the audit records that other servers report. `now` is in monotonic seconds; `wall` is in
    seconds since the epoch."""

    def __init__(self) -> None:
        self._acts: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._acts)

    def accept(self, records: Sequence[AuditRecord], reporter: Principal, now: float, wall: float) -> list[AuditRecord]:
        """Return the reported records in the form in which they are stored. Raises InvalidRequest for records that a
        relay may not report, and QuotaExceeded if it reports too many acts."""
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
            raise QuotaExceeded(f"{reporter} may report at most {MOST_ACTS} acts within {WINDOW:g} s")
        self._acts[reporter] = began, count + acts
        self._acts.move_to_end(reporter)
        if len(self._acts) > MOST_REPORTERS:
            self._acts.popitem(last=False)


def is_judge(reporter: Principal) -> bool:
    """Return whether a reporter has the role judge, and is therefore trusted like the registry itself."""
    return Role.JUDGE in reporter.roles


def _of_judge(record: AuditRecord, reporter: Principal, wall: float) -> AuditRecord:
    at = record.at if wall - OLDEST <= record.at <= wall else wall
    return replace(record, at=at, via=record.via or reporter.name)


def _errors(field: str, record: AuditRecord) -> list[FieldError]:
    errors = []
    if record.kind is not AuditKind.DROPPED:
        if record.method.startswith(SERVER_METHODS):
            errors.append(
                FieldError(f"{field}.method", f"is {record.method}; the server of this method records its calls itself")
            )
        if not (is_principal_name(record.actor) or _is_network(record)):
            errors.append(FieldError(f"{field}.actor", f"is {record.actor!r}, which is not the name of a principal"))
    return errors


def _is_network(record: AuditRecord) -> bool:
    return record.kind is AuditKind.REFUSAL and record.actor.startswith("network:")
