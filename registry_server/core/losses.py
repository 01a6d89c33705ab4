"""Which services were lost (are down, or were removed as such), and which alerts reported it. Pure.

That a parent acknowledged its copy, or that the operators' sinks took theirs, is no acknowledgement of the loss: only
an operator's is, which names no recipient. A service that is back is not lost.
"""

from __future__ import annotations

from grid_model.liveness import Liveness

from registry_server.core.service import Judgement


def is_lost(judgement: Judgement | None) -> bool:
    """Whether a service that is judged so is lost."""
    return judgement is not None and judgement.liveness is Liveness.DOWN


class LossAlerts:
    """Which service is lost, by the alert_id of its death or of its removal. Two entries a lost service at most."""

    def __init__(self) -> None:
        self._services: dict[str, str] = {}

    def put(self, service_id: str, judgement: Judgement | None) -> None:
        """A service is judged so: remember its alerts if it is lost."""
        for alert_id in _alert_ids(judgement):
            self._services[alert_id] = service_id

    def remove(self, judgement: Judgement | None) -> None:
        """A service that was judged so is back, or forgotten."""
        for alert_id in _alert_ids(judgement):
            self._services.pop(alert_id, None)

    def find(self, alert_id: str) -> str | None:
        """The id of the service whose loss this alert reported; None if it reported none that is open."""
        return self._services.get(alert_id)


def _alert_ids(judgement: Judgement | None) -> list[str]:
    if judgement is None or judgement.liveness is not Liveness.DOWN:
        return []
    down = [] if judgement.down_event is None else [judgement.down_event.alert_id]
    return down + ([judgement.removal_alert_id] if judgement.removal_alert_id else [])
