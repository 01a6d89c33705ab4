"""The SDK of TRON: hold an `Agent` to be registered and beating, a `RegistryClient` to look and to act.

Read in this order: agent.py (what programs hold), protocol/ (its one stream), schedule.py (when), reporting.py, then
client.py, requests.py, watcher.py and tron_api.py; for parents supervisor.py and supervision.py; for several processes
standby.py and id_lock.py, forks.py and leaving.py. arguments.py says what may be handed over, callbacks.py how
the program is called back. testing.py is a registry for the tests of programs that use the SDK.

Names are loaded when they are first asked for: whoever needs an address read (`tron run`, before it starts a program)
does not pay for grpc and its threads.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tron_client.agent import Agent
    from tron_client.alerts import Alert
    from tron_client.async_client import AsyncRegistryClient
    from tron_client.client import RegistryClient
    from tron_client.compat import (
        create_registry_heartbeat_lifespan,
        start_registry_heartbeat,
        stop_registry_heartbeat,
    )
    from tron_client.endpoint import Endpoint
    from tron_client.errors import (
        AlertNotFound,
        Draining,
        FieldError,
        InternalError,
        InvalidRequest,
        NotImplementedYet,
        PageTokenExpired,
        QuotaExceeded,
        ReaderTooSlow,
        RegistryUnavailable,
        RevisionCompacted,
        ServiceNotFound,
        SilentStream,
        Superseded,
        TronError,
        UnknownIncarnation,
        WrongServer,
        WrongType,
    )
    from tron_client.models import (
        Acknowledged,
        Event,
        EventPage,
        GoneService,
        Maintenance,
        Service,
        ServiceChange,
        ServiceList,
    )
    from tron_client.restart_log import FailedChild
    from tron_client.supervisor import Supervisor
    from tron_client.tron_api import MonitorClient

__all__ = [
    "Acknowledged",
    "Agent",
    "Alert",
    "AlertNotFound",
    "AsyncRegistryClient",
    "Draining",
    "Endpoint",
    "Event",
    "EventPage",
    "FailedChild",
    "FieldError",
    "GoneService",
    "InternalError",
    "InvalidRequest",
    "Maintenance",
    "MonitorClient",
    "NotImplementedYet",
    "PageTokenExpired",
    "QuotaExceeded",
    "ReaderTooSlow",
    "RegistryClient",
    "RegistryUnavailable",
    "RevisionCompacted",
    "Service",
    "ServiceChange",
    "ServiceList",
    "ServiceNotFound",
    "SilentStream",
    "Superseded",
    "Supervisor",
    "TronError",
    "UnknownIncarnation",
    "WrongServer",
    "WrongType",
    "create_registry_heartbeat_lifespan",
    "start_registry_heartbeat",
    "stop_registry_heartbeat",
]

_HOMES = {
    "agent": ("Agent",),
    "alerts": ("Alert",),
    "async_client": ("AsyncRegistryClient",),
    "client": ("RegistryClient",),
    "endpoint": ("Endpoint",),
    "errors": (
        "AlertNotFound",
        "Draining",
        "FieldError",
        "InternalError",
        "InvalidRequest",
        "NotImplementedYet",
        "PageTokenExpired",
        "QuotaExceeded",
        "ReaderTooSlow",
        "RegistryUnavailable",
        "RevisionCompacted",
        "ServiceNotFound",
        "SilentStream",
        "Superseded",
        "TronError",
        "UnknownIncarnation",
        "WrongServer",
        "WrongType",
    ),
    "compat": (
        "create_registry_heartbeat_lifespan",
        "start_registry_heartbeat",
        "stop_registry_heartbeat",
    ),
    "models": (
        "Acknowledged",
        "Event",
        "EventPage",
        "GoneService",
        "Maintenance",
        "Service",
        "ServiceChange",
        "ServiceList",
    ),
    "restart_log": ("FailedChild",),
    "supervisor": ("Supervisor",),
    "tron_api": ("MonitorClient",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(importlib.import_module(f"tron_client.{_HOME_OF[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
