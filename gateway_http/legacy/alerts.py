"""Alerts in the format of the legacy TRON: four types, eight keys, zone-less times. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from grid_model.event import OPERATORS
from grid_model.event_types import EVENT_TYPES
from tron_client.models import Event, Service

from gateway_http.legacy.rows import iso

LEGACY_ALERTS = ("heartbeat_miss", "service_down", "service_deregistered", "heartbeat_restored")
"""The types that the legacy contract knows. What else TRON says is for /v1 and the event stream."""

BROADCAST = "broadcast"
"""The action of an event that came by POST /broadcast: it is not a judgement of TRON, whatever its type."""

ACTIONS = {name: EVENT_TYPES[name].action for name in LEGACY_ALERTS}


def parent_of(event: Event, service: Service | None) -> str:
    """Return the parent as the service declared it; if the service is forgotten, the recipient of the alert; empty if
    there is none."""
    if service is None:
        return "" if event.recipient == OPERATORS else event.recipient
    labelled = service.labels.get("parent")
    return labelled if isinstance(labelled, str) and labelled else service.parent


def legacy_alert(event: Event, service: Service | None) -> dict[str, Any]:
    """Return one line of the legacy alert file. `service` is the service that the alert is about, as far as it is
    remembered."""
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
    """Return each alert once: the event log has an entry for every copy, to every recipient to which it escalated."""
    alerts: dict[str, Event] = {}
    for event in events:
        if event.action != BROADCAST:
            alerts.setdefault(event.alert_id, event)
    return list(alerts.values())
