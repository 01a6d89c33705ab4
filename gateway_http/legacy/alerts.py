"""Converts alerts to the format of the legacy TRON: four types, eight keys, times without a zone. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from grid_model.event import OPERATORS
from grid_model.event_types import EVENT_TYPES
from tron_client.models import Event, Service

from gateway_http.legacy.rows import iso

LEGACY_ALERTS = ("heartbeat_miss", "service_down", "service_deregistered", "heartbeat_restored")
"""The types of alerts in the legacy contract. Other types appear only in /v1 and in the event stream."""

BROADCAST = "broadcast"
"""The action of an event that a client sent by POST /broadcast. Such an event is never an alert of TRON, whatever its
type."""

ACTIONS = {name: EVENT_TYPES[name].action for name in LEGACY_ALERTS}


def parent_of(event: Event, service: Service | None) -> str:
    """Return the parent of the service that an event is about: the label `parent` of the service, or else the parent in
    its record. If `service` is None, return the recipient of the alert. An empty string means that there is no
    parent."""
    if service is None:
        return "" if event.recipient == OPERATORS else event.recipient
    labelled = service.labels.get("parent")
    return labelled if isinstance(labelled, str) and labelled else service.parent


def legacy_alert(event: Event, service: Service | None) -> dict[str, Any]:
    """Return an alert as the JSON object that GET /alerts and the alert files contain. `service` is the last known
    record of the service that the alert is about; None if it is not known."""
    return {
        "alert_type": event.type,
        "service_id": event.service_id,
        "service_name": event.service_name,
        "missed_beats": event.missed_beats,
        "last_seen": iso(event.last_seen_at) or iso(event.occurred_at),
        "action": ACTIONS.get(event.type, event.action),
        "ts": iso(event.occurred_at),
        "parent": parent_of(event, service),
    }


def distinct(events: Iterable[Event]) -> list[Event]:
    """Return each alert once, and no broadcasts. The event log has an entry for every copy of an alert: one for each
    recipient to which the alert escalated."""
    alerts: dict[str, Event] = {}
    for event in events:
        if event.action != BROADCAST:
            alerts.setdefault(event.alert_id, event)
    return list(alerts.values())
