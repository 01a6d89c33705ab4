"""The operator sink that always exists: the log. It needs no queue."""

from __future__ import annotations

import structlog
from grid_model.event import Severity

from grid_hosting.sinks.notice import OperatorNotice

log = structlog.get_logger("operator")


class LogSink:
    """Logs each notice as one line, at the level of its severity."""

    def write(self, notice: OperatorNotice) -> None:
        """Log a notice at once, as one line."""
        level = {Severity.INFO: log.info, Severity.WARNING: log.warning, Severity.CRITICAL: log.critical}
        level[notice.severity](
            "operators_told",
            type=notice.type,
            resolved=notice.resolved,
            service_id=notice.service_id or None,
            service_name=notice.service_name or None,
            cause=notice.cause or None,
            recipient=notice.recipient or None,
            why=notice.why or None,
            alert_id=notice.alert_id,
            message=notice.message,
            details=notice.details or None,
        )
