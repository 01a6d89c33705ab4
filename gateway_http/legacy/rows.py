"""Converts services to the format of the legacy registry: the same keys in the same order, the same nulls and
timestamps. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from grid_model.service import ServiceRole, ServiceStatus, ServiceType
from tron_client.models import Service

from gateway_http.replica.entry import Entry
from gateway_http.replica.mirror import Mirror

STATUSES = tuple(each.name.lower() for each in ServiceStatus)
TYPES = tuple(each.name.lower() for each in ServiceType)
ROLES = tuple(each.name.lower() for each in ServiceRole)

LISTED = ("service_id", "name", "type", "role", "url", "caps", "labels", "status", "last_heartbeat_ts")
"""The keys of a service in GET /services, in their order."""

DISCOVERED = (*LISTED, "ctx_limit", "cost_hint_usd_per_1k", "registered_at", "p95_ms", "queue_depth", "load")
"""The keys of a service in GET /discover, in their order."""

WHOLE = (
    *LISTED,
    "ctx_limit",
    "cost_hint_usd_per_1k",
    "heartbeat_interval_s",
    "ttl_s",
    "registered_at",
    "p95_ms",
    "queue_depth",
    "load",
)
"""The keys of GET /services/{service_id}, in their order."""


def to_json(document: Any) -> bytes:
    """Return a value as JSON in the format of the legacy services: compact, in UTF-8."""
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def iso(moment: datetime | None) -> str | None:
    """Return a time in the format of `utcnow().isoformat()`: UTC, with `T`, without a zone, and without a fraction if
    it is zero."""
    return None if moment is None else moment.astimezone(UTC).replace(tzinfo=None).isoformat()


def sql_time(moment: datetime | None) -> str | None:
    """Return a time in the format of SQLite's CURRENT_TIMESTAMP: UTC, with a space, in whole seconds, without a
    zone."""
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def status_of(service: Service) -> str:
    """Return the status that the client reported, or `down` if TRON declared the service down."""
    return "down" if service.liveness == "DOWN" else service.status


def row(service: Service) -> dict[str, Any]:
    """Return all fields of a service under their legacy names."""
    return {
        "service_id": service.service_id,
        "name": service.name,
        "type": service.type,
        "role": service.role,
        "url": service.url,
        "caps": list(service.caps),
        "labels": service.labels or None,
        "status": status_of(service),
        "last_heartbeat_ts": iso(service.last_heartbeat_at),
        "ctx_limit": service.ctx_limit,
        "cost_hint_usd_per_1k": service.cost_hint.get("usd_per_1k"),
        "heartbeat_interval_s": _seconds(service.heartbeat_interval),
        "ttl_s": _seconds(service.ttl),
        "registered_at": sql_time(service.registered_at),
        "p95_ms": service.p95_ms,
        "queue_depth": service.queue_depth,
        "load": service.load,
    }


def _seconds(value: float) -> int | float:
    return int(value) if value.is_integer() else value


def some_items(services: Iterable[Service], keys: Iterable[str]) -> bytes:
    """Return the JSON object `{"items": [...]}` for some services. Each item has these keys; the items are ordered by
    name and then by role."""
    ordered = sorted(services, key=lambda each: (each.name, each.role, each.service_id))
    return to_json({"items": [{key: row(each)[key] for key in keys} for each in ordered]})


class Rows:
    """Encodes services as JSON objects with a fixed set of keys, and keeps the result until the service changes.
    Bounded by the number of services."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._keys = tuple(keys)
        self._made: dict[str, tuple[Service, bytes]] = {}

    def of(self, entry: Entry) -> bytes:
        """Return the current state of a service as JSON."""
        service = entry.as_heard()
        made = self._made.get(service.service_id)
        if made is None or made[0] is not service:
            columns = row(service)
            made = self._made[service.service_id] = (service, to_json({key: columns[key] for key in self._keys}))
        return made[1]

    def forget(self, known: Iterable[str]) -> None:
        """Remove the stored JSON of all services that are not in `known`."""
        self._made = {service_id: self._made[service_id] for service_id in known if service_id in self._made}


class Listing:
    """All services as JSON in the legacy order: by name, then by role, both compared as binary text. Only changed
    services are encoded again."""

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self._listed = Rows(LISTED)
        self._discovered = Rows(DISCOVERED)
        self._ids: list[str] = []
        self._places: dict[str, int] = {}
        self._parts: list[bytes] = []
        self._listing = -1
        self._version = -1
        self._body = b'{"items":[]}'

    def body(self) -> bytes:
        """Return the body of the answer to GET /services."""
        mirror = self._mirror
        if mirror.version == self._version:
            return self._body
        seen, self._version = self._version, mirror.version
        if not self._order():
            for service_id in mirror.changed_after(seen):
                place = self._places.get(service_id)
                if place is not None:
                    self._parts[place] = self._listed.of(mirror.entries[service_id])
        self._body = b'{"items":[' + b",".join(self._parts) + b"]}"
        return self._body

    def discover(self, wanted: Callable[[Service], bool]) -> bytes:
        """Return the body of the answer to GET /discover: the services for which `wanted` is true."""
        self.body()
        entries = self._mirror.entries
        found = [self._discovered.of(entries[each]) for each in self._ids if wanted(entries[each].as_heard())]
        return b'{"items":[' + b",".join(found) + b"]}"

    def _order(self) -> bool:
        """Sort the services if necessary; return whether they were sorted."""
        mirror = self._mirror
        if mirror.listing == self._listing:
            return False
        self._listing = mirror.listing
        keys = [(each.service.name, each.service.role, service_id) for service_id, each in mirror.entries.items()]
        keys.sort()
        self._ids = [service_id for _, _, service_id in keys]
        self._places = {service_id: place for place, service_id in enumerate(self._ids)}
        self._listed.forget(self._ids)
        self._discovered.forget(self._ids)
        self._parts = [self._listed.of(mirror.entries[service_id]) for service_id in self._ids]
        return True
