"""The messages of a heartbeat stream on the wire: what columns hold, and what is split because it is too large."""

from __future__ import annotations

import math
from typing import Any

from google.protobuf.json_format import ParseDict
from grid.registry.v1 import heartbeat_pb2, service_pb2
from tron_client.protocol import answers, codec
from tron_client.protocol.messages import Beat, Beats, Register, Registers
from tron_client.protocol.report import Figures

UNSET = 2**64 - 1


def a_beat(number: int, activity: int | None = None, *, ack: bool = False) -> Beat:
    """The beat of the service with this incarnation."""
    return Beat(f"service-{number}", number, 10 + number, ack, Figures(status="ok"), activity, None)


def test_the_lag_of_each_loop_goes_to_its_own_beat_in_both_forms() -> None:
    message = Beats((a_beat(1), a_beat(2)), (), (a_beat(3), a_beat(4)))
    beats = codec.encode(message, [0.25, None, None, 0.5]).beats
    assert [beat.loop_lag.ToMilliseconds() for beat in beats.beats] == [250, 0]
    assert not beats.beats[1].HasField("loop_lag")
    first, second = beats.columns.loop_lag_seconds
    assert (math.isnan(first), second) == (True, 0.5)


def test_a_column_is_there_only_if_a_beat_reports_its_figure() -> None:
    plain = codec.encode(Beats((), (), (a_beat(3), a_beat(4)))).beats
    assert {field.name for field, _ in plain.columns.ListFields()} == {"incarnations", "sequence"}
    assert (list(plain.columns.incarnations), plain.columns.sequence, plain.ack_requested) == ([3, 4], 14, False)
    active = codec.encode(Beats((), (), (a_beat(3, 7, ack=True), a_beat(4)))).beats
    assert (list(active.columns.activity), active.ack_requested) == ([7, UNSET], True)


def test_registrations_that_are_too_large_for_one_message_are_sent_in_several() -> None:
    declared = service_pb2.Service(name="a", url="http://" + "x" * 2000)
    many = tuple(Register(declared, f"service-{number}", 0, f"word {number}", "process") for number in range(400))
    sent = list(codec.encode_all(Registers(many)))
    assert len(sent) > 1
    assert all(request.ByteSize() < 300_000 for request in sent)
    each = [register for request in sent for register in request.registers.registers]
    assert [register.instance_id for register in each] == [register.instance_id for register in many]
    assert list(codec.encode_all(Registers(many[:2]))) == [codec.encode(Registers(many[:2]))]


def test_answers_in_one_message_come_one_by_one_and_an_unknown_kind_is_nothing() -> None:
    given: dict[str, Any] = {
        "registrations": {"registered": [{"instance_id": "x", "batches": True}, {"instance_id": "y"}]}
    }
    told = list(codec.decode_all(ParseDict(given, heartbeat_pb2.HeartbeatResponse())))
    assert [(type(each), each.instance_id, each.batches) for each in told if isinstance(each, answers.Registered)] == [
        (answers.Registered, "x", True),
        (answers.Registered, "y", False),
    ]
    assert list(codec.decode_all(heartbeat_pb2.HeartbeatResponse())) == []


def test_a_registry_that_drains_cannot_keep_agents_away_for_long() -> None:
    told = ParseDict({"drain": {"reconnectAfter": "315576000000s"}}, heartbeat_pb2.HeartbeatResponse())
    assert codec.decode(told) == answers.Drain(codec.LONGEST_RECONNECT)
