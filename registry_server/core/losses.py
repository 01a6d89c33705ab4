"""Records which services were lost (are down, or were removed while down), and which alerts reported the loss. Pure.

If a parent acknowledges its copy, or the operators' sinks acknowledge theirs, the loss is not acknowledged: only an
operator can do that, with an acknowledgement in which the recipient is empty. A service that has come back is not lost.
"""

from __future__ import annotations

from grid_model.liveness import Liveness

from registry_server.core.service import Judgement


def is_lost(judgement: Judgement | None) -> bool:
    """Return whether a service with this verdict is lost."""
    return judgement is not None and judgement.liveness is Liveness.DOWN


class LossAlerts:
    """Finds the lost service whose loss an alert reported. The alerts about its death and its removal count, so there
    are at most two entries for each lost service."""

    def __init__(self) -> None:
        self._services: dict[str, str] = {}

    def put(self, service_id: str, judgement: Judgement | None) -> None:
        """If a service with this verdict is lost, record the alerts that reported the loss."""
        for alert_id in _alert_ids(judgement):
            self._services[alert_id] = service_id

    def remove(self, judgement: Judgement | None) -> None:
        """Forget the alerts that reported the loss of a service with this verdict, because the service is back or its
        tombstone is no longer kept. The alerts themselves do not change."""
        for alert_id in _alert_ids(judgement):
            self._services.pop(alert_id, None)

    def find(self, alert_id: str) -> str | None:
        """Return the id of the service whose loss this alert reported; None if it reported no loss that is still
        open."""
        return self._services.get(alert_id)


def _alert_ids(judgement: Judgement | None) -> list[str]:
    if judgement is None or judgement.liveness is not Liveness.DOWN:
        return []
    down = [] if judgement.down_event is None else [judgement.down_event.alert_id]
    return down + ([judgement.removal_alert_id] if judgement.removal_alert_id else [])
