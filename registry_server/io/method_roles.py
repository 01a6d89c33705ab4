"""The roles that may call each method of the registry's gRPC services. `core.rights` and `core.reading_rights` decide
for which ids a caller may call a method. A relay calls the methods of agents on behalf of the principals for which it
speaks.

The methods of grpc.health are open to all: without a credential they answer only about the server itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from grid_model.access import Role

from grid_hosting.authentication import ANY_PRINCIPAL

_AGENTS = frozenset({Role.AGENT, Role.RELAY})
_READERS = frozenset({Role.AGENT, Role.RELAY, Role.OBSERVER, Role.JUDGE})
_JUDGE = frozenset({Role.JUDGE})
_OPERATORS = frozenset({Role.OPERATOR})
_ADMINS = frozenset({Role.ADMIN})
_SERVERS = frozenset({Role.JUDGE, Role.RELAY})

_REGISTRY = {
    "Register": _AGENTS,
    "Deregister": _AGENTS | _OPERATORS,
    "Heartbeat": _AGENTS,
    "GetService": _READERS,
    "ListServices": _READERS,
    "ListGoneServices": _READERS,
    "WatchServices": _READERS,
    "ListMaintenance": _READERS,
    "Promote": _OPERATORS,
    "RecordMaintenance": _OPERATORS | _JUDGE,
    "ReleaseOwner": _OPERATORS,
    "ObserveLiveness": _JUDGE,
    "GetObservation": _JUDGE,
    "ApplyVerdicts": _JUDGE,
}

_EVENTS = {
    "SubscribeEvents": _READERS,
    "ListEvents": _READERS,
    "PublishEvent": _AGENTS,
    "AcknowledgeEvent": _AGENTS | _OPERATORS | _JUDGE,
    "AcknowledgeEvents": _AGENTS | _OPERATORS | _JUDGE,
}

_ACCESS = {
    "CreateToken": _ADMINS,
    "ListTokens": _ADMINS,
    "RevokeToken": _ADMINS,
    "DenyJwt": _ADMINS,
    "AllowJwt": _ADMINS,
    "ListDeniedJwts": _ADMINS,
    "PutPrincipal": _ADMINS,
    "ChangeGrants": _ADMINS,
    "GetPrincipal": _ADMINS,
    "ListPrincipals": _ADMINS,
    "DeletePrincipal": _ADMINS,
    "WhoAmI": ANY_PRINCIPAL,
    "Identify": _SERVERS,
    "WatchAccess": _SERVERS,
    "ListAuditRecords": _ADMINS,
    "AppendAuditRecords": _SERVERS,
}

METHOD_ROLES: Mapping[str, frozenset[Role]] = {
    f"/{service}/{method}": roles
    for service, methods in (
        ("grid.registry.v1.RegistryService", _REGISTRY),
        ("grid.events.v1.EventService", _EVENTS),
        ("grid.access.v1.AccessService", _ACCESS),
    )
    for method, roles in methods.items()
}
"""For each method, by its full name, the roles of which a caller needs one."""
