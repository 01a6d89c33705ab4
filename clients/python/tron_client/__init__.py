"""The SDK of TRON: an `Agent` is registered and sends heartbeats, a `RegistryClient` reads and changes the registry.

Read in this order.

- `agent`                                                 registers a program and sends its heartbeats.
- `protocol/`                                             an agent's stream: decisions without I/O, and a transport.
- `schedule`                                              when to send heartbeats and to reconnect.
- `declaring`, `reporting`, `arguments`                   the checks of the values that a program declares and reports.
- `alerts`, `callbacks`, `callback_pool`                  the delivery of alerts to the program, and its callbacks.
- `loop_lag`                                              how late the program's event loop runs.
- `client`, `async_client`                                calls and streams that do not belong to an agent.
- `requests`, `watcher`, `connection`                     the parts that both clients share.
- `tron_api`, `discovery`                                 the client of TRON itself, and the search for TRON's address.
- `access`                                                the client of principals, grants and tokens.
- `models`, `words`, `server_clock`                       the registry's data as values, and its clock.
- `thresholds`                                            the thresholds of TRON as people write them.
- `endpoint`, `address`, `proxy`, `channel`               the addresses of servers, and the connections to them.
- `tls`, `profiles`                                       the choice of certificates for a connection.
- `tls_files`, `credentials`                              the reading and checking of certificates and keys.
- `bearer`                                                the token with which a client authenticates.
- `renewing_channel`                                      a channel that uses renewed certificates.
- `errors`, `status_details`                              the exceptions, and their encoding in gRPC.
- `reachability`, `tls_check`, `outages`                  the reason why a connection cannot be opened.
- `supervisor`, `supervision`                             the restarts of failed children: actions and decisions.
- `restarter`, `restart_log`, `restart_history`           one restart, its events in the log, and its limits.
- `standby`, `id_lock`                                    one agent that several processes can run.
- `forks`, `signals`, `leaving`, `monkey_patches`         forked children, signals, the end of a process, gevent.
- `compat`                                                the functions of the legacy heartbeat module.
- `testing`                                               a registry for the tests of programs that use the SDK.
- `heartbeat`, `monitor`                                  the former names of `compat` and `tron_api`.

A name is loaded when it is used for the first time. So a program that only parses an address does not load grpc
with its threads. For example, `tron run` only parses an address before it starts the program that it runs.
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
        CredentialExpired,
        Draining,
        FieldError,
        InternalError,
        InvalidRequest,
        NotImplementedYet,
        NotOwner,
        PageTokenExpired,
        PermissionDenied,
        PrincipalNotFound,
        QuotaExceeded,
        ReaderTooSlow,
        RegistryUnavailable,
        RevisionCompacted,
        ServiceNotFound,
        SilentStream,
        Superseded,
        TokenNotFound,
        TronError,
        Unauthenticated,
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
    "CredentialExpired",
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
    "NotOwner",
    "PageTokenExpired",
    "PermissionDenied",
    "PrincipalNotFound",
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
    "TokenNotFound",
    "TronError",
    "Unauthenticated",
    "UnknownIncarnation",
    "WrongServer",
    "WrongType",
    "create_registry_heartbeat_lifespan",
    "start_registry_heartbeat",
    "stop_registry_heartbeat",
]

_HOMES = {  # all other names are exceptions, in `errors`
    "agent": ("Agent",),
    "alerts": ("Alert",),
    "async_client": ("AsyncRegistryClient",),
    "client": ("RegistryClient",),
    "endpoint": ("Endpoint",),
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
_HOME_OF = dict.fromkeys(__all__, "errors") | {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(importlib.import_module(f"tron_client.{_HOME_OF[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
