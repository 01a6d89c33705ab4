"""What an agent may say wrongly on its stream: each mistake is answered by name, and no beat is lost for it."""

from __future__ import annotations

import math
from typing import Any

import grpc
import pytest
from google.protobuf import duration_pb2, timestamp_pb2
from grid.liveness.v1 import liveness_pb2
from grid.registry.v1 import heartbeat_pb2, registry_service_pb2, service_pb2

from tests.e2e.conftest import Grid
from tests.e2e.raw_agent import Beating, RawAgent, a_service, seconds, unique
from tests.support.waiting import wait_until

BAD_FIGURES: list[tuple[str, dict[str, Any], str]] = [
    ("progress of 2", {"progress": 2.0}, "beat.progress"),
    ("progress below 0", {"progress": -0.1}, "beat.progress"),
    ("progress of NaN", {"progress": math.nan}, "beat.progress"),
    ("load of NaN", {"load": math.nan}, "beat.load"),
    ("load without end", {"load": math.inf}, "beat.load"),
    ("negative latency", {"p95_ms": -1.0}, "beat.p95_ms"),
    ("negative queue", {"queue_depth": -1}, "beat.queue_depth"),
    ("an unknown status", {"status": 99}, "beat.status"),
    ("a negative lag", {"loop_lag": duration_pb2.Duration(seconds=-1)}, "beat.loop_lag"),
    ("a lag of two minds", {"loop_lag": duration_pb2.Duration(seconds=1, nanos=-1)}, "beat.loop_lag"),
    ("a message of 1001 characters", {"message": "m" * 1001}, "beat.message"),
    ("busy until after time", {"busy_until": timestamp_pb2.Timestamp(seconds=2**62)}, "beat.busy_until"),
]


@pytest.mark.parametrize(("wrong", "field"), [each[1:] for each in BAD_FIGURES], ids=[each[0] for each in BAD_FIGURES])
def test_of_a_beat_with_bad_figures_the_sign_of_life_counts_and_the_figures_do_not(
    grid: Grid, wrong: dict[str, Any], field: str
) -> None:
    service_id = unique("bad-figures")
    with RawAgent(grid.address) as agent:
        agent.register(service_id)
        agent.beat(service_id, load=0.5, message="good", sequence=1)
        agent.wait_acknowledged(1)
        before = grid.get(service_id).last_heartbeat_at.ToNanoseconds()
        agent.beat(service_id, **{"p95_ms": 7.0, **wrong}, sequence=2)
        agent.wait_acknowledged(2)
        rejected = agent.wait("rejected")[0]
        assert (rejected.service_id, rejected.field) == (service_id, field)
        assert rejected.description
        after = grid.get(service_id)
        assert after.last_heartbeat_at.ToNanoseconds() > before
        assert (after.load, after.message, after.HasField("p95_ms"), after.HasField("progress")) == (
            0.5,
            "good",
            False,
            False,
        )


def test_a_beat_for_an_unknown_service_is_answered_by_its_id(grid: Grid, bystander: Beating) -> None:
    nobody = unique("nobody")
    with RawAgent(grid.address) as agent:
        agent.beat(nobody)
        assert agent.wait("unknown_service")[0].service_id == nobody
        assert agent.register(nobody).incarnation > 0
    assert grid.get(nobody).name == nobody


def test_a_beat_of_an_older_incarnation_is_superseded(grid: Grid) -> None:
    service_id = unique("older")
    with RawAgent(grid.address) as agent, RawAgent(grid.address) as older:
        old = agent.register(service_id).incarnation
        new = agent.register(service_id).incarnation
        assert new > old
        before = grid.get(service_id)
        older.beat(service_id, incarnation=old, load=1.0)
        told = older.wait("superseded")[0]
        assert (told.service_id, told.incarnation) == (service_id, new)
        after = grid.get(service_id)
        assert (after.last_heartbeat_at, after.HasField("load"), after.connected) == (
            before.last_heartbeat_at,
            False,
            True,
        )


