"""What a program declares of itself at its registration. Pure.

A new declared field is a line in both classes here, one in both functions of `declaration_codec`, its bounds in the
registry's `core/validation`, and a field of the SDK's `models.Service`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict

from grid_model.service import ServiceRole, ServiceType

DEFAULT_INTERVAL = 30.0
DEFAULT_TTL_INTERVALS = 3


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a client declares at registration. Intervals in seconds; None is 'not declared'."""

    service_id: str
    name: str
    type: ServiceType = ServiceType.AGENT
    role: ServiceRole = ServiceRole.PRODUCTION
    url: str = ""
    caps: tuple[str, ...] = ()
    labels: dict[str, Any] = field(default_factory=dict)
    parent: str = ""
    ctx_limit: int | None = None
    cost_hint: dict[str, float] = field(default_factory=dict)
    heartbeat_interval: float = DEFAULT_INTERVAL
    ttl: float = DEFAULT_TTL_INTERVALS * DEFAULT_INTERVAL
    reconnect_grace: float | None = None
    stall_after: float | None = None


class Declared(TypedDict, total=False):
    """The keywords by which a program declares itself to the SDK, beside its id and its name."""

    type: str
    role: str
    url: str
    caps: Iterable[str]
    labels: Mapping[str, Any] | None
    parent: str
    ctx_limit: int | None
    cost_hint: Mapping[str, float] | None
    heartbeat_interval: float | None
    ttl: float | None
    reconnect_grace: float | None
    stall_after: float | None
