"""Converts the event log to the format of the legacy Event Stream: broadcasts are passed on unchanged, and TRON's
alerts become legacy events. Pure.

A broadcast is recorded as an event with the action `broadcast`. The data of the broadcast become the details of the
event, so that the broadcast can be returned unchanged. TRON's alerts become the events that a legacy dashboard expects:
`alert` events, and `hhmrs_*` events for the TRON bar of the dashboard.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from typing import Any

from grid_model import event_details, moments
from grid_model.event_types import EVENT_TYPES
from tron_client import Event, Service

from gateway_http.legacy.alerts import BROADCAST, parent_of

Envelope = dict[str, Any]
"""One message of the legacy Event Stream, with the keys `event_type`, `data` (with its `timestamp`) and
`server_timestamp`."""

REMEMBERED = 5000
"""Number of alerts and of services that are remembered. Overflow rule: the oldest is forgotten; a further copy of a
forgotten alert counts as new."""

_SEVERITIES = {"INFO": "info", "WARNING": "warning", "CRITICAL": "error"}


def local_iso(moment: datetime | None) -> str:
    """Return a time in the format of `datetime.now().isoformat()`: local time, without a zone. None becomes an empty
    string. A time that is too near to the year 1 or 9999 for local time stays in UTC."""
    return "" if moment is None else moments.local(moment).replace(tzinfo=None).isoformat()


class Translator:
    """Converts events to messages of the legacy Event Stream. Call `envelopes` once for each event, in the order of the
    event log. `last_seen` returns the last known record of a service."""

    def __init__(self, last_seen: Callable[[str], Service | None]) -> None:
        self._last_seen = last_seen
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._restarts: OrderedDict[str, tuple[int, int]] = OrderedDict()
        """For each service that was down: the incarnation that was declared down, and how often a newer one came
        back."""

    def envelopes(self, event: Event) -> list[Envelope]:
        """Return the messages of the legacy Event Stream for one event. The list is empty for a further copy of an
        alert, unless the copy results from an escalation."""
        stamp = local_iso(event.occurred_at)
        if event.action == BROADCAST:
            translated = [(event.type, {"timestamp": stamp, **event.details})]
        elif event.type in EVENT_TYPES:
            translated = self._alert(event)
        else:
            translated = [(event.type, _published(event))]
        return [
            {"event_type": event_type, "data": {"timestamp": stamp, **data}, "server_timestamp": stamp}
            for event_type, data in translated
        ]

    def _alert(self, event: Event) -> list[tuple[str, dict[str, Any]]]:
        if event_details.texts_in(event.details, "escalated_from"):
            return [("hhmrs_escalation", self._escalation(event))]
        if event.alert_id in self._seen:
            return []
        _remember(self._seen, event.alert_id, None)
        alert = {
            "alert_type": event.type,
            "service_id": event.service_id,
            "message": event.message,
            "severity": _SEVERITIES.get(event.severity, "warning"),
        }
        return [("alert", alert), *self._consequences(event)]

    def _consequences(self, event: Event) -> list[tuple[str, dict[str, Any]]]:
        service_id, parent = event.service_id, parent_of(event, self._last_seen(event.service_id))
        incarnation = event_details.count_in(event.details, "incarnation")
        fallen, restarts = self._restarts.get(service_id, (0, 0))
        agent = {"agent_id": service_id}
        match event.type:
            case "service_down":
                _remember(self._restarts, service_id, (incarnation, restarts))
                timeout = {**agent, "restart_count": restarts + 1, "message": event.message}
                return [
                    ("hhmrs_timeout", timeout),
                    ("status_update", {"service_id": service_id, "status": "down"}),
                ]
            case "heartbeat_restored":
                back = ("status_update", {"service_id": service_id, "status": "ok"})
                if not fallen or incarnation == fallen:
                    return [back]
                _remember(self._restarts, service_id, (incarnation, restarts + 1))
                about = {"parent_id": parent, "restart_count": restarts + 1, "message": f"{event.message}, restarted"}
                return [("hhmrs_restart", {**agent, **about}), back]
            case "service_deregistered":
                family = {"parent_id": parent, "grandparent_id": self._parent_id(parent)}
                end = {"failure_count": restarts + 1, "reason": "deregistered", "message": event.message}
                return [("hhmrs_failure", {**agent, **family, **end})]
        return []

    def _escalation(self, event: Event) -> dict[str, Any]:
        way = event_details.texts_in(event.details, "escalated_from")
        _, restarts = self._restarts.get(event.service_id, (0, 0))
        return {
            "agent_id": event.service_id,
            "parent_id": way[-1] if way else "",
            "grandparent_id": event.recipient,
            "restart_count": restarts,
            "reason": event_details.text_in(event.details, "escalated_because"),
            "message": event.message,
        }

    def _parent_id(self, service_id: str) -> str:
        service = self._last_seen(service_id)
        return "" if service is None else service.parent


def flat(envelope: Envelope) -> dict[str, Any]:
    """Return a message of the Event Stream in the flat format that the legacy HMI expects from /events/recent."""
    data = envelope["data"]
    return {
        "event_type": envelope["event_type"],
        "service_id": data.get("service_id", data.get("agent_id")),
        "timestamp": data.get("timestamp"),
        "task_id": data.get("task_id"),
        "run_id": data.get("run_id"),
        "task_name": data.get("task_name"),
        "data": data,
    }


def _published(event: Event) -> dict[str, Any]:
    """Return the data of the message for an event that was published over gRPC."""
    known = (("service_id", event.service_id), ("service_name", event.service_name), ("message", event.message))
    return {**{name: value for name, value in known if value}, **event.details}


def _remember(memory: OrderedDict[str, Any], key: str, value: Any) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > REMEMBERED:
        memory.popitem(last=False)
