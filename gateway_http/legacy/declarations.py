"""Converts a REST registration to the declaration that the registry accepts, and the registry's refusals to the legacy
format."""

from __future__ import annotations

from typing import Any

from grid.registry.v1 import service_pb2
from grid_model import wire
from tron_client import InvalidRequest, words

from gateway_http.legacy import bodies


def declared(body: bodies.Registration) -> service_pb2.Service:
    """Return the declaration that is sent to the registry for the body of POST /register."""
    cost = (body.cost_hint or {}).get("usd_per_1k")
    return service_pb2.Service(
        service_id=body.service_id or "",
        name=body.name,
        type=words.TYPES.number(body.type),
        role=words.ROLES.number(body.role),
        url=body.url,
        caps=body.caps,
        labels=wire.struct(body.labels or {}),
        ctx_limit=body.ctx_limit,
        cost_hint=None if cost is None else {"usd_per_1k": cost},
        heartbeat_interval=wire.duration(body.heartbeat_interval_s),
        ttl=wire.duration(body.ttl_s),
    )


_FIELDS = {
    "heartbeat_interval": ("heartbeat_interval_s",),
    "ttl": ("ttl_s",),
    "parent": ("labels", "parent"),
}


def wrong_fields(error: InvalidRequest, body: bodies.Registration) -> list[dict[str, Any]]:
    """Return the invalid fields of a registration that the registry refused, as the list `detail` of a legacy 422
    answer. `body` supplies the values that were sent."""
    sent = body.model_dump()
    shown: list[dict[str, Any]] = []
    for field in error.fields:
        name, _, index = field.field.removeprefix("service.").partition("[")
        path: tuple[str | int, ...] = _FIELDS.get(name, (name,))
        number = index.rstrip("]")
        if number.isdecimal():
            path = (*path, int(number))
        value: Any = sent
        for step in path:
            try:
                value = value[step]
            except (KeyError, IndexError, TypeError):
                value = None
        problem = {"type": "value_error", "loc": ["body", *path], "msg": f"Value error, {field.description}"}
        shown.append({**problem, "input": value, "ctx": {"error": field.description}})
    return shown
