"""Which roles may call each method of TronService. The methods themselves check for which service ids the caller has
the role.

The methods of grpc.health are open.
"""

from __future__ import annotations

from collections.abc import Mapping

from grid_model.access import Role

_OBSERVERS = frozenset({Role.OBSERVER})
_OPERATORS = frozenset({Role.OPERATOR})

METHOD_ROLES: Mapping[str, frozenset[Role]] = {
    f"/grid.tron.v1.TronService/{method}": roles
    for method, roles in {
        "GetStats": _OBSERVERS,
        "ListAlerts": _OBSERVERS,
        "GetPolicy": _OBSERVERS,
        "ListPolicyOverrides": _OBSERVERS,
        "ListMaintenance": _OBSERVERS,
        "Explain": _OBSERVERS,
        "SetPolicy": _OPERATORS,
        "SetMaintenance": _OPERATORS,
    }.items()
}
"""The roles by the full name of the method: a caller needs one of them."""