def test_a_beat_of_an_incarnation_that_never_was_is_unknown(grid: Grid) -> None:
    service_id = unique("from-the-future")
    with RawAgent(grid.address) as agent:
        held = agent.register(service_id).incarnation
        agent.beat(service_id, incarnation=2**64 - 1)
        assert agent.wait("unknown_service")[0].service_id == service_id
        assert grid.get(service_id).incarnation == held


@pytest.mark.parametrize(
    "first",
    [
        {"ack": heartbeat_pb2.AlertAck(alert_ids=["x"])},
        {"goodbye": heartbeat_pb2.Goodbye(service_id="x")},
        {},
    ],
    ids=["an acknowledgement", "a goodbye", "nothing"],
)
def test_a_stream_that_begins_with_anything_but_register_or_beats_is_refused(grid: Grid, first: dict[str, Any]) -> None:
    with RawAgent(grid.address) as agent:
        agent.say(**first)
        refusal = agent.wait_refused()
    assert (refusal.code, refusal.reason, refusal.fields) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_REQUEST",
        ("kind",),
    )


def test_a_beat_without_a_service_is_rejected_and_the_others_in_the_message_count(grid: Grid) -> None:
    service_id = unique("among-others")
    with RawAgent(grid.address) as agent:
        agent.register(service_id)
        beats = [heartbeat_pb2.Beat(), heartbeat_pb2.Beat(service_id=service_id, load=0.25)]
        agent.say(beats=heartbeat_pb2.Beats(beats=beats, ack_requested=True))
        assert agent.wait("rejected")[0].field == "beat.service_id"
        agent.wait("ack")
        wait_until(lambda: grid.get(service_id).load == 0.25, 5, "the other beat counts")


def test_more_beats_than_one_message_may_hold_are_refused_and_the_stream_goes_on(grid: Grid) -> None:
    service_id = unique("too-many")
    with RawAgent(grid.address) as agent:
        agent.register(service_id)
        beats = [heartbeat_pb2.Beat(service_id=service_id)] * 10_001
        agent.say(beats=heartbeat_pb2.Beats(beats=beats))
        assert agent.wait("rejected")[0].field == "beats.beats"
        agent.beat(service_id, sequence=1)
        agent.wait_acknowledged(1)


def test_the_goodbye_of_a_stranger_removes_nobody(grid: Grid, bystander: Beating) -> None:
    service_id = unique("stranger")
    with RawAgent(grid.address) as stranger:
        stranger.register(service_id)
        stranger.say(goodbye=heartbeat_pb2.Goodbye(service_id=bystander.service_id))
        told = stranger.wait("superseded")[0]
        assert told.service_id == bystander.service_id
        stranger.say(goodbye=heartbeat_pb2.Goodbye(service_id="never was"))
        assert stranger.wait("unknown_service")[0].service_id == "never was"


def test_acknowledging_what_was_never_sent_is_no_error(grid: Grid) -> None:
    service_id = unique("eager")
    with RawAgent(grid.address) as agent:
        agent.register(service_id)
        agent.acknowledge("never sent", "", "x" * 10_000)
        agent.beat(service_id, sequence=1)
        agent.wait_acknowledged(1)


def test_a_sequence_at_the_end_of_numbers_does_not_make_the_stream_deaf(grid: Grid) -> None:
    service_id = unique("last-number")
    with RawAgent(grid.address) as agent:
        agent.register(service_id)
        agent.beat(service_id, sequence=2**64 - 1)
        agent.beat(service_id)
        agent.beat(service_id, load=0.75)
        wait_until(lambda: grid.get(service_id).load == 0.75, 5, "the last beat was heard")
        heard = len(agent.heard)
        agent.announce(a_service(service_id))
        wait_until(lambda: len(agent.heard) > heard or agent.ended, 3, "an answer")


