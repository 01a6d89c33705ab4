"""Writes the actions of a supervisor to the registry's event log, for people and for the supervisor after its own
restart."""

from __future__ import annotations

import logging
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from grid_model import event_details
from grid_model.event import OPERATORS

from tron_client.errors import TronError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tron_client.agent import Agent
    from tron_client.alerts import Alert
    from tron_client.client import RegistryClient
    from tron_client.restart_history import RestartLimits
    from tron_client.supervision import Escalate

_log = logging.getLogger("tron_client")

_NAMESPACE = uuid.UUID("a8a1f6de-3c0b-4f5e-9a55-6a4f3f6b7f10")
_LONGEST_REASON = 500
_LONGEST_ID = 100
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class FailedChild:
    """A child that the supervisor's `restart` callback must restart."""

    alert: Alert
    """The alert that reported the failure."""
    attempt: int
    """The ordinal of this restart within the window, starting at 1."""
    max_restarts: int
    incident: str
    """The alert_id of the first alert in this series of failures; the same for all restarts that count within the
    window."""

    @property
    def service_id(self) -> str:
        """The service id of the child."""
        return self.alert.service_id

    @property
    def service_name(self) -> str:
        """The name of the child."""
        return self.alert.service_name or self.alert.service_id


class RestartLog:
    """Records each step of a restart in the event log. If a step cannot be recorded, this is logged, and the restart
    continues."""

    def __init__(self, agent: Agent, client: RegistryClient, limits: RestartLimits) -> None:
        self._agent = agent
        self._client = client
        self._limits = limits

    def started(self, failed: FailedChild) -> None:
        """Record `restart_started`: the supervisor restarts the child because of an alert."""
        told = f"{failed.service_name}: restart {failed.attempt} of {failed.max_restarts} by {self._agent.service_id}"
        severity = "INFO" if failed.attempt == 1 else "WARNING"
        self._try("restart_started", severity, "restarting", failed, told, failed.alert.type)

    def succeeded(self, failed: FailedChild) -> None:
        """Record `restart_succeeded`: the child is alive."""
        told = f"{failed.service_name} is alive after restart {failed.attempt} of {failed.max_restarts}"
        self._try("restart_succeeded", "INFO", "restarted", failed, told, "alive")

    def failed(self, failed: FailedChild, why: str) -> None:
        """Record `restart_failed`: the callback raised, or the child did not become alive in time."""
        told = f"{failed.service_name}: restart {failed.attempt} of {failed.max_restarts} failed: {why}"
        self._try("restart_failed", "WARNING", "restart_failed", failed, told, why)

    def escalate(self, decision: Escalate, alert: Alert) -> None:
        """Send the alert `child_escalated` to the agent's own parent, or to the operators if it has none; the alert is
        kept until it is acknowledged. Raises TronError.

        If the supervisor dies and escalates the same failure again, both events have the same alert_id, so they are one
        alert.
        """
        parent = self._agent.service_id
        own = self._agent.service
        grandparent = (own.parent if own is not None else "") or OPERATORS
        name = alert.service_name or alert.service_id
        reason = "the last one has not ended" if decision.why == "restart_stuck" else "no more are allowed"
        restarts = f"{decision.restarts} restarts in {self._limits.window:g} s"
        told = f"{parent} does not restart {name} again after {restarts}: {reason}"
        self._client.publish_event(
            "child_escalated",
            severity="CRITICAL",
            service_id=alert.service_id,
            service_name=alert.service_name,
            recipient=grandparent,
            cause=alert.cause,
            action="escalated",
            message=told[:1000],
            alert_id=str(uuid.uuid5(_NAMESPACE, f"{parent}\0{decision.child}\0{decision.alert_id}")),
            details=self._details(alert, decision.restarts, decision.incident, decision.why)
            | {"grandparent": grandparent},
        )

    def recall(self) -> Iterator[tuple[str, float, str]]:
        """Yield the restarts by an earlier supervisor process that still count towards the limit, oldest first. Each is
        a tuple: the id of the child, the time of the restart on this process's monotonic clock, and the incident (the
        alert_id of the alert with which the failures began). Raises TronError."""
        page = self._client.list_events(types=("restart_started",), newest=True, limit=_PAGE)
        now, wall_now = time.monotonic(), page.observed_at or datetime.now(UTC)
        for event in page.events:
            if event.details.get("parent") != self._agent.service_id or event.occurred_at is None:
                continue
            # By the registry's clock; one that does not tell it may differ from ours.
            age = max(0.0, (wall_now - event.occurred_at).total_seconds())
            if age < self._limits.window:
                yield event.service_id, now - age, event_details.text_in(event.details, "incident")[:_LONGEST_ID]

    def _try(self, kind: str, severity: str, action: str, failed: FailedChild, told: str, why: str) -> None:
        alert = failed.alert
        try:
            self._client.publish_event(
                kind,
                severity=severity,
                service_id=alert.service_id,
                service_name=alert.service_name,
                cause=alert.cause,
                action=action,
                message=told[:1000],
                details=self._details(alert, failed.attempt, failed.incident, why),
            )
        except (TronError, ValueError) as error:
            _log.warning("not_recorded type=%s service_id=%s error=%r", kind, alert.service_id, error)

    def _details(self, alert: Alert, restarts: int, incident: str, why: str) -> dict[str, object]:
        return {
            "child": alert.service_id,
            "parent": self._agent.service_id,
            "restart_count": restarts,
            "max_restarts": self._limits.max_restarts,
            "window_seconds": self._limits.window,
            "why": why[:_LONGEST_REASON],
            "alert_id": alert.alert_id,
            "incident": incident,
        }
