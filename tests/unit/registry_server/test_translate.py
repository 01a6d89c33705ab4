"""A record is sent on the wire exactly as it was declared on the wire."""

from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct
from grid.registry.v1 import heartbeat_pb2, registry_service_pb2, service_pb2
from grid_model import declaration_codec, wire
from grid_model.errors import InvalidRequest
from grid_model.observer_codec import encode_facts
from grid_model.service import ServiceStatus
from hypothesis import given
from hypothesis import strategies as st

from registry_server.core.facts import facts_of
from registry_server.core.record import Record
from registry_server.core.registry import Registry
from registry_server.core.service import Instant, Report
from registry_server.core.stream_messages import Invalid, Registers
from registry_server.core.validation import check_object
from registry_server.io import translate
from registry_server.io.agent_messages import to_agent_message
from registry_server.io.grpc_listing import to_filter
from tests.unit.registry_server.builders import make_spec

DURATIONS = st.builds(Duration, seconds=st.integers(1, 30 * 86_400), nanos=st.integers(0, 999_999_999))
FIELDS = ("heartbeat_interval", "ttl", "reconnect_grace", "stall_after")


@given(st.tuples(DURATIONS, DURATIONS, DURATIONS, DURATIONS))
def test_every_interval_comes_back_to_the_nanosecond(intervals: tuple[Duration, ...]) -> None:
    sent = service_pb2.Service(service_id="a", name="A")
    for name, interval in zip(FIELDS, intervals, strict=True):
        getattr(sent, name).CopyFrom(interval)
    registry = Registry()
    kept = registry.register(declaration_codec.decode(sent), 0, "", None, Instant(0.0, 0.0))
    told = translate.from_service(kept)
    record: Record = registry.records["a"]
    observed = encode_facts(facts_of(record, None))
    assert [getattr(told, name) for name in FIELDS] == list(intervals)
    assert [observed.heartbeat_interval, observed.reconnect_grace, observed.stall_after] == [
        intervals[0], *intervals[2:]]  # fmt: skip


MILLIONS = service_pb2.Service(service_id="a", name="A", labels=wire.struct({"a": [[0] * 50_000, [0] * 50_000]}))


def test_a_json_object_with_too_many_values_is_refused_before_it_is_converted(monkeypatch: pytest.MonkeyPatch) -> None:
    converted: list[object] = []
    monkeypatch.setattr(wire, "json_object", converted.append)
    with pytest.raises(InvalidRequest, match=r"service.labels.*more than 1000 values"):
        translate.to_declaration(MILLIONS)
    beat_stream = heartbeat_pb2.HeartbeatRequest(register=heartbeat_pb2.Register(service=MILLIONS))
    refused = to_agent_message(beat_stream)
    assert isinstance(refused, Invalid)
    batch = heartbeat_pb2.Registers(registers=[heartbeat_pb2.Register(service=MILLIONS)])
    several = to_agent_message(heartbeat_pb2.HeartbeatRequest(registers=batch))
    assert isinstance(several, Registers)
    assert [type(each) for each in several.registers] == [Invalid]
    with pytest.raises(InvalidRequest, match=r"label_selector.*more than 1000 values"):
        to_filter(registry_service_pb2.ListServicesRequest(label_selector=MILLIONS.labels))
    assert converted == []


@pytest.mark.parametrize("count", [999, 1000])
def test_the_values_of_a_json_object_on_the_wire_are_counted_as_those_of_one_in_memory(count: int) -> None:
    labels = {"a": [{"b": [0] * (count - 3)}, "x" * 3000]}
    refused = bool(check_object("labels", labels))
    assert refused == (count > 999)
    if refused:
        with pytest.raises(InvalidRequest):
            translate.check_values("labels", wire.struct(labels) or Struct())
    else:
        translate.check_values("labels", wire.struct(labels) or Struct())


@pytest.mark.parametrize("name", ["caps", "refused_children"])
def test_a_list_with_too_many_elements_is_refused_before_it_is_converted(name: str) -> None:
    sent = service_pb2.Service(service_id="a", name="A")
    getattr(sent, name).extend([""] * 5000)
    with pytest.raises(InvalidRequest, match=f"service.{name}.*has 5000 elements"):
        translate.to_declaration(sent)


def test_a_beat_keeps_what_it_leaves_out_and_one_that_replaces_figures_clears_them() -> None:
    before = Report(
        ServiceStatus.DEGRADED, p95_ms=12.5, queue_depth=3, load=0.5, message="busy", progress=0.5, activity=7
    )
    beat = heartbeat_pb2.Beat(service_id="a", load=0.25)
    kept = translate.to_report(beat, before)
    assert (kept.p95_ms, kept.queue_depth, kept.load) == (12.5, 3, 0.25)
    replaced = translate.to_report(beat, before, replaces_figures=True)
    assert (replaced.p95_ms, replaced.queue_depth, replaced.load) == (None, None, 0.25)
    for report in (kept, replaced):
        assert (report.status, report.message, report.progress, report.activity) == (
            ServiceStatus.DEGRADED,
            "busy",
            0.5,
            7,
        )


def test_the_shared_message_of_a_record_is_built_once_and_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(translate, "MOST_SHARED", 2)
    registry = Registry()
    records = [registry.register(make_spec(each), 0, "", None, Instant(0.0, 0.0)) for each in "abc"]
    first = [translate.shared_message(each) for each in records]
    assert [each.service_id for each in first] == ["a", "b", "c"]
    assert translate.shared_message(records[2]) is first[2]
    assert translate.shared_message(records[0]) == first[0], "it was dropped, and is built again"
    assert translate.shared_message(registry.view(registry.get("c"))) == first[2]
