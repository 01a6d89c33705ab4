"""What clients of the baseline ask a running system, and the shape of what they get."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message

from tests.contract.recordings.samples import new_message
from tests.support.face import Face
from tests.support.waiting import wait_until

REGISTRY, EVENTS, TRON = "grid.registry.v1.RegistryService", "grid.events.v1.EventService", "grid.tron.v1.TronService"

SERVICE = {
    "service_id": "recorded-grpc",
    "name": "Recorded",
    "type": "SERVICE_TYPE_AGENT",
    "role": "SERVICE_ROLE_STAGING",
    "url": "u",
    "caps": ["work"],
    "labels": {"tier": 3},
    "parent": "recorded",
    "heartbeat_interval": "300s",
    "ttl": "900s",
}
EVENT = {"type": "recorded", "severity": "SEVERITY_INFO", "alert_id": "recorded-1", "recipient": "recorded"}

UNARY: tuple[tuple[str, str, dict[str, Any]], ...] = (
    (REGISTRY, "Register", {"service": SERVICE}),
    (REGISTRY, "GetService", {"service_id": "recorded-grpc"}),
    (REGISTRY, "GetService", {"service_id": "recorded-nobody"}),
    (REGISTRY, "ListServices", {"name": "Recorded", "page_size": 1}),
    (REGISTRY, "ListServices", {"label_selector": {"tier": 3}}),
    (REGISTRY, "ListServices", {"page_token": "recorded"}),
    (
        REGISTRY,
        "Promote",
        {"name": "Recorded", "from_role": "SERVICE_ROLE_STAGING", "to_role": "SERVICE_ROLE_CANARY"},
    ),
    (EVENTS, "PublishEvent", {"event": EVENT}),
    (EVENTS, "PublishEvent", {"event": {}}),
    (EVENTS, "ListEvents", {"recipient": "recorded", "limit": 5}),
    (EVENTS, "AcknowledgeEvent", {"alert_id": "recorded-1", "recipient": "recorded"}),
    (EVENTS, "AcknowledgeEvent", {"alert_id": "recorded-nothing"}),
    (TRON, "GetStats", {}),
    (TRON, "ListAlerts", {"limit": 5}),
    (TRON, "GetPolicy", {"service_id": "recorded-grpc"}),
    (TRON, "SetPolicy", {"service_id": "recorded-grpc", "policy": {"misses_before_down": 2}}),
    (TRON, "SetPolicy", {"service_id": "recorded-grpc", "policy": {"reconnect_grace": "3s"}}),
    (TRON, "SetMaintenance", {"service_id": "recorded-grpc", "enabled": True, "duration": "60s", "reason": "recorded"}),
    (TRON, "SetMaintenance", {"service_id": "recorded-grpc", "enabled": False}),
    (TRON, "Explain", {"service_id": "recorded-grpc"}),
    (REGISTRY, "Deregister", {"service_id": "recorded-grpc", "reason": "recorded"}),
)
"""Calls with one request and one answer, in this order: service, method, request."""

HEARTBEAT: tuple[dict[str, Any], ...] = (
    {"register": {"service": {**SERVICE, "service_id": "recorded-stream"}}},
    {"beats": {"beats": [{"service_id": "recorded-stream", "sequence": 1, "status": "SERVICE_STATUS_RUNNING"}]}},
    {"beats": {"beats": [{"service_id": "recorded-nobody", "sequence": 2}]}},
    {"register": {"service": {**SERVICE, "service_id": "recorded-stream", "incarnation": "1"}}},
)
"""What goes up one Heartbeat stream; each of them is answered."""

HELD = {
    "service_id": "held",
    "name": "Held",
    "type": "tool",
    "role": "staging",
    "url": "u",
    "caps": ["work"],
    "heartbeat_interval_s": 1,
}
DECLARED = {
    "service_id": "recorded",
    "name": "Recorded",
    "type": "agent",
    "role": "production",
    "url": "u",
    "caps": ["work"],
    "labels": {"parent": "somebody", "tier": 3},
    "ctx_limit": 1000,
    "cost_hint": {"usd": 0.5},
}

REST: tuple[tuple[str, str, str, Any], ...] = (
    ("registry_http", "GET", "/", None),
    ("registry_http", "GET", "/health", None),
    ("registry_http", "POST", "/register", DECLARED),
    ("registry_http", "POST", "/register", {"name": "", "type": "nonsense"}),
    ("registry_http", "PUT", "/heartbeat", {"service_id": "recorded", "status": "ok", "p95_ms": 12.5, "load": 0.5}),
    ("registry_http", "PUT", "/heartbeat", {"service_id": "recorded-nobody"}),
    ("registry_http", "PUT", "/heartbeat", {}),
    ("registry_http", "GET", "/services", None),
    ("registry_http", "GET", "/services/recorded", None),
    ("registry_http", "GET", "/services/recorded-nobody", None),
    ("registry_http", "GET", "/discover?name=Recorded&type=agent", None),
    ("registry_http", "GET", "/discover?type=nonsense", None),
    ("registry_http", "POST", "/promote", {"name": "Recorded", "from_role": "production", "to_role": "canary"}),
    ("registry_http", "POST", "/promote", {"name": "nobody", "from_role": "production", "to_role": "canary"}),
    ("registry_http", "POST", "/deregister", {"service_id": "recorded"}),
    ("registry_http", "POST", "/deregister", {"service_id": "recorded"}),
    ("registry_http", "GET", "/nonsense", None),
    ("tron_http", "GET", "/", None),
    ("tron_http", "GET", "/health", None),
    ("tron_http", "GET", "/stats", None),
    ("tron_http", "GET", "/alerts?limit=5", None),
    ("tron_http", "GET", "/alerts?limit=-1", None),
    ("events_http", "GET", "/health", None),
    ("events_http", "POST", "/broadcast", {"event_type": "recorded", "data": {"a": 1}}),
    ("events_http", "POST", "/broadcast", {}),
    ("events_http", "GET", "/events/recent", None),
    ("events_http", "GET", "/events/recent?limit=0", None),
    ("registry_http", "POST", "/register", DECLARED),
    ("hmi_http", "GET", "/health", None),
    ("hmi_http", "GET", "/api/services", None),
    ("hmi_http", "GET", "/api/tree", None),
    ("hmi_http", "GET", "/api/alerts", None),
    ("hmi_http", "GET", "/api/agents", None),
)
"""Requests to the four legacy ports, in this order: port, method, path, body. An alert about `held` is there before."""

FREE = {"labels", "cost_hint", "data", "details", "evidence"}
"""Objects with keys of the client's choice."""


