"""The methods of the registry by which operators and administrators change something, and what a request is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from grid_hosting.auditing import TargetOf


def _field(name: str) -> TargetOf:
    def target(request: Any) -> str:
        return str(getattr(request, name))

    return target


def _principal_name(request: Any) -> str:
    return str(request.principal.name)


def _all_or_one(request: Any) -> str:
    return "*" if request.all else str(request.service_id or request.recipient)


def _declared_id(request: Any) -> str:
    return str(request.service.service_id)


def _event_service(request: Any) -> str:
    return str(request.event.service_id)


_REGISTRY, _EVENTS, _ACCESS = (
    "/grid.registry.v1.RegistryService",
    "/grid.events.v1.EventService",
    "/grid.access.v1.AccessService",
)

ACTS: Mapping[str, TargetOf] = {
    f"{_REGISTRY}/Deregister": _field("service_id"),
    f"{_REGISTRY}/Promote": _field("name"),
    f"{_REGISTRY}/RecordMaintenance": _field("service_id"),
    f"{_REGISTRY}/ReleaseOwner": _field("service_id"),
    f"{_EVENTS}/AcknowledgeEvent": _field("alert_id"),
    f"{_EVENTS}/AcknowledgeEvents": _all_or_one,
    f"{_ACCESS}/CreateToken": _field("principal"),
    f"{_ACCESS}/RevokeToken": _field("token_id"),
    f"{_ACCESS}/PutPrincipal": _principal_name,
    f"{_ACCESS}/ChangeGrants": _field("principal"),
    f"{_ACCESS}/DeletePrincipal": _field("name"),
}
"""By the full name of the method. A test compares this with the table of roles."""

TARGETS: Mapping[str, TargetOf] = {
    f"{_REGISTRY}/Register": _declared_id,
    f"{_EVENTS}/PublishEvent": _event_service,
}
"""What the requests of agents are about, for records of refusals."""
