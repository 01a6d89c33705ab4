"""Which CRITICAL alerts have reached nobody at all: what an operator must be alarmed about, because nobody else is.

An alert has reached somebody once one copy of it went out on an open stream, was acknowledged, or is held by the
operators' sinks (which acknowledge theirs). While it waits only for recipients without a stream it usually escalates
soon, so it is given `UNDELIVERED_AFTER` seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

from tron.facts import OPERATORS, AlertDraft, OpenCopy, Severity

UNDELIVERED_AFTER = 5.0
"""Attentive seconds for which an alert may reach nobody. Above the grace (2 s) after which a parent whose stream broke
counts as down, and its alerts escalate."""


class Unreached:
    """Alerts that reached nobody yet. Bounded by the registry's own bound on what waits."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[str, OpenCopy]] = {}
        """By alert_id and recipient."""
        self._due: list[tuple[float, str]] = []

    def put(self, copy: OpenCopy) -> None:
        """A copy waits, or changed."""
        alert = copy.alert
        if alert.severity is not Severity.CRITICAL:
            return
        known = self._waiting.get(alert.alert_id)
        if known is not None:
            known[alert.recipient] = copy
        elif not copy.climbed:  # else another copy of it waits, or somebody took that
            self._waiting[alert.alert_id] = {alert.recipient: copy}
            heappush(self._due, (copy.since + UNDELIVERED_AFTER, alert.alert_id))

    def end(self, alert_id: str, recipient: str) -> None:
        """A copy waits no more: somebody has it."""
        self._waiting.pop(alert_id, None)

    def due(self, now: float, reaches: Callable[[str], bool]) -> list[AlertDraft]:
        """The alerts that have reached nobody for too long, each once. `reaches`: whether a recipient has a stream."""
        found: list[AlertDraft] = []
        while self._due and self._due[0][0] <= now:
            _, alert_id = heappop(self._due)
            copies = self._waiting.pop(alert_id, None)
            if copies is None or any(recipient != OPERATORS and reaches(recipient) for recipient in copies):
                continue
            if all(copy.climbed for copy in copies.values()):
                continue  # the alert of another service lists it
            found.append(next(iter(copies.values())).alert)
        return found
