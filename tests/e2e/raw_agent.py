"""An agent that does nothing on its own: one Heartbeat stream on its own connection, driven by the test."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf import duration_pb2
from grid.registry.v1 import heartbeat_pb2, registry_service_pb2_grpc, service_pb2
from grid_model import wire

from tests.e2e.refusals import Refusal, read_refusal
from tests.support.waiting import wait_until

_OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1), ("grpc.initial_reconnect_backoff_ms", 100))
_PACE = 0.2
_names = itertools.count(1)


def unique(word: str) -> str:
    """A service id that no other test uses."""
    return f"{word}-{next(_names)}"


def open_channel(address: str) -> grpc.Channel:
    """A connection that is shared with nobody."""
    return grpc.insecure_channel(address, _OWN_CONNECTION)


def seconds(value: float) -> duration_pb2.Duration:
    """A Duration."""
    return wire.duration(value)


def a_service(service_id: str, **fields: Any) -> service_pb2.Service:
    """What an ordinary agent declares: a beat every 2 s."""
    declared: dict[str, Any] = {"name": service_id, "heartbeat_interval": seconds(2)}
    return service_pb2.Service(service_id=service_id, **{**declared, **fields})


class RawAgent:
    """One stream. Everything that was heard on it is kept, in order."""

    def __init__(self, address: str, channel: grpc.Channel | None = None) -> None:
        """`channel`: a connection of its own, in place of one in plaintext to the address."""
        self.channel = channel or open_channel(address)
        self.heard: list[heartbeat_pb2.HeartbeatResponse] = []
        self._up: queue.SimpleQueue[heartbeat_pb2.HeartbeatRequest | None] = queue.SimpleQueue()
        self._ended = threading.Event()
        self._error: grpc.RpcError | None = None
        stub = registry_service_pb2_grpc.RegistryServiceStub(self.channel)
        self._call = stub.Heartbeat(iter(self._up.get, None), wait_for_ready=True)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def say(self, **kind: Any) -> None:
        """Send one message."""
        self._up.put(heartbeat_pb2.HeartbeatRequest(**kind))

    def announce(self, service: service_pb2.Service, instance_id: str = "") -> None:
        """Send a registration and do not wait for the answer."""
        self.say(register=heartbeat_pb2.Register(service=service, instance_id=instance_id))

    def register(self, service_id: str, instance_id: str = "", **fields: Any) -> service_pb2.Service:
        """Register, and return the record that the registry answers with."""
        known = len(self.every("registered"))
        self.announce(a_service(service_id, **fields), instance_id)
        record: service_pb2.Service = self.wait("registered", known + 1)[known].service
        assert record.service_id == service_id
        return record

    def beat(self, service_id: str, **figures: Any) -> None:
        """Send one beat and ask for its acknowledgement."""
        beat = heartbeat_pb2.Beat(service_id=service_id, **figures)
        self.say(beats=heartbeat_pb2.Beats(beats=[beat], ack_requested=True))

    def acknowledge(self, *alert_ids: str) -> None:
        """Say that alerts were heard."""
        self.say(ack=heartbeat_pb2.AlertAck(alert_ids=alert_ids))

    def every(self, kind: str) -> list[Any]:
        """All messages of one kind that were heard so far."""
        return [getattr(each, kind) for each in list(self.heard) if each.WhichOneof("kind") == kind]

    def wait(self, kind: str, count: int = 1, timeout: float = 10.0) -> list[Any]:
        """Wait for this many messages of one kind; return all of that kind."""

        def enough() -> bool:
            assert not self._ended.is_set() or len(self.every(kind)) >= count, f"ended before {kind}: {self._error!r}"
            return len(self.every(kind)) >= count

        wait_until(enough, timeout, f"{count} x {kind}; heard {[each.WhichOneof('kind') for each in self.heard]}")
        return self.every(kind)

    def wait_alerts(self, *types: str, timeout: float = 10.0) -> list[Any]:
        """Wait until an alert of each type was heard; return all alerts so far as events."""
        wait_until(lambda: set(types) <= {each.event.type for each in self.every("alert")}, timeout, f"alerts {types}")
        return [each.event for each in self.every("alert")]

    def wait_acknowledged(self, sequence: int, timeout: float = 10.0) -> None:
        """Wait until the beat with this sequence, or a later one, is acknowledged."""
        wait_until(
            lambda: any(ack.sequence >= sequence for ack in self.every("ack")), timeout, f"the ack of beat {sequence}"
        )

    def wait_refused(self, timeout: float = 10.0) -> Refusal:
        """Wait until the registry ends the stream; return why it did."""
        wait_until(self._ended.is_set, timeout, "the end of the stream")
        assert self._error is not None, "the stream ended without an error"
        return read_refusal(self._error)

    @property
    def ended(self) -> bool:
        """Whether the stream is over."""
        return self._ended.is_set()

    def half_close(self) -> None:
        """Say that nothing more will be said."""
        self._up.put(None)

    def cut(self) -> None:
        """Break the stream and its connection, as a crash would."""
        self._call.cancel()
        self._up.put(None)
        self.channel.close()
        self._listener.join(10)

    def __enter__(self) -> RawAgent:
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    def _listen(self) -> None:
        try:
            for message in self._call:
                self.heard.append(message)
        except grpc.RpcError as error:
            self._error = error
        finally:
            self._ended.set()


class Beating:
    """A well-behaved agent that sends heartbeats until it is stopped."""

    def __init__(self, agent: RawAgent, service_id: str) -> None:
        self.agent = agent
        self.service_id = service_id
        self._sequence = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat_for_ever, daemon=True)
        self._thread.start()

    def check(self, within: float = 5.0) -> None:
        """Beats that are sent from now on are acknowledged, and it received nothing bad."""
        self.agent.wait_acknowledged(self._sequence + 1, within)
        told = {each.WhichOneof("kind") for each in self.agent.heard}
        assert told <= {"registered", "ack", "alert"}, told

    def stop(self) -> None:
        """Beat no more; the stream stays open."""
        self._stop.set()
        self._thread.join(10)

    def _beat_for_ever(self) -> None:
        while not self._stop.wait(_PACE):
            self._sequence += 1
            self.agent.beat(self.service_id, sequence=self._sequence)


@contextmanager
def beating(address: str, service_id: str, **fields: Any) -> Iterator[Beating]:
    """Register an agent and beat until the block ends; it says goodbye then."""
    with RawAgent(address) as agent:
        agent.register(service_id, **fields)
        beats = Beating(agent, service_id)
        try:
            yield beats
        finally:
            beats.stop()
            agent.say(goodbye=heartbeat_pb2.Goodbye(service_id=service_id))
            agent.half_close()
            wait_until(lambda: agent.ended, 5, "the end after the goodbye")
