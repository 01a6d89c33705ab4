"""One stream may carry thousands: a gateway that announces or beats for all of them at once is served, not cut off."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grid.registry.v1 import heartbeat_pb2, registry_service_pb2, registry_service_pb2_grpc

from tests.e2e.conftest import Client
from tests.e2e.raw_agent import RawAgent, a_service, open_channel
from tests.e2e.refusals import read_refusal
from tests.support.processes import start_registry

MANY = 6000


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    """A client of an empty registry of one's own."""
    with start_registry(tmp_path / "registry") as registry, open_channel(registry.address) as channel:
        yield Client(registry.address, channel)
        assert "Traceback" not in registry.log, registry.log


def test_a_gateway_announces_thousands_of_services_at_once_and_each_is_answered(client: Client) -> None:
    with RawAgent(client.address) as gateway:
        for number in range(MANY):
            gateway.announce(a_service(f"carried {number}"), "gateway")
        answered = gateway.wait("registered", MANY, timeout=30)
        assert {each.service.service_id for each in answered} == {f"carried {number}" for number in range(MANY)}
        beats = [heartbeat_pb2.Beat(service_id=f"carried {number}", load=0.5) for number in range(MANY)]
        gateway.say(beats=heartbeat_pb2.Beats(beats=beats, ack_requested=True))
        gateway.wait_acknowledged(MANY)
        page = client.registry.ListServices(registry_service_pb2.ListServicesRequest(page_size=10_000))
        carried = [each for each in page.services if each.service_id.startswith("carried ")]
        assert len(carried) == MANY
        assert all(each.connected and each.load == 0.5 for each in carried)


def test_a_gateway_that_beats_for_thousands_of_unknown_services_is_told_of_each(client: Client) -> None:
    with RawAgent(client.address) as gateway:
        beats = [heartbeat_pb2.Beat(service_id=f"forgotten {number}") for number in range(10_000)]
        gateway.say(beats=heartbeat_pb2.Beats(beats=beats, ack_requested=True))
        told = gateway.wait("unknown_service", 10_000, timeout=15)
        assert {each.service_id for each in told} == {each.service_id for each in beats}
        gateway.wait_acknowledged(10_000)


def test_who_asks_for_more_answers_than_it_reads_gets_them_or_is_told_why_not(client: Client) -> None:
    beats = heartbeat_pb2.Beats(beats=[heartbeat_pb2.Beat(service_id=f"forgotten {n}") for n in range(1000)])
    asked = [heartbeat_pb2.HeartbeatRequest(beats=beats)] * 40
    stub = registry_service_pb2_grpc.RegistryServiceStub(client.channel)
    answered, reason = 0, ""
    try:
        for answer in stub.Heartbeat(iter(asked), timeout=15):
            answered += answer.HasField("unknown_service")
    except grpc.RpcError as error:
        reason = read_refusal(error).reason
    assert reason == "READER_TOO_SLOW" or (reason, answered) == ("", 40_000)


def test_a_gateway_that_relays_is_answered_with_what_it_needs_to_show_the_beat_at_once(client: Client) -> None:
    client.registry.Register(registry_service_pb2.RegisterRequest(service=a_service("relayed for")))
    with RawAgent(client.address) as gateway:
        beat = heartbeat_pb2.Beat(service_id="relayed for", load=0.5, sequence=1)
        gateway.say(beats=heartbeat_pb2.Beats(beats=[beat], ack_requested=True, relayed=True))
        gateway.wait_acknowledged(1)
        (ack,) = gateway.every("ack")
        record = client.get("relayed for")
        assert (record.connected, record.load, record.last_heartbeat_at) == (False, 0.5, ack.heard_at)
        assert 0 < ack.revision <= client.list_named("relayed for").revision


def test_a_watcher_that_asks_for_heartbeats_hears_of_beats_that_change_nothing(client: Client) -> None:
    client.registry.Register(registry_service_pb2.RegisterRequest(service=a_service("steady")))
    stub = registry_service_pb2_grpc.RegistryServiceStub(client.channel)
    watch = stub.WatchServices(registry_service_pb2.WatchServicesRequest(heartbeats=True), timeout=20)
    pulses = (each.heard for each in watch if each.WhichOneof("change") == "heard")
    next(pulses)  # everyone that was heard before
    with RawAgent(client.address) as gateway:
        gateway.say(beats=heartbeat_pb2.Beats(beats=[heartbeat_pb2.Beat(service_id="steady")], relayed=True))
        gateway.wait_acknowledged(1)
        record = client.get("steady")
        told = next(
            dict(zip(each.incarnations, each.heard_at_micros, strict=True)) for each in pulses if each.incarnations
        )
    assert told[record.incarnation] == record.last_heartbeat_at.ToMicroseconds()
    assert not next(pulses).incarnations, "a pulse comes though nobody was heard"
    watch.cancel()
