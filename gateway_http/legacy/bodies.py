"""The request and response bodies of the legacy contract as pydantic models, which check requests and appear in
/docs."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from gateway_http.http.json_bounds import check_object, check_text
from gateway_http.legacy.rows import ROLES, STATUSES, TYPES

DEFAULT_INTERVAL_S = 60
DEFAULT_TTL_S = 90

Text = Annotated[str, AfterValidator(check_text)]
Type = Annotated[str, Field(pattern=f"^({'|'.join(TYPES)})$")]
Role = Annotated[str, Field(pattern=f"^({'|'.join(ROLES)})$")]
Status = Annotated[str, Field(pattern=f"^({'|'.join(STATUSES)})$")]
Figure = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=-(2**63), lt=2**63)]

LONGEST_S = 315_576_000_000
"""The longest duration that protobuf can carry, in seconds: ten thousand years."""


class Registration(BaseModel):
    """The body of POST /register. Unknown fields are ignored."""

    model_config = ConfigDict(json_schema_extra={"example": {
        "service_id": "agent-architect",
        "name": "Architect",
        "type": "agent",
        "role": "production",
        "url": "http://localhost:6110",
        "caps": ["planning"],
        "labels": {"tier": "2", "parent": "PAS Root"},
        "heartbeat_interval_s": 30,
        "ttl_s": 90,
    }})  # fmt: skip

    service_id: Text | None = None
    """If it is absent, null or empty, the registry assigns a UUID. An id that is already registered is registered
    again."""
    name: Annotated[str, Field(min_length=1, max_length=100), AfterValidator(check_text)]
    type: Type
    role: Role
    url: Text
    caps: Annotated[list[Text], Field(min_length=1)]
    labels: Annotated[dict[str, Any], AfterValidator(check_object)] | None = None
    """Any JSON object, at most 16 KiB, 1000 values and 16 levels deep. The label `parent` identifies the agent that is
    notified of failures."""
    ctx_limit: Count | None = None
    cost_hint: dict[str, float] | None = None
    """The cost of the service; only `usd_per_1k` is kept."""
    heartbeat_interval_s: Annotated[int, Field(ge=1, le=86_400)] = DEFAULT_INTERVAL_S
    ttl_s: Annotated[int, Field(ge=-LONGEST_S, le=LONGEST_S)] = DEFAULT_TTL_S
    """The time to live, which is only recorded; liveness does not depend on it."""


class Heartbeat(BaseModel):
    """The body of PUT /heartbeat. Each heartbeat replaces the figures `p95_ms`, `queue_depth` and `load`: a figure that
    is absent or null becomes null. Unknown fields are ignored."""

    model_config = ConfigDict(json_schema_extra={"example": {"service_id": "agent-architect", "status": "ok"}})

    service_id: Text
    status: Status = "ok"
    p95_ms: Figure | None = None
    queue_depth: Count | None = None
    load: Figure | None = None
    message: Text | None = None
    """A message, which /v1 shows; it is cut off after 1000 characters."""


class ServiceId(BaseModel):
    """The body of POST /deregister."""

    service_id: Text


class Promotion(BaseModel):
    """The body of POST /promote."""

    name: Text
    from_role: Role
    to_role: Role


class Registered(BaseModel):
    """The answer to POST /register: the id of the service, and the time of its registration."""

    service_id: str
    registered_at: Annotated[str, Field(examples=["2025-11-14 18:49:49"])]
    """The time of the registration, in UTC, without a zone."""


class Done(BaseModel):
    """The answer to PUT /heartbeat and POST /deregister."""

    success: bool
    ts: Annotated[str, Field(examples=["2025-11-14T18:49:49.022434"])]
    """The time of the answer, in UTC, without a zone."""


class Promoted(BaseModel):
    """The answer to POST /promote: the number of services whose role was changed."""

    updated_instances: int
    ts: str


class ListedService(BaseModel):
    """One service in the answer to GET /services."""

    service_id: str
    name: str
    type: str
    role: str
    url: str
    caps: list[str]
    labels: dict[str, Any] | None
    status: str
    """The status that the client reported; `down` if TRON declared the service down."""
    last_heartbeat_ts: str


class DiscoveredService(ListedService):
    """One service in the answer to GET /discover."""

    ctx_limit: int | None
    cost_hint_usd_per_1k: float | None
    registered_at: str
    p95_ms: float | None
    queue_depth: int | None
    load: float | None


class WholeService(DiscoveredService):
    """The answer to GET /services/{service_id}."""

    heartbeat_interval_s: float
    ttl_s: float


class ServiceList(BaseModel):
    """The answer to GET /services: all services, ordered by name and then by role."""

    items: list[ListedService]


class DiscoveredList(BaseModel):
    """The answer to GET /discover: the matching services, in the order of GET /services."""

    items: list[DiscoveredService]


class Detail(BaseModel):
    """The body of an error response that concerns the whole request, not single fields."""

    detail: str