def shape(value: Any) -> Any:
    """A document with each value replaced by its type, and each list by the shapes of its members.

    If some members are about what is recorded here, the others do not count: they vary with the moment."""
    if isinstance(value, dict):
        return {key: "object" if key in FREE else shape(each) for key, each in value.items()}
    if isinstance(value, list):
        ours = [each for each in value if "recorded" in json.dumps(each)]
        members = {json.dumps(each, sort_keys=True): each for each in map(shape, ours or value)}
        return [members[key] for key in sorted(members)]
    return "null" if value is None else type(value).__name__


def unary(face: Face) -> Iterator[dict[str, Any]]:
    """Make the calls; yield what was asked, as bytes too, and what came back: a document, or the code of the error."""
    with grpc.insecure_channel(face.registry.address) as registry, grpc.insecure_channel(face.monitor.address) as tron:
        for service, method, asked in UNARY:
            package = service.rpartition(".")[0]
            request = ParseDict(asked, new_message(f"{package}.{method}Request"))
            call: Any = (tron if service == TRON else registry).unary_unary(f"/{service}/{method}")
            sent = request.SerializeToString(deterministic=True)
            entry = {"call": f"{service}/{method}", "request": asked, "bytes": base64.b64encode(sent).decode()}
            kind = f"{package}.{method}Response"
            if method == "Explain":  # TRON learns of a registration with the next frame, up to 0.1 s later
                wait_until(lambda: bool(_received(call, sent, kind).deadlines), 10, "TRON knows the service")  # noqa: B023
            yield {**entry, **_answer(call, sent, kind)}


def _answer(call: Any, sent: bytes, kind: str) -> dict[str, Any]:
    try:
        return {"response": shape(_document(_received(call, sent, kind)))}
    except grpc.RpcError as error:
        return {"code": error.code().name}


def _received(call: Any, sent: bytes, kind: str) -> Any:
    received = new_message(kind)
    received.ParseFromString(call(sent, timeout=10))
    return received


def _document(message: Message) -> Any:
    """All fields, those with their default value too: what is zero at the moment must not matter."""
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def heartbeat(face: Face) -> Iterator[dict[str, Any]]:
    """Play the dialogue of one Heartbeat stream; yield each message up, as bytes too, and the one that answers it."""
    with grpc.insecure_channel(face.registry.address) as channel:
        sent: list[bytes] = []
        answered = threading.Event()

        def up() -> Iterator[bytes]:
            for asked in HEARTBEAT:
                sent.append(ParseDict(asked, new_message("grid.registry.v1.HeartbeatRequest")).SerializeToString())
                yield sent[-1]
                answered.wait()
                answered.clear()

        stream: Any = channel.stream_stream(f"/{REGISTRY}/Heartbeat")(up(), timeout=20)  # type: ignore[arg-type]
        for asked, raw in zip(HEARTBEAT, stream, strict=False):
            received = new_message("grid.registry.v1.HeartbeatResponse")
            received.ParseFromString(raw)
            document = shape(_document(received))
            yield {"request": asked, "bytes": base64.b64encode(sent[-1]).decode(), "response": document}
            answered.set()
        stream.cancel()


def rest(face: Face) -> Iterator[dict[str, Any]]:
    """Make the requests; yield what was asked, and the status, the content type and the shape of what came back."""
    face.rest.post("/register", json=HELD).raise_for_status()
    wait_until(
        lambda: bool(face.tron.get("/alerts").json()["alerts"]), 60, "an alert about the service that never beats"
    )
    for port, method, path, body in REST:
        with httpx.Client(base_url=face.gateway.url(port), timeout=15) as client:
            answer = client.request(method, path, json=body)
        entry: dict[str, Any] = {
            "port": port,
            "request": f"{method} {path}",
            "body": body,
            "status": answer.status_code,
        }
        yield {**entry, "content_type": answer.headers["content-type"], "response": shape(answer.json())}