def test_the_last_moment_of_time_does_not_spoil_the_list_for_others(grid: Grid) -> None:
    service_id = unique("busy-for-ever")
    with RawAgent(grid.address) as agent:
        agent.register(service_id, heartbeat_interval=seconds(60))
        agent.beat(service_id, busy_until=timestamp_pb2.Timestamp(seconds=253_402_300_799, nanos=999_999_999))
        agent.wait("ack")
        listed = grid.registry.ListServices(registry_service_pb2.ListServicesRequest(name=service_id)).services[0]
        assert listed.busy_until.seconds < 253_402_300_800, "no JSON can say this"
        grid.registry.Deregister(registry_service_pb2.DeregisterRequest(service_id=service_id))


def test_an_agent_that_errs_all_the_time_stays_alive_by_its_beats(grid: Grid) -> None:
    service_id = unique("clumsy")
    with RawAgent(grid.address) as agent:
        agent.register(service_id, heartbeat_interval=seconds(0.5))
        sequence = 0
        deadline = grid.get(service_id).registered_at.ToSeconds() + 3

        def beat_badly() -> bool:
            nonlocal sequence
            sequence += 1
            agent.beat(service_id, sequence=sequence, load=math.nan, status=99)
            return grid.get(service_id).last_heartbeat_at.ToSeconds() > deadline

        wait_until(beat_badly, 10, "three seconds of bad beats")
        assert grid.get(service_id).liveness == liveness_pb2.LIVENESS_ALIVE
        assert grid.events_about(service_id) == []


# --- in columns -----------------------------------------------------------------------------------------------------


def in_columns(agent: RawAgent, *incarnations: int, sequence: int = 0, **columns: Any) -> None:
    """Send heartbeats in columns and ask for their acknowledgement."""
    sent = heartbeat_pb2.BeatColumns(incarnations=incarnations, sequence=sequence, **columns)
    agent.say(beats=heartbeat_pb2.Beats(columns=sent, ack_requested=True))


def test_heartbeats_in_columns_are_signs_of_life_and_report_figures(grid: Grid) -> None:
    first, second = unique("column"), unique("column")
    with RawAgent(grid.address) as agent:
        numbers = [agent.register(each).incarnation for each in (first, second)]
        assert all(each.batches for each in agent.every("registered"))
        before = grid.get(second).last_heartbeat_at.ToNanoseconds()
        in_columns(agent, *numbers, sequence=7, load=[0.5, math.nan])
        agent.wait_acknowledged(7)
        assert (grid.get(first).load, grid.get(second).HasField("load")) == (0.5, False)
        assert grid.get(second).last_heartbeat_at.ToNanoseconds() > before


def test_a_relay_learns_from_the_first_acknowledgement_that_columns_are_read(grid: Grid) -> None:
    with RawAgent(grid.address) as relay:
        relay.say(beats=heartbeat_pb2.Beats(relayed=True, ack_requested=True))
        assert relay.wait("ack")[0].batches


@pytest.mark.parametrize(
    ("columns", "field"),
    [
        ({"load": [0.5, 0.5]}, "load"),
        ({"activity": [1, 2, 3]}, "activity"),
        ({"status": [0, 0]}, "status"),
        ({"load": [math.inf]}, "load"),
        ({"progress": [2.0]}, "progress"),
        ({"status": [99]}, "status"),
        ({"queue_depth": [-1]}, "queue_depth"),
        ({"loop_lag_seconds": [-1.0]}, "loop_lag_seconds"),
    ],
    ids=lambda each: str(each),
)
def test_of_columns_with_bad_figures_the_signs_of_life_count_and_the_figures_do_not(
    grid: Grid, columns: dict[str, Any], field: str
) -> None:
    service_id = unique("bad-column")
    with RawAgent(grid.address) as agent:
        number = agent.register(service_id).incarnation
        before = grid.get(service_id)
        in_columns(agent, number, sequence=1, **columns)
        agent.wait_acknowledged(1)
        assert agent.wait("rejected")[0].field == f"beats.columns.{field}"
        after = grid.get(service_id)
        assert after.last_heartbeat_at.ToNanoseconds() > before.last_heartbeat_at.ToNanoseconds()
        after.last_heartbeat_at.CopyFrom(before.last_heartbeat_at)
        assert after == before


