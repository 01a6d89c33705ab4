"""Converts services and alerts to the formats of the legacy HMI: tree, agents, alerts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tron_client.models import Event, Service

from gateway_http.legacy.alerts import legacy_alert
from gateway_http.legacy.rows import iso, status_of

MOST_DEPTH = 100
"""Maximum number of levels in the tree. A deeper service is placed directly below the root, because JSON parsers limit
the depth."""

_TOP = ("", "root", "null")
_TIERS = ("architect", "director", "manager", "programmer")
_ICONS = {"architect": "🏛️", "director": "🎯", "manager": "📋", "programmer": "💻"}

DIRECT_CHAT: dict[str, Any] = {
    "agent_id": "direct",
    "agent_name": "Direct Chat",
    "port": None,
    "tier": "direct",
    "status": "ok",
    "role_icon": "💬",
    "filesystem_access": False,
}
"""The first entry of /api/agents, which is not a service."""


def tree_of(services: Mapping[str, Service]) -> dict[str, Any]:
    """Return the services as a tree of JSON objects with one root. Each service is below its parent; a service without
    a registered parent is directly below the root."""
    if not services:
        return {"name": "PAS Root", "status": "idle", "children": []}
    ordered = sorted(services.values(), key=lambda each: (each.name, each.service_id))
    parents = _parents(ordered, services)
    nodes = {each.service_id: _node(each) for each in ordered}
    top: list[dict[str, Any]] = []
    for service_id, node in nodes.items():
        parent = parents.get(service_id)
        (top if parent is None else nodes[parent]["children"]).append(node)
    return {"name": "PAS Agent Swarm", "status": "running", "children": top}


def agents_of(services: Iterable[Service]) -> list[dict[str, Any]]:
    """Return the entry for the direct chat, and then the services of the type `agent`, ordered by tier and name."""
    agents = sorted((each for each in services if each.type == "agent"), key=lambda each: (_tier_rank(each), each.name))
    return [DIRECT_CHAT, *map(_agent, agents)]


def alerts_of(events: Iterable[Event], services: Mapping[str, Service]) -> list[dict[str, Any]]:
    """Return alerts in the format that the legacy dashboard expects: the legacy alert with the additional fields
    `type`, `severity`, `message` and `timestamp`."""
    return [
        {
            "type": event.type,
            **legacy_alert(event, services.get(event.service_id)),
            "severity": {"CRITICAL": "error", "WARNING": "warning"}.get(event.severity, "info"),
            "message": event.message,
            "timestamp": iso(event.occurred_at),
        }
        for event in events
    ]


def _node(service: Service) -> dict[str, Any]:
    labels = service.labels
    return {
        "name": service.name,
        "service_id": service.service_id,
        "status": status_of(service),
        "port": labels.get("port"),
        "last_heartbeat": iso(service.last_heartbeat_at),
        "agent_role": labels.get("agent_role") or "unknown",
        "tier": labels.get("tier") or "?",
        "children": [],
    }


def _parents(ordered: list[Service], services: Mapping[str, Service]) -> dict[str, str]:
    """Return the parent of each service that has one, without cycles and not too deep."""
    names: dict[str, str] = {}
    endings: dict[str, str] = {}
    for each in ordered:
        names.setdefault(each.name.lower(), each.service_id)
        # `agent-architect` answers to `architect`, and `a-b-c` to `b-c` and `c`.
        words = each.service_id.lower().split("-")
        for start in range(max(1, len(words) - 8), len(words)):
            endings.setdefault("-".join(words[start:]), each.service_id)
    parents: dict[str, str] = {}
    for each in ordered:
        word = _declared(each)
        if word is None:
            continue
        found = word if word in services else names.get(word.lower(), endings.get(word.lower()))
        if found is not None and found != each.service_id:
            parents[each.service_id] = found
    _cut(parents)
    return parents


def _declared(service: Service) -> str | None:
    for word in (service.labels.get("parent_id"), service.labels.get("parent"), service.parent):
        if isinstance(word, str) and word.lower() not in _TOP:
            return word
    return None


def _cut(parents: dict[str, str]) -> None:
    """Remove the links that close a cycle, and those that lead too deep."""
    sound: set[str] = set()
    for start in list(parents):
        path: dict[str, None] = {}
        each: str | None = start
        while each is not None and each not in sound and each not in path:
            path[each] = None
            each = parents.get(each)
        if each is not None and each in path:
            del parents[each]
        sound.update(path)
    depth: dict[str, int] = {}
    for start in list(parents):
        way = [start]
        while way[-1] not in depth and way[-1] in parents:
            way.append(parents[way[-1]])
        for service_id in reversed(way):
            above = parents.get(service_id)
            deep = 1 if above is None else depth[above] + 1
            if deep > MOST_DEPTH:
                del parents[service_id]
                deep = 1
            depth[service_id] = deep


def _tier_rank(service: Service) -> int:
    word = _tier_word(service)
    return _TIERS.index(word) if word in _TIERS else len(_TIERS)


def _tier_word(service: Service) -> str:
    """Return the tier as text, from `tier` or `agent_role`; empty if neither is set."""
    for label in ("tier", "agent_role"):
        label_value = service.labels.get(label)
        for word in _TIERS:
            if isinstance(label_value, str) and word in label_value.lower():
                return word
    return ""


def _agent(service: Service) -> dict[str, Any]:
    word = _tier_word(service)
    return {
        "agent_id": service.service_id,
        "agent_name": service.name,
        "port": service.labels.get("port"),
        "tier": service.labels.get("tier") or "unknown",
        "status": status_of(service),
        "role_icon": _ICONS.get(word, "🤖"),
        "filesystem_access": word == "programmer" or "filesystem_access" in service.caps,
    }
