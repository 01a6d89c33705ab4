"""The roles that each route of the four ports requires. Pure. If a request concerns a single id, the registry and TRON
decide whether the caller may access this id: the gateway calls them in the name of the caller.

Routes that answer only from the gateway's own copy show all services, so they require the role for all ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from grid_model.access import Role

from gateway_http.http.route_table import Need

OPEN = Need(authenticated=False)
ANYONE = Need()
"""Serves any authenticated caller."""
READ = Need(frozenset({Role.OBSERVER}), everywhere=True)
FOLLOW = replace(READ, stream=True)
READ_OWN = Need(frozenset({Role.AGENT, Role.OBSERVER}))
"""Serves callers that may read all services, and callers to which the registry shows only a part."""
AGENTS = Need(frozenset({Role.AGENT}))
OWNERS = Need(frozenset({Role.AGENT, Role.OPERATOR}))
"""Serves the owners of an id, and the operators."""
OPERATE = Need(frozenset({Role.OPERATOR}))
CONFIGURE = replace(OPERATE, everywhere=True, recorded=True)
"""Serves operators that change settings of the gateway itself."""

_NEW_READ, _NEW_FOLLOW, _NEW_OWNERS, _NEW_ANYONE, _NEW_READ_OWN = (
    replace(each, legacy=False) for each in (READ, FOLLOW, OWNERS, ANYONE, READ_OWN)
)
_NEW_EXPLAIN = Need(frozenset({Role.OBSERVER}), legacy=False)
"""TRON decides whether the caller may see the id."""
METRICS = Need(frozenset({Role.OBSERVER}), legacy=False)

_DOCS = {
    "GET /docs": ANYONE,
    "GET /redoc": ANYONE,
    "GET /openapi.json": ANYONE,
    "GET /docs-assets/{file}": OPEN,
}

_V1 = {
    "GET /v1/status": _NEW_READ,
    "GET /v1/services": _NEW_READ_OWN,
    "GET /v1/services/{service_id}/explain": _NEW_EXPLAIN,
    "GET /v1/services/{service_id}": _NEW_READ_OWN,
    "GET /v1/events": _NEW_READ_OWN,
    "GET /v1/alerts": _NEW_READ_OWN,
    "POST /v1/alerts/{alert_id}/acknowledge": _NEW_OWNERS,
    "POST /v1/alerts/acknowledge": _NEW_OWNERS,
    "GET /v1/history": _NEW_READ,
    "GET /v1/explain": _NEW_READ,
    "GET /v1/stream": _NEW_FOLLOW,
    "GET /v1/sd/prometheus": _NEW_READ,
}

_REGISTRY = {
    "GET /": ANYONE,
    "GET /health": OPEN,
    "POST /register": AGENTS,
    "PUT /heartbeat": AGENTS,
    "GET /services": READ_OWN,
    "GET /services/{service_id}": READ_OWN,
    "GET /discover": READ_OWN,
    "POST /deregister": OWNERS,
    "POST /promote": OPERATE,
    "GET /metrics": METRICS,
}

_TRON = {
    "GET /": ANYONE,
    "GET /health": OPEN,
    "GET /stats": READ,
    "GET /alerts": READ,
}

_EVENTS = {
    "GET /health": OPEN,
    "POST /broadcast": AGENTS,
    "GET /events/recent": READ,
    "GET /events/stream": FOLLOW,
    "GET /socket.io/{rest}": FOLLOW,
    "POST /socket.io/{rest}": FOLLOW,
}

_HMI = {
    "GET /": OPEN,
    "GET /dashboard/{file}": OPEN,
    "GET /session": _NEW_ANYONE,
    "POST /session": OPEN,
    "DELETE /session": _NEW_ANYONE,
    "POST /session/oidc": OPEN,
    "GET /session/oidc": OPEN,
    "GET /health": OPEN,
    "GET /api/services": READ,
    "GET /api/tree": READ,
    "GET /api/alerts": READ,
    "GET /api/agents": READ,
    "GET /api/metrics": READ,
    "GET /api/system/status": READ,
    "GET /api/settings/hhmrs": READ,
    "POST /api/settings/hhmrs": CONFIGURE,
    "GET /api/history": _NEW_READ,
    "GET /api/explain": _NEW_READ,
    "POST /api/alerts/acknowledge": _NEW_OWNERS,
}

ROUTE_ROLES: Mapping[str, Mapping[str, Need]] = {
    "registry_http": {**_DOCS, **_V1, **_REGISTRY},
    "tron_http": {**_DOCS, **_TRON},
    "events_http": {**_DOCS, **_EVENTS},
    "hmi_http": {**_DOCS, **_V1, **_HMI},
}
"""The requirements of all routes of each port, by the key of the port in the ready file."""
