"""Which alerts stand at an Alertmanager: told, and not resolved. It forgets what nobody renews. Pure: `now` is given.

Alerts are the same where their type, service and severity are. A notice that is `resolved` ends all that stand of its
service; where it is about no service, those of its own type. "Resolved" is told only of what was told before.
"""

from __future__ import annotations

from dataclasses import dataclass

from grid_hosting.sinks.notice import Notice

Identity = tuple[str, str, str, int]

OWN_LABELS = frozenset({"alertname", "severity", "service_id", "service_name"})
"""The labels that an identity becomes; settings can add labels, and not change these."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One alert that stands, its number, and when it was told last, in seconds since the epoch."""

    number: int
    notice: Notice
    told_at: float


def identity(notice: Notice) -> Identity:
    """What an Alertmanager tells alerts apart by; it becomes the labels."""
    return notice.type, notice.service_id, notice.service_name, notice.severity


class StandingAlerts:
    """At most `bound` alerts, by identity, the longest told first. Beyond it the one told longest ago is forgotten."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._last = 0
        self._alerts: dict[Identity, Standing] = {}

    def __len__(self) -> int:
        return len(self._alerts)

    def all(self) -> list[Standing]:
        """All that stand."""
        return list(self._alerts.values())

    def tell(self, notice: Notice, now: float, number: int | None = None) -> tuple[Standing, list[Standing]]:
        """The alert that stands now, and those that do not any more: its predecessor, and one beyond the bound."""
        gone = []
        if (before := self._alerts.pop(identity(notice), None)) is not None:
            gone.append(before)
        self._last = max(self._last + 1, number or 0)
        standing = Standing(self._last, notice, now)
        self._alerts[identity(notice)] = standing
        if len(self._alerts) > self._bound:
            gone.append(self._alerts.pop(next(iter(self._alerts))))
        return standing, gone

    def ended_by(self, notice: Notice) -> list[Standing]:
        """What a resolved notice ends."""
        if notice.service_id:
            return [each for each in self.all() if each.notice.service_id == notice.service_id]
        return [each for each in self.all() if not each.notice.service_id and each.notice.type == notice.type]

    def told_before(self, moment: float) -> list[Standing]:
        """What was told last before a moment."""
        return [each for each in self.all() if each.told_at < moment]

    def end(self, standing: Standing) -> None:
        """It stands no more."""
        self._alerts.pop(identity(standing.notice), None)
