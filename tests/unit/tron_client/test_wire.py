"""Seconds and moments survive the wire exactly; what it cannot say is refused by the field's name."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToJson
from google.protobuf.timestamp_pb2 import Timestamp
from grid_model import wire
from hypothesis import given
from hypothesis import strategies as st
from tron_client.agent import Agent
from tron_client.declaring import declare
from tron_client.errors import InvalidRequest
from tron_client.models import Service
from tron_client.protocol.agent_transport import AgentTransport
from tron_client.tron_api import MonitorClient

NINE_DIGITS = st.builds(lambda digits, places: float(Decimal(digits).scaleb(-places)),
                        st.integers(-(10**9) + 1, 10**9 - 1), st.integers(0, 9))  # fmt: skip
NO_DURATION = [math.nan, math.inf, -math.inf, 1e300, 315_576_000_001]


@given(NINE_DIGITS)
def test_every_number_of_nine_digits_comes_back_as_it_went(seconds: float) -> None:
    assert wire.seconds(wire.duration(seconds)) == seconds


@given(st.integers(0, 90 * 86_400), st.integers(0, 999_999_999), st.sampled_from((1, -1)))
def test_every_duration_of_a_quarter_comes_back_to_the_nanosecond(seconds: int, nanos: int, sign: int) -> None:
    message = Duration(seconds=sign * seconds, nanos=sign * nanos)
    assert wire.duration(wire.seconds(message)) == message


@given(st.floats(-wire.LONGEST_DURATION, wire.LONGEST_DURATION))
def test_any_duration_is_valid_on_the_wire_and_right_to_half_a_nanosecond(seconds: float) -> None:
    message = wire.duration(seconds)
    assert abs(wire.checked_seconds("field", message) - seconds) <= 0.5e-9
    MessageToJson(message)  # which refuses one that is not valid


@given(st.datetimes(timezones=st.just(UTC)))
def test_every_moment_comes_back_to_the_microsecond(moment: datetime) -> None:
    assert wire.moment(wire.timestamp(moment)) == moment


@given(st.integers(-2_000_000_000_000_000, 7_000_000_000_000_000))
def test_a_moment_has_one_figure_as_a_float_and_as_a_datetime(micros: int) -> None:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
    message = wire.timestamp(moment)
    assert wire.timestamp_at(wire.epoch(message)) == message
    assert wire.epoch(message) == (moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(seconds=1)


@pytest.mark.parametrize("seconds", NO_DURATION)
def test_what_a_duration_cannot_say_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match=r"^is (nan|-?inf|1e\+300|3\.15576e\+11); a duration is a finite number"):
        wire.duration(seconds)


@pytest.mark.parametrize(
    "message",
    [Duration(seconds=1, nanos=-1), Duration(seconds=-1, nanos=1), Duration(nanos=10**9), Duration(nanos=-(10**9)),
     Duration(seconds=315_576_000_001)],
)  # fmt: skip
def test_an_invalid_duration_from_the_wire_is_refused(message: Duration) -> None:
    with pytest.raises(ValueError, match="not a valid duration"):
        wire.checked_seconds("field", message)


@pytest.mark.parametrize(
    "message",
    [Timestamp(nanos=-1), Timestamp(nanos=10**9), Timestamp(seconds=253_402_300_800), Timestamp(seconds=-(10**12))],
)
def test_an_invalid_timestamp_from_the_wire_is_refused(message: Timestamp) -> None:
    with pytest.raises(ValueError, match="not a valid timestamp"):
        wire.checked_epoch("field", message)


@pytest.mark.parametrize("epoch", [1e300, -1e300])
def test_a_moment_beyond_what_a_timestamp_can_say_is_its_last(epoch: float) -> None:
    wire.checked_epoch("field", wire.timestamp_at(epoch))


@pytest.mark.parametrize("field", ["heartbeat_interval", "ttl", "reconnect_grace", "stall_after"])
@pytest.mark.parametrize("value", [*NO_DURATION, -0.001, -5, True, "5"])
def test_an_interval_that_is_none_is_refused_by_the_name_of_the_argument(field: str, value: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        declare("a", name="A", **{field: value})
    assert [each.field for each in refused.value.fields] == [field]
    assert str(refused.value).startswith(f"{field}: is {value!r}" if isinstance(value, str) else f"{field}: is ")


@pytest.mark.parametrize("value", [*NO_DURATION, 3e11, -1])
def test_a_busy_time_that_is_none_is_refused_by_its_name(value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = Agent("a", registry="127.0.0.1:1")
    kept: list[object] = []
    monkeypatch.setattr(AgentTransport, "report", lambda _, *reported: kept.append(reported))
    with pytest.raises(InvalidRequest, match=r"^busy_for: is "):
        agent.report(load=0.5, busy_for=value)
    assert kept == []


@pytest.mark.parametrize("value", [*NO_DURATION, -1, "soon"])
def test_a_threshold_and_a_time_of_maintenance_are_refused_by_name_before_anything_is_sent(value: Any) -> None:
    with MonitorClient("127.0.0.1:1") as client:
        with pytest.raises(InvalidRequest, match=r"^policy\.reconnect_grace: .* the value must be a number of seconds"):
            client.set_policy(reconnect_grace=value)
        with pytest.raises(InvalidRequest, match=r"^duration: is "):
            client.set_maintenance("a", enabled=True, duration=value)


@pytest.mark.parametrize("seconds", [2.3, 0.1, 1.1, 4.35, 16.2, 33.333333333, 86_399.999999999])
def test_an_interval_reads_the_same_in_every_face(seconds: float) -> None:
    declared = declare("a", name="A", heartbeat_interval=seconds, ttl=seconds)
    assert Service.from_proto(declared).heartbeat_interval == seconds
    assert Service.from_proto(declared).to_dict()["ttl"] == seconds
    assert float(MessageToJson(declared.heartbeat_interval).strip('"').removesuffix("s")) == seconds
