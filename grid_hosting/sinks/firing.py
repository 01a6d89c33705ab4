"""The alerts that are firing at an Alertmanager: sent, and not resolved. Pure: `now` is an argument.

An Alertmanager forgets an alert that is not renewed. Two alerts are the same if their type, service and severity are
the same. A notice that is `resolved` ends all firing alerts of its service; if it is about no service, those of its own
type. "Resolved" is sent only for alerts that were sent before.
"""

from __future__ import annotations

from dataclasses import dataclass

from grid_hosting.sinks.notice import OperatorNotice

Identity = tuple[str, str, str, int]

OWN_LABELS = frozenset({"alertname", "severity", "service_id", "service_name"})
"""The labels that are made from the identity of an alert. Settings can add other labels, but not change these."""


@dataclass(frozen=True, slots=True)
class FiringAlert:
    """One firing alert, its number, and when it was last sent, in seconds since the epoch."""

    number: int
    notice: OperatorNotice
    sent_at: float


def identity(notice: OperatorNotice) -> Identity:
    """Return the values that identify an alert at an Alertmanager; they become its labels."""
    return notice.type, notice.service_id, notice.service_name, notice.severity


class FiringAlerts:
    """At most `bound` firing alerts, by identity, oldest first. Beyond the bound, the alert that was sent longest ago
    is removed."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._last = 0
        self._alerts: dict[Identity, FiringAlert] = {}

    def __len__(self) -> int:
        return len(self._alerts)

    def all(self) -> list[FiringAlert]:
        """Return all firing alerts."""
        return list(self._alerts.values())

    def record(
        self, notice: OperatorNotice, now: float, number: int | None = None
    ) -> tuple[FiringAlert, list[FiringAlert]]:
        """Record that an alert is firing. Return its new entry, and the entries that were removed: the previous entry
        of the same alert, and the oldest entry if there were more than `bound`."""
        gone = []
        if (before := self._alerts.pop(identity(notice), None)) is not None:
            gone.append(before)
        self._last = max(self._last + 1, number or 0)
        firing = FiringAlert(self._last, notice, now)
        self._alerts[identity(notice)] = firing
        if len(self._alerts) > self._bound:
            gone.append(self._alerts.pop(next(iter(self._alerts))))
        return firing, gone

    def ended_by(self, notice: OperatorNotice) -> list[FiringAlert]:
        """Return the firing alerts that a resolved notice ends: those of its service; if it is about no service, those
        of its type."""
        if notice.service_id:
            return [each for each in self.all() if each.notice.service_id == notice.service_id]
        return [each for each in self.all() if not each.notice.service_id and each.notice.type == notice.type]

    def sent_before(self, moment: float) -> list[FiringAlert]:
        """Return the alerts that were last sent before a moment."""
        return [each for each in self.all() if each.sent_at < moment]

    def end(self, firing: FiringAlert) -> None:
        """Remove an alert that is no longer firing."""
        self._alerts.pop(identity(firing.notice), None)