def test_an_incarnation_that_is_not_current_is_answered_and_the_others_in_the_column_count(grid: Grid) -> None:
    service_id, other = unique("column-older"), unique("column-other")
    with RawAgent(grid.address) as agent, RawAgent(grid.address) as relay:
        old = agent.register(service_id).incarnation
        new = agent.register(service_id).incarnation
        number = agent.register(other).incarnation
        before = grid.get(service_id).last_heartbeat_at
        in_columns(relay, 0, old, 2**64 - 1, number, sequence=1)
        relay.wait_acknowledged(1)
        told = relay.wait("superseded")[0]
        assert (told.service_id, told.incarnation, told.superseded_incarnation) == (service_id, new, old)
        unknown = relay.wait("unknown_service")[0]
        assert (unknown.service_id, unknown.incarnation) == ("", 2**64 - 1)
        assert relay.wait("rejected")[0].field == "beats.columns.incarnations"
        assert grid.get(service_id).last_heartbeat_at == before
        assert grid.get(other).last_heartbeat_at.ToNanoseconds() > before.ToNanoseconds()


def test_more_beats_in_columns_than_one_message_may_hold_are_refused_and_the_stream_goes_on(grid: Grid) -> None:
    service_id = unique("too-long-a-column")
    with RawAgent(grid.address) as agent:
        number = agent.register(service_id).incarnation
        in_columns(agent, *[number] * 10_001)
        rejected = agent.wait("rejected")[0]
        assert (rejected.field, rejected.description) == (
            "beats.columns.incarnations",
            "has 10001 elements; at most 10000 heartbeats are allowed",
        )
        in_columns(agent, *[number] * 10_000, sequence=5)
        agent.wait_acknowledged(5)


# --- registrations that come many in a message ----------------------------------------------------------------------


def many(agent: RawAgent, *services: service_pb2.Service, relayed: bool = False) -> None:
    """Register all of these with one message."""
    each = [heartbeat_pb2.Register(service=service, instance_id=f"of {service.service_id}") for service in services]
    agent.say(registers=heartbeat_pb2.Registers(registers=each, relayed=relayed))


def answers(agent: RawAgent, count: int) -> list[Any]:
    """Wait for the answers to this many registrations; return all, in order."""

    def found() -> list[Any]:
        return [each for answer in agent.every("registrations") for each in answer.registered]

    wait_until(lambda: len(found()) >= count, 10, f"{count} answers")
    return found()


def test_registrations_of_one_message_are_answered_each_and_a_bad_one_is_refused_alone(grid: Grid) -> None:
    ids = [unique("together") for _ in range(250)]
    with RawAgent(grid.address) as agent:
        bad = a_service(unique("together-bad"), name="")
        many(agent, bad, *map(a_service, ids))
        found = answers(agent, 250)
        assert [each.service.service_id for each in found] == ids
        assert [each.instance_id for each in found] == [f"of {each}" for each in ids]
        rejected = agent.wait("rejected")[0]
        assert (rejected.service_id, rejected.field) == (bad.service_id, "service.name")
        assert rejected.instance_id == f"of {bad.service_id}"
        assert all(grid.get(each).connected for each in ids[::50])
        in_columns(agent, *[each.service.incarnation for each in found], sequence=9)
        agent.wait_acknowledged(9)


def test_a_relay_registers_many_services_that_have_no_stream(grid: Grid) -> None:
    ids = [unique("relayed") for _ in range(3)]
    with RawAgent(grid.address) as relay:
        many(relay, *map(a_service, ids), relayed=True)
        assert [each.service.service_id for each in answers(relay, 3)] == ids
        assert not any(grid.get(each).connected for each in ids)


def test_more_registrations_than_one_message_may_hold_are_refused(grid: Grid) -> None:
    service_id = unique("too-many-at-once")
    with RawAgent(grid.address) as agent:
        agent.register(service_id)
        many(agent, *[a_service("x")] * 1001)
        rejected = agent.wait("rejected")[0]
        expected = ("registers.registers", "has 1001 elements; at most 1000 are allowed")
        assert (rejected.field, rejected.description) == expected
        agent.beat(service_id, sequence=1)
        agent.wait_acknowledged(1)
