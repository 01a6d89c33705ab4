"""An invalid argument is refused by the call that receives it, with the name of the field."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest
from tron_client import (
    Agent,
    AsyncRegistryClient,
    InvalidRequest,
    MonitorClient,
    RegistryClient,
    Supervisor,
    WrongType,
    create_registry_heartbeat_lifespan,
    start_registry_heartbeat,
)

supervise: Any = Supervisor  # with arguments that its signature does not allow
NOWHERE = "127.0.0.1:1"
INFINITE, NOT_A_NUMBER = float("inf"), float("nan")
A_CYCLE: dict[str, Any] = {}
A_CYCLE["again"] = A_CYCLE

WRONG_TYPES: list[tuple[str, object]] = [
    ("service_id", uuid.uuid4()),
    ("service_id", None),
    ("service_id", b"a"),
    ("name", 1),
    ("type", 3),
    ("role", None),
    ("url", b"http://a"),
    ("caps", "chat"),
    ("caps", b"chat"),
    ("caps", None),
    ("caps", 5),
    ("caps", {"chat": True}),
    ("caps[1]", ["chat", 5]),
    ("labels", "parent"),
    ("labels", [("parent", "a")]),
    ("labels['since']", {"since": timedelta(1)}),
    ("labels['a'][1]", {"a": [1, {1}]}),
    ("labels key", {1: "a"}),
    ("parent", uuid.uuid4()),
    ("ctx_limit", "many"),
    ("ctx_limit", 1.5),
    ("ctx_limit", True),
    ("cost_hint", [1]),
    ("cost_hint['usd']", {"usd": "1"}),
    ("cost_hint key", {1: 1.0}),
    ("heartbeat_interval", "5"),
    ("heartbeat_interval", None),
    ("heartbeat_interval", True),
    ("heartbeat_interval", timedelta(seconds=5)),
    ("ttl", "90"),
    ("reconnect_grace", False),
    ("stall_after", [60]),
    ("registry", ("127.0.0.1", 6122)),
    ("status", 1),
    ("register_timeout", "5"),
    ("register_timeout", None),
    ("on_alert", "print"),
    ("on_alert", 5),
    ("on_superseded", object()),
    ("on_declared_down", asyncio.Event()),
]
WRONG_VALUES: list[tuple[str, object]] = [
    ("service_id", "half a pair: \ud800"),
    ("type", "agnt"),
    ("role", "prod"),
    ("status", "fine"),
    ("labels['x']", {"x": NOT_A_NUMBER}),
    ("labels['x']", {"x": 10**400}),
    ("labels['x']", {"x": "\ud800"}),
    ("labels", A_CYCLE),
    ("ctx_limit", -1),
    ("ctx_limit", 2**70),
    ("cost_hint['usd']", {"usd": -1}),
    ("cost_hint['usd']", {"usd": INFINITE}),
    ("heartbeat_interval", 0),
    ("heartbeat_interval", -1),
    ("heartbeat_interval", NOT_A_NUMBER),
    ("heartbeat_interval", INFINITE),
    ("heartbeat_interval", 1e300),
    ("heartbeat_interval", 10**400),
    ("ttl", 0),
    ("reconnect_grace", -0.1),
    ("stall_after", NOT_A_NUMBER),
    ("register_timeout", -1),
    ("register_timeout", INFINITE),
]


def named(caught: pytest.ExceptionInfo[InvalidRequest]) -> str:
    """The one field that an error names, in its text and as a value."""
    (wrong,) = caught.value.fields
    assert str(caught.value).startswith(f"{wrong.field}: ")
    return wrong.field


@pytest.mark.parametrize(("field", "value"), WRONG_TYPES)
def test_an_agent_refuses_an_argument_of_a_wrong_type(field: str, value: Any) -> None:
    declared = {"service_id": "a", field.partition("[")[0].partition(" ")[0]: value}
    with pytest.raises(WrongType) as caught:
        Agent(**declared)
    assert named(caught) == field
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize(("field", "value"), WRONG_VALUES)
def test_an_agent_refuses_a_value_that_cannot_be_meant(field: str, value: Any) -> None:
    declared = {"service_id": "a", field.partition("[")[0]: value}
    with pytest.raises(InvalidRequest) as caught:
        Agent(**declared)
    assert named(caught).startswith(field)
    assert isinstance(caught.value, ValueError)


def test_what_is_a_number_or_a_list_by_another_name_is_taken() -> None:
    Agent("a", caps=(each for each in ("x", "y")), heartbeat_interval=0.5, ttl=90, labels={"a": (1, None)})
    half: Any = Fraction(1, 2)
    Agent("a", heartbeat_interval=half, caps={"x"}, cost_hint={"usd": 0}, ctx_limit=0, reconnect_grace=0)


@pytest.mark.parametrize(
    ("field", "report"),
    [
        ("status", {"status": 1}),
        ("status", {"status": "fine"}),
        ("p95_ms", {"p95_ms": "12"}),
        ("p95_ms", {"p95_ms": -1}),
        ("queue_depth", {"queue_depth": 1.5}),
        ("queue_depth", {"queue_depth": 2**70}),
        ("load", {"load": NOT_A_NUMBER}),
        ("message", {"message": b"at work"}),
        ("message", {"message": "\udcff"}),
        ("progress", {"progress": 1.1}),
        ("progress", {"progress": True}),
        ("busy_for", {"busy_for": INFINITE}),
        ("busy_for", {"busy_for": -1}),
    ],
)
def test_a_report_that_no_beat_can_carry_is_refused(field: str, report: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Agent("a").report(**report)
    assert named(caught) == field


@pytest.mark.parametrize(
    ("field", "call"),
    [
        ("n", lambda agent: agent.advance("1")),
        ("n", lambda agent: agent.advance(-1)),
        ("timeout", lambda agent: agent.stop(timeout=NOT_A_NUMBER)),
        ("reason", lambda agent: agent.stop(None)),
        ("timeout", lambda agent: agent.take_alert("1")),
        ("timeout", lambda agent: agent.wait_registered(None)),
        ("loop", lambda agent: agent.attach_loop(None)),
        ("agent", lambda _: supervise("a", print)),
        ("restart", lambda agent: supervise(agent, None)),
        ("restart", lambda agent: supervise(agent, "restart.sh")),
        ("types", lambda agent: supervise(agent, print, types="service_down")),
        ("max_restarts", lambda agent: supervise(agent, print, max_restarts=1.5)),
        ("max_restarts", lambda agent: supervise(agent, print, max_restarts=0)),
        ("window", lambda agent: supervise(agent, print, window=NOT_A_NUMBER)),
        ("restart_timeout", lambda agent: supervise(agent, print, restart_timeout=True)),
        ("first_delay", lambda agent: supervise(agent, print, first_delay="1")),
        ("concurrency", lambda agent: supervise(agent, print, concurrency=None)),
        ("on_alert", lambda agent: supervise(agent, print, on_alert="print")),
    ],
)
def test_other_calls_of_an_agent_and_its_supervisor_refuse_too(field: str, call: Callable[[Any], object]) -> None:
    with pytest.raises(ValueError, match=f"^{field}[: ]"):
        call(Agent("a"))


CALLS: list[tuple[str, Callable[[Any], object]]] = [
    ("name", lambda client: client.register(name=5)),
    ("caps", lambda client: client.register(name="a", caps="chat")),
    ("ttl", lambda client: client.register(name="a", ttl=NOT_A_NUMBER)),
    ("service_id", lambda client: client.deregister(uuid.uuid4())),
    ("reason", lambda client: client.deregister("a", 5)),
    ("service_id", lambda client: client.get_service(None)),
    ("cap", lambda client: client.list_services(cap=["x"])),
    ("liveness", lambda client: client.list_services(liveness=True)),
    ("label_selector", lambda client: client.list_services(label_selector="tier=1")),
    ("name", lambda client: client.promote(1, "staging", "production")),
    ("from_role", lambda client: client.promote("a", 1, "production")),
    ("type", lambda client: client.publish_event(None)),
    ("severity", lambda client: client.publish_event("x", severity=3)),
    ("message", lambda client: client.publish_event("x", message=5)),
    ("details", lambda client: client.publish_event("x", details=["a"])),
    ("types", lambda client: client.list_events(types="service_down")),
    ("limit", lambda client: client.list_events(limit="10")),
    ("limit", lambda client: client.list_events(limit=-1)),
    ("after_sequence", lambda client: client.list_events(after_sequence=1.5)),
    ("newest", lambda client: client.list_events(newest="yes")),
    ("alert_id", lambda client: client.acknowledge(uuid.uuid4())),
    ("start_revision", lambda client: client.watch_services("5")),
    ("reconnect", lambda client: client.watch_services(reconnect="no")),
    ("types", lambda client: client.subscribe_events(types="service_down")),
    ("only_new", lambda client: client.subscribe_events(only_new=1)),
]


@pytest.mark.parametrize(("field", "call"), CALLS)
def test_a_client_refuses_before_anything_is_sent(field: str, call: Callable[[Any], object]) -> None:
    with RegistryClient(NOWHERE) as client, pytest.raises(InvalidRequest, match=rf"{field}\b"):
        call(client)


@pytest.mark.parametrize(("field", "call"), CALLS)
async def test_the_client_for_asyncio_refuses_the_same(field: str, call: Callable[[Any], Any]) -> None:
    async with AsyncRegistryClient(NOWHERE) as client:
        with pytest.raises(InvalidRequest, match=rf"{field}\b"):
            await call(client)


@pytest.mark.parametrize("kind", [RegistryClient, AsyncRegistryClient, MonitorClient])
async def test_a_client_refuses_a_wrong_address_or_timeout(kind: Any) -> None:
    for field, wrong in (("address", 6122), ("timeout", None), ("timeout", 0), ("timeout", INFINITE)):
        with pytest.raises(InvalidRequest, match=f"^{field}: "):
            kind(**{field: wrong})


@pytest.mark.parametrize(
    ("field", "call"),
    [
        ("service_id", lambda client: client.explain(5)),
        ("limit", lambda client: client.list_alerts(limit="5")),
        ("enabled", lambda client: client.set_maintenance("a", "yes")),
        ("duration", lambda client: client.set_maintenance("a", True, duration=NOT_A_NUMBER)),
        ("service_id", lambda client: client.set_policy(5)),
    ],
)
def test_the_client_of_tron_refuses_too(field: str, call: Callable[[Any], object]) -> None:
    with MonitorClient(NOWHERE) as client, pytest.raises(InvalidRequest, match=f"^{field}: "):
        call(client)


@pytest.mark.parametrize(
    ("field", "value"),
    [("caps", "chat"), ("service_id", uuid.uuid4()), ("ttl_s", "90"), ("heartbeat_interval_s", True)],
)
async def test_the_drop_in_and_its_lifespan_refuse_at_once(field: str, value: Any) -> None:
    declared: dict[str, Any] = {"service_id": "a", "name": "A", "type": "agent", "role": "production", "url": ""}
    declared |= {"caps": ["x"], field: value}
    with pytest.raises(WrongType, match=f"^{field}: "):
        await start_registry_heartbeat(**declared)
    with pytest.raises(WrongType, match=f"^{field}: "):
        create_registry_heartbeat_lifespan(**declared)


def test_a_lifespan_with_a_keyword_that_does_not_exist_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="heartbeat_intervall_s"):
        create_registry_heartbeat_lifespan("a", "A", "agent", "production", "", [], heartbeat_intervall_s=5)
