"""A record is told on the wire exactly as it was declared on the wire."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from grid.registry.v1 import service_pb2
from hypothesis import given
from hypothesis import strategies as st

from registry_server.catalogue import Catalogue
from registry_server.record import Record
from registry_server.rpc import translate
from registry_server.service import Instant

DURATIONS = st.builds(Duration, seconds=st.integers(1, 30 * 86_400), nanos=st.integers(0, 999_999_999))
FIELDS = ("heartbeat_interval", "ttl", "reconnect_grace", "stall_after")


@given(st.tuples(DURATIONS, DURATIONS, DURATIONS, DURATIONS))
def test_every_interval_comes_back_to_the_nanosecond(intervals: tuple[Duration, ...]) -> None:
    sent = service_pb2.Service(service_id="a", name="A")
    for name, interval in zip(FIELDS, intervals, strict=True):
        getattr(sent, name).CopyFrom(interval)
    catalogue = Catalogue()
    kept = catalogue.register(translate.to_spec(sent), 0, "", None, Instant(0.0, 0.0))
    told = translate.from_service(kept)
    record: Record = catalogue.records["a"]
    observed = translate.from_record(record, None)
    assert [getattr(told, name) for name in FIELDS] == list(intervals)
    assert [observed.heartbeat_interval, observed.reconnect_grace, observed.stall_after] == [
        intervals[0], *intervals[2:]]  # fmt: skip
