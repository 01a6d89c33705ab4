"""Bad calls get a precise error that names the field; they change nothing and disturb nobody."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import grpc
import pytest
from google.protobuf import duration_pb2, struct_pb2
from grid.events.v1 import event_pb2, event_service_pb2
from grid.liveness.v1 import liveness_pb2
from grid.registry.v1 import observation_pb2, registry_service_pb2, service_pb2
from grid.tron.v1 import policy_pb2, tron_service_pb2, tron_service_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckResponse

from tests.e2e.conftest import Grid
from tests.e2e.raw_agent import Beating, RawAgent, a_service, beating, open_channel, seconds, unique
from tests.e2e.refusals import Refusal, refused
from tests.support.waiting import wait_until

INVALID = grpc.StatusCode.INVALID_ARGUMENT


def nested(levels: int) -> dict[str, Any]:
    """A JSON object of this many levels."""
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


def labels(value: dict[str, Any]) -> struct_pb2.Struct:
    """Labels for a service."""
    message = struct_pb2.Struct()
    message.update(value)
    return message


# What is wrong, the fields that are wrong, and the field that the error must name.
BAD_SERVICES: list[tuple[str, dict[str, Any], str]] = [
    ("an empty name", {"name": ""}, "service.name"),
    ("a name of 101 characters", {"name": "n" * 101}, "service.name"),
    ("a name of a blank", {"name": " "}, "service.name"),
    ("a name with a line feed", {"name": "a\nb"}, "service.name"),
    ("an id of 513 characters", {"service_id": "i" * 513}, "service.service_id"),
    ("an id with a NUL", {"service_id": "a\0b"}, "service.service_id"),
    ("an id with an escape", {"service_id": "a\x1b[31mb"}, "service.service_id"),
    ("an id that turns text around", {"service_id": "a\u202eb"}, "service.service_id"),
    ("an id that begins with a blank", {"service_id": " a"}, "service.service_id"),
    ("an unknown type", {"type": 99}, "service.type"),
    ("a negative type", {"type": -1}, "service.type"),
    ("an unknown role", {"role": 99}, "service.role"),
    ("an interval of 0", {"heartbeat_interval": seconds(0)}, "service.heartbeat_interval"),
    ("a negative interval", {"heartbeat_interval": duration_pb2.Duration(seconds=-1)}, "service.heartbeat_interval"),
    ("an interval of 50 ms", {"heartbeat_interval": seconds(0.05)}, "service.heartbeat_interval"),
    ("an interval of a year", {"heartbeat_interval": seconds(365 * 86400)}, "service.heartbeat_interval"),
    (
        "an interval at the end of numbers",
        {"heartbeat_interval": duration_pb2.Duration(seconds=2**63 - 1)},
        "service.heartbeat_interval",
    ),
    (
        "an interval of two minds",
        {"heartbeat_interval": duration_pb2.Duration(seconds=1, nanos=-1)},
        "service.heartbeat_interval",
    ),
    ("a ttl below the interval", {"ttl": seconds(1)}, "service.ttl"),
    ("a ttl of a year", {"ttl": seconds(365 * 86400)}, "service.ttl"),
    ("a negative grace", {"reconnect_grace": duration_pb2.Duration(seconds=-1)}, "service.reconnect_grace"),
    ("a stall_after of 0", {"stall_after": seconds(0)}, "service.stall_after"),
    ("a negative context window", {"ctx_limit": -1}, "service.ctx_limit"),
    ("a url of 2049 characters", {"url": "u" * 2049}, "service.url"),
    ("65 capabilities", {"caps": [f"c{n}" for n in range(65)]}, "service.caps"),
    ("an empty capability", {"caps": ["good", ""]}, "service.caps[1]"),
    ("a cost that is not a number", {"cost_hint": {"usd": math.nan}}, "service.cost_hint['usd']"),
    ("a cost without end", {"cost_hint": {"usd": math.inf}}, "service.cost_hint['usd']"),
    ("labels of 17 levels", {"labels": labels(nested(17))}, "service.labels"),
    ("labels of 17 KB", {"labels": labels({"a": "x" * 17_000})}, "service.labels"),
    ("labels of 10000 keys", {"labels": labels({str(n): n for n in range(10_000)})}, "service.labels"),
    (
        "labels with NaN",
        {"labels": struct_pb2.Struct(fields={"a": struct_pb2.Value(number_value=math.nan)})},
        "service.labels",
    ),
    (
        "labels without end",
        {"labels": struct_pb2.Struct(fields={"a": struct_pb2.Value(number_value=math.inf)})},
        "service.labels",
    ),
]


@pytest.mark.parametrize(
    ("wrong", "field"), [each[1:] for each in BAD_SERVICES], ids=[each[0] for each in BAD_SERVICES]
)
def test_a_bad_registration_is_refused_by_the_name_of_its_field_and_changes_nothing(
    grid: Grid, wrong: dict[str, Any], field: str
) -> None:
    service_id = unique("bad")
    good = grid.registry.Register(registry_service_pb2.RegisterRequest(service=a_service(service_id))).service
    bad = a_service(**{"service_id": service_id, "name": service_id, **wrong})
    over_unary = refused(lambda: grid.registry.Register(registry_service_pb2.RegisterRequest(service=bad)))
    with RawAgent(grid.address) as agent:
        agent.announce(bad)
        over_stream = agent.wait_refused()
    for refusal in (over_unary, over_stream):
        assert (refusal.code, refusal.reason, refusal.fields) == (INVALID, "INVALID_REQUEST", (field,))
    after = grid.get(service_id)
    assert (after.incarnation, after.registered_at, after.connected) == (good.incarnation, good.registered_at, False)
    assert [each.service_id for each in grid.list_named(service_id).services] == [service_id]


def test_all_that_is_wrong_is_named_at_once(grid: Grid) -> None:
    bad = a_service(unique("bad"), name="", url="u" * 3000, ctx_limit=-1, caps=[""])
    refusal = refused(lambda: grid.registry.Register(registry_service_pb2.RegisterRequest(service=bad)))
    assert set(refusal.fields) == {"service.name", "service.url", "service.ctx_limit", "service.caps[0]"}
    assert grid.find(bad.service_id) is None


def test_a_refused_part_does_not_end_a_stream_that_carries_others(grid: Grid, bystander: Beating) -> None:
    bystander.agent.announce(a_service("also here", name=""))
    rejected = bystander.agent.wait("rejected")[0]
    assert (rejected.service_id, rejected.field) == ("also here", "service.name")
    bystander.agent.heard = [each for each in bystander.agent.heard if each.WhichOneof("kind") != "rejected"]


def test_no_service_is_its_own_parent_by_id_or_by_name(grid: Grid) -> None:
    service_id = unique("narcissus")
    for own in (
        a_service(service_id, parent=service_id),
        a_service(service_id, name="Narcissus", parent="Narcissus"),
        a_service(service_id, labels=labels({"parent": service_id})),
    ):
        refusal = refused(partial(grid.registry.Register, registry_service_pb2.RegisterRequest(service=own)))
        assert (refusal.reason, refusal.fields) == ("INVALID_REQUEST", ("service.parent",))
    assert grid.find(service_id) is None


def test_a_circle_of_parents_is_refused_where_it_would_close(grid: Grid) -> None:
    a, b, c = (unique("cycle") for _ in range(3))
    for service in (a_service(a), a_service(b, parent=a), a_service(c, parent=b)):
        grid.registry.Register(registry_service_pb2.RegisterRequest(service=service))
    closing = registry_service_pb2.RegisterRequest(service=a_service(a, parent=c))
    refusal = refused(lambda: grid.registry.Register(closing))
    assert (refusal.code, refusal.fields) == (INVALID, ("service.parent",))
    assert grid.get(a).parent == ""


def test_a_circle_through_somebody_who_comes_later_is_refused_when_they_come(grid: Grid) -> None:
    first, later = unique("cycle"), unique("cycle")
    grid.registry.Register(registry_service_pb2.RegisterRequest(service=a_service(first, parent=later)))
    closing = registry_service_pb2.RegisterRequest(service=a_service(later, parent=first))
    assert refused(lambda: grid.registry.Register(closing)).fields == ("service.parent",)
    assert grid.find(later) is None


def test_an_unknown_parent_is_allowed_and_gets_the_alerts_when_it_comes(grid: Grid) -> None:
    parent, child = unique("late-parent"), unique("early-child")
    with RawAgent(grid.address) as agent:
        agent.register(child, parent=parent, reconnect_grace=seconds(0.2))
        grid.wait_liveness(child, liveness_pb2.LIVENESS_ALIVE)
    wait_until(lambda: "service_down" in {event.type for event in grid.events_about(child)}, 10, "down")
    with beating(grid.address, parent) as late:
        alerts = late.agent.wait_alerts("service_down")  # which has overtaken the suspicion
        assert {(alert.service_id, alert.recipient) for alert in alerts} == {(child, parent)}
        late.agent.acknowledge(*(alert.alert_id for alert in alerts))
        waiting = event_service_pb2.ListEventsRequest(recipient=parent, unacknowledged=True)
        wait_until(lambda: not grid.events.ListEvents(waiting).events, 5, "all is acknowledged")


BAD_CALLS: list[tuple[str, str, Any, str]] = [
    ("a page too large", "ListServices", registry_service_pb2.ListServicesRequest(page_size=10_001), "page_size"),
    ("a page of 2^32-1", "ListServices", registry_service_pb2.ListServicesRequest(page_size=2**32 - 1), "page_size"),
    ("a token that is text", "ListServices", registry_service_pb2.ListServicesRequest(page_token="€"), "page_token"),
    ("a token of JSON", "ListServices", registry_service_pb2.ListServicesRequest(page_token="W10="), "page_token"),
    ("a token of null", "ListServices", registry_service_pb2.ListServicesRequest(page_token="bnVsbA=="), "page_token"),
    ("an unknown type", "ListServices", registry_service_pb2.ListServicesRequest(type=99), "type"),  # type: ignore[arg-type]
    ("an unknown role", "ListServices", registry_service_pb2.ListServicesRequest(role=99), "role"),  # type: ignore[arg-type]
    ("an unknown status", "ListServices", registry_service_pb2.ListServicesRequest(status=99), "status"),  # type: ignore[arg-type]
    ("an unknown liveness", "ListServices", registry_service_pb2.ListServicesRequest(liveness=99), "liveness"),  # type: ignore[arg-type]
    ("a selector with NaN", "ListServices", registry_service_pb2.ListServicesRequest(
        label_selector=struct_pb2.Struct(fields={"a": struct_pb2.Value(number_value=math.nan)})), "label_selector"),
    ("nobody to read", "GetService", registry_service_pb2.GetServiceRequest(), "service_id"),
    ("nobody to remove", "Deregister", registry_service_pb2.DeregisterRequest(), "service_id"),
    ("a long reason", "Deregister",
     registry_service_pb2.DeregisterRequest(service_id="a", reason="r" * 1001), "reason"),
    ("nobody to promote", "Promote", registry_service_pb2.PromoteRequest(
        from_role=service_pb2.SERVICE_ROLE_STAGING, to_role=service_pb2.SERVICE_ROLE_CANARY), "name"),
    ("a promotion to nothing", "Promote", registry_service_pb2.PromoteRequest(
        name="a", from_role=service_pb2.SERVICE_ROLE_STAGING), "to_role"),
    ("a promotion from 99", "Promote", registry_service_pb2.PromoteRequest(
        name="a", from_role=99, to_role=service_pb2.SERVICE_ROLE_STAGING), "from_role"),  # type: ignore[arg-type]
    ("verdicts of nobody", "ApplyVerdicts", observation_pb2.ApplyVerdictsRequest(), "observer"),
    ("an instance id of 101", "Register", registry_service_pb2.RegisterRequest(
        service=a_service("a"), instance_id="x" * 101), "instance_id"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "call", "field"), [each[1:] for each in BAD_CALLS], ids=[x[0] for x in BAD_CALLS])
def test_a_bad_call_is_refused_by_the_name_of_its_field(grid: Grid, method: str, call: Any, field: str) -> None:
    refusal = refused(lambda: getattr(grid.registry, method)(call))
    assert (refusal.code, refusal.reason, refusal.fields) == (INVALID, "INVALID_REQUEST", (field,))


BAD_EVENTS: list[tuple[str, dict[str, Any], str]] = [
    ("no type", {"type": ""}, "event.type"),
    ("a type of 101 characters", {"type": "t" * 101}, "event.type"),
    ("an unknown severity", {"severity": 99}, "event.severity"),
    ("an unknown cause", {"cause": 99}, "event.cause"),
    ("a message of 1001 characters", {"message": "m" * 1001}, "event.message"),
    ("a recipient with a NUL", {"recipient": "a\0"}, "event.recipient"),
    ("details of 17 levels", {"details": labels(nested(17))}, "event.details"),
    ("a time before time", {"occurred_at": {"seconds": -(2**62)}}, "event.occurred_at"),
    ("a time behind time", {"last_seen_at": {"seconds": 253_402_300_800}}, "event.last_seen_at"),
]


@pytest.mark.parametrize(("wrong", "field"), [each[1:] for each in BAD_EVENTS], ids=[each[0] for each in BAD_EVENTS])
def test_a_bad_event_is_refused_by_the_name_of_its_field_and_not_recorded(
    grid: Grid, wrong: dict[str, Any], field: str
) -> None:
    about = unique("bad-event")
    event = event_pb2.Event(**{"type": "note", "service_id": about, **wrong})
    refusal = refused(lambda: grid.events.PublishEvent(event_service_pb2.PublishEventRequest(event=event)))
    assert (refusal.code, refusal.reason, refusal.fields) == (INVALID, "INVALID_REQUEST", (field,))
    assert grid.events_about(about) == []


def test_who_is_not_there_is_not_found(grid: Grid) -> None:
    nobody = unique("nobody")
    missing = Refusal(grpc.StatusCode.NOT_FOUND, "", "SERVICE_NOT_FOUND", ())
    for call in (
        lambda: grid.registry.GetService(registry_service_pb2.GetServiceRequest(service_id=nobody)),
        lambda: grid.registry.Deregister(registry_service_pb2.DeregisterRequest(service_id=nobody)),
        lambda: grid.registry.Promote(registry_service_pb2.PromoteRequest(
            name=nobody, from_role=service_pb2.SERVICE_ROLE_STAGING, to_role=service_pb2.SERVICE_ROLE_CANARY
        )),
        lambda: grid.health(nobody),
    ):  # fmt: skip
        refusal = refused(call)
        assert (refusal.code, refusal.reason, refusal.fields) == (missing.code, missing.reason, missing.fields)
        assert nobody in refusal.text
    unsent = event_service_pb2.AcknowledgeEventRequest(alert_id=nobody)
    assert refused(lambda: grid.events.AcknowledgeEvent(unsent)).reason == "ALERT_NOT_FOUND"


def test_verdicts_of_a_stranger_do_not_end_the_watch_of_tron(grid: Grid, bystander: Beating) -> None:
    for number in range(20):
        grid.registry.ApplyVerdicts(observation_pb2.ApplyVerdictsRequest(observer=f"stranger {number}"))
        assert grid.health("grid.tron.v1.TronService") == HealthCheckResponse.SERVING
        assert grid.get(bystander.service_id).liveness == liveness_pb2.LIVENESS_ALIVE


@pytest.mark.parametrize("future", [2**62, 2**64 - 1])
def test_revisions_and_sequences_of_the_future_are_out_of_range(grid: Grid, future: int) -> None:
    watch = registry_service_pb2.WatchServicesRequest(start_revision=future)
    follow = event_service_pb2.SubscribeEventsRequest(after_sequence=future)
    for refusal in (
        refused(lambda: list(grid.registry.WatchServices(watch, timeout=5))),
        refused(lambda: list(grid.events.SubscribeEvents(follow, timeout=5))),
    ):
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.OUT_OF_RANGE, "REVISION_COMPACTED")


@pytest.mark.parametrize("future", [2**62, 2**64 - 1])
def test_a_page_of_events_of_the_future_is_empty(grid: Grid, future: int) -> None:
    query = event_service_pb2.ListEventsRequest(after_sequence=future)
    assert not grid.events.ListEvents(query).events


def test_tron_refuses_bad_input_in_the_same_words(grid: Grid) -> None:
    with open_channel(grid.tron_address) as channel:
        tron = tron_service_pb2_grpc.TronServiceStub(channel)
        refusal = refused(lambda: tron.ListAlerts(tron_service_pb2.ListAlertsRequest(limit=1001)))
        assert (refusal.code, refusal.reason, refusal.fields) == (INVALID, "INVALID_REQUEST", ("limit",))
        for ask in (
            lambda: tron.Explain(tron_service_pb2.ExplainRequest(service_id=unique("nobody"))),
            lambda: tron.SetMaintenance(
                tron_service_pb2.SetMaintenanceRequest(service_id=unique("nobody"), enabled=True)
            ),
        ):
            refusal = refused(ask)
            assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "SERVICE_NOT_FOUND")
        too_long = tron_service_pb2.SetMaintenanceRequest(service_id="service-registry", enabled=True)
        too_long.duration.FromSeconds(8 * 86_400)
        assert refused(lambda: tron.SetMaintenance(too_long)).fields == ("duration",)
        assert refused(lambda: tron.Explain(tron_service_pb2.ExplainRequest())).fields == ("service_id",)


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        (policy_pb2.Policy(), "policy"),
        (policy_pb2.Policy(misses_before_deregister=2), "policy.misses_before_deregister"),
        (policy_pb2.Policy(misses_before_down=1), "policy.misses_before_down"),
        (policy_pb2.Policy(misses_before_warning=9), "policy.misses_before_down"),
        (policy_pb2.Policy(reattach_window=duration_pb2.Duration(seconds=7)), "policy.reattach_window"),
        (policy_pb2.Policy(reconnect_grace=duration_pb2.Duration()), "policy.reconnect_grace"),
        (policy_pb2.Policy(reconnect_grace=duration_pb2.Duration(seconds=-1)), "policy.reconnect_grace"),
        (policy_pb2.Policy(escalate_after=duration_pb2.Duration(seconds=100_000)), "policy.escalate_after"),
        (policy_pb2.Policy(tolerance_ratio=float("nan")), "policy.tolerance_ratio"),
        (policy_pb2.Policy(guard_ratio=1.5), "policy.guard_ratio"),
        (policy_pb2.Policy(guard_min=1), "policy.guard_min"),
        (policy_pb2.Policy(orphan_policy=99), "policy.orphan_policy"),  # type: ignore[arg-type]
    ],
    ids=str,
)
def test_a_policy_that_would_accuse_healthy_services_is_refused_by_name_and_changes_nothing(
    grid: Grid, policy: policy_pb2.Policy, field: str
) -> None:
    with open_channel(grid.tron_address) as channel:
        tron = tron_service_pb2_grpc.TronServiceStub(channel)
        before = tron.GetPolicy(tron_service_pb2.GetPolicyRequest()).policy
        refusal = refused(lambda: tron.SetPolicy(tron_service_pb2.SetPolicyRequest(policy=policy)))
        assert (refusal.code, refusal.reason) == (INVALID, "INVALID_REQUEST")
        assert field in refusal.fields
        assert tron.GetPolicy(tron_service_pb2.GetPolicyRequest()).policy == before
