"""The SDK of TRON: hold an `Agent` to be registered and beating, a `RegistryClient` to look and to act.

Read in this order: agent.py (what programs hold), lifeline.py and outbox.py (its one stream), schedule.py (when), then
client.py, requests.py, watcher.py and monitor.py; for parents supervisor.py and supervision.py. testing.py is a
registry for the tests of programs that use the SDK.
"""

from tron_client.agent import Agent
from tron_client.alerts import Alert
from tron_client.async_client import AsyncRegistryClient
from tron_client.client import RegistryClient
from tron_client.errors import (
    AlertNotFound,
    Draining,
    FieldError,
    InternalError,
    InvalidRequest,
    NotImplementedYet,
    QuotaExceeded,
    ReaderTooSlow,
    RegistryUnavailable,
    RevisionCompacted,
    ServiceNotFound,
    SilentStream,
    Superseded,
    TronError,
    UnknownIncarnation,
)
from tron_client.heartbeat import (
    create_registry_heartbeat_lifespan,
    start_registry_heartbeat,
    stop_registry_heartbeat,
)
from tron_client.models import Event, EventPage, Maintenance, Service, ServiceChange, ServiceList
from tron_client.monitor import MonitorClient
from tron_client.restart_log import FailedChild
from tron_client.supervisor import Supervisor

__all__ = [
    "Agent",
    "Alert",
    "AlertNotFound",
    "AsyncRegistryClient",
    "Draining",
    "Event",
    "EventPage",
    "FailedChild",
    "FieldError",
    "InternalError",
    "InvalidRequest",
    "Maintenance",
    "MonitorClient",
    "NotImplementedYet",
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
    "create_registry_heartbeat_lifespan",
    "start_registry_heartbeat",
    "stop_registry_heartbeat",
]
