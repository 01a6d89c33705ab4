"""The methods of the registry that the audit log records, and how to find the target of each request: the id or name of
the object that the request is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from grid_hosting.auditing import TargetOf, field_of


def _all_or_one(request: Any) -> str:
    return "*" if request.all else str(request.service_id or request.recipient)


def _jwt(request: Any) -> str:
    return f"{request.jwt_id} of {request.issuer}"


_REGISTRY, _EVENTS, _ACCESS = (
    "/grid.registry.v1.RegistryService",
    "/grid.events.v1.EventService",
    "/grid.access.v1.AccessService",
)

ACTS: Mapping[str, TargetOf] = {
    f"{_REGISTRY}/Deregister": field_of("service_id"),
    f"{_REGISTRY}/Promote": field_of("name"),
    f"{_REGISTRY}/RecordMaintenance": field_of("service_id"),
    f"{_REGISTRY}/ReleaseOwner": field_of("service_id"),
    f"{_EVENTS}/AcknowledgeEvent": field_of("alert_id"),
    f"{_EVENTS}/AcknowledgeEvents": _all_or_one,
    f"{_ACCESS}/CreateToken": field_of("principal"),
    f"{_ACCESS}/RevokeToken": field_of("token_id"),
    f"{_ACCESS}/DenyJwt": _jwt,
    f"{_ACCESS}/AllowJwt": _jwt,
    f"{_ACCESS}/PutPrincipal": field_of("principal.name"),
    f"{_ACCESS}/ChangeGrants": field_of("principal"),
    f"{_ACCESS}/DeletePrincipal": field_of("name"),
}
"""The methods by which operators and administrators change something, by full name, each with the function that returns
the target of a request. A test compares this with the table of roles."""

TARGETS: Mapping[str, TargetOf] = {
    f"{_REGISTRY}/Register": field_of("service.service_id"),
    f"{_EVENTS}/PublishEvent": field_of("event.service_id"),
}
"""The methods of agents whose refusals are recorded, by full name, each with the function that returns the target of a
request."""
