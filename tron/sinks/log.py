"""The operator sink that is always there: the log."""

from __future__ import annotations

import structlog

from tron.facts import AlertDraft, Severity

log = structlog.get_logger("operator")


class LogSink:
    """Writes each alert that nobody was there to hear as one line."""

    async def tell(self, alert: AlertDraft) -> None:
        """One line at CRITICAL, or at WARNING where it is a return."""
        level = log.critical if alert.severity is Severity.CRITICAL else log.warning
        level(
            "operators_told",
            type=alert.type,
            service_id=alert.service_id or None,
            cause=alert.cause.name,
            why=alert.details.get("escalated_because"),
            alert_id=alert.alert_id,
            message=alert.message,
        )

    def undelivered(self, alert: AlertDraft) -> None:
        """One line at WARNING."""
        log.warning(
            "alert_undelivered",
            type=alert.type,
            severity=alert.severity.name,
            service_id=alert.service_id,
            recipient=alert.recipient or None,
            cause=alert.cause.name,
            alert_id=alert.alert_id,
            message=alert.message,
        )

    def registry_lost(self, seconds: float, why: str) -> None:
        """One line at CRITICAL."""
        log.critical("registry_lost", seconds=round(seconds, 2), why=why)

    def registry_back(self, seconds: float) -> None:
        """One line at WARNING."""
        log.warning("registry_back", after_seconds=round(seconds, 2))
