"""Collects the data of a support bundle about the running system, from the answers of its programs. Texts of agents are
left out: only the fields listed here are taken from a service or an event."""

from __future__ import annotations

import dataclasses
import json
import os
import urllib.request
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tron_client.address import parse_address
from tron_client.bearer import of_environment, read_token

from tron_cli.redaction import host_of
from tron_cli.tls_options import https_trust

if TYPE_CHECKING:
    from tron_client.client import RegistryClient
    from tron_client.models import Event, Service
    from tron_client.tron_api import MonitorClient

MOST_EXPLAINED = 20
MOST_EVENTS = 500
PATIENCE = 5.0
"""Seconds within which a program must answer."""

OF_SERVICE = (
    *("service_id", "name", "type", "role", "parent", "heartbeat_interval", "ttl", "reconnect_grace", "stall_after"),
    *("incarnation", "registered_at", "last_heartbeat_at", "connected", "status", "queue_depth", "load", "progress"),
    *("activity", "loop_lag", "busy_until", "liveness", "liveness_cause", "liveness_since"),
)
OF_EVENT = (
    *("sequence", "alert_id", "occurred_at", "type", "severity", "service_id", "recipient", "cause", "missed_beats"),
    *("last_seen_at", "action"),
)


def counts(client: RegistryClient) -> tuple[dict[str, Any], list[Service]]:
    """Return the number of services of each type and state, and the services that are not alive. Raises TronError."""
    services = client.list_services().services
    found: dict[str, dict[str, int]] = {}
    for each in services:
        for name in ("type", "role", "status", "liveness", "liveness_cause", "connected"):
            values = found.setdefault(name, {})
            value = str(getattr(each, name)) or "none"
            values[value] = values.get(value, 0) + 1
    failing = [each for each in services if each.liveness != "ALIVE"]
    return {"services": len(services), **found}, failing


def events(client: RegistryClient) -> list[dict[str, Any]]:
    """Return the newest events, without their texts. Raises TronError."""
    return [_picked(each, OF_EVENT) for each in client.list_events(limit=MOST_EVENTS, newest=True).events]


def statistics(client: MonitorClient) -> dict[str, Any]:
    """Return TRON's counts. Raises TronError."""
    found: dict[str, Any] = _plain(dataclasses.asdict(client.get_stats()))
    return found


def thresholds(client: MonitorClient) -> dict[str, Any]:
    """Return the policy in force, and the services with overrides. Raises TronError."""
    overridden = [each.service_id for each in client.list_overrides()]
    return {"policy": _plain(client.get_policy()), "overridden": overridden[:MOST_EXPLAINED], "count": len(overridden)}


def explanations(client: MonitorClient, failing: list[Service]) -> list[dict[str, Any]]:
    """Return TRON's explanations of the first `MOST_EXPLAINED` failing services. Raises TronError."""
    from tron_client.errors import ServiceNotFound

    found: list[dict[str, Any]] = []
    for each in failing[:MOST_EXPLAINED]:
        try:
            explanation = client.explain(each.service_id)
        except ServiceNotFound:
            continue
        service = _picked(explanation.service, OF_SERVICE)
        service["url"] = host_of(explanation.service.url) if explanation.service.url else ""
        found.append(
            {
                "service": service,
                "verdict": explanation.verdict,
                "rule": explanation.rule,
                "deadlines": [dataclasses.asdict(deadline) for deadline in explanation.deadlines],
                "evidence": explanation.evidence,
            }
        )
    return found


def read(url: str) -> str:
    """Return the body of the answer of a program to an HTTP request. No proxy is used, because the program belongs to
    this system. The token of this client is sent only over TLS or to this machine. Raises OSError, and ValueError for
    invalid certificate or token files."""
    https = urllib.request.HTTPSHandler(context=https_trust())
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), https)
    request = urllib.request.Request(url)
    parts, token = urlsplit(url), of_environment(os.environ)
    if token is not None and (parts.scheme == "https" or parse_address(parts.netloc, "url").local):
        request.add_unredirected_header("Authorization", f"Bearer {read_token(token)}")
    with opener.open(request, timeout=PATIENCE) as answer:
        text: str = answer.read(4 << 20).decode(errors="replace")
    return text


def read_json(url: str) -> Any:
    """Request a JSON document from a program, and return it parsed. Raises OSError if the request fails, and ValueError
    if the answer is not JSON or if the certificate or token files of this client are invalid."""
    return json.loads(read(url))


def _picked(value: Service | Event, names: tuple[str, ...]) -> dict[str, Any]:
    document = value.to_dict()
    return {name: document.get(name) for name in names}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value.isoformat() if isinstance(value, datetime) else value
