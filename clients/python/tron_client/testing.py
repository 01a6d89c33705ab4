"""A small registry for tests of programs that use the SDK: it runs in memory, serves gRPC on a loopback port, and
evaluates no liveness."""

from __future__ import annotations

import dataclasses
import math
import queue
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

import grpc
from grid.events.v1 import event_pb2, event_service_pb2
from grid.liveness.v1 import liveness_pb2
from grid.registry.v1 import heartbeat_pb2, registry_service_pb2
from grid_model import wire

from tron_client import status_details, words
from tron_client.errors import ServiceNotFound
from tron_client.models import Event, Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from grid.registry.v1 import service_pb2

_MOST_STREAMS = 1000

_UNSET_ACTIVITY = 2**64 - 1


class FakeRegistry:
    """A registry whose received messages a test can inspect: `with FakeRegistry() as fake: Agent("a",
    registry=fake.address)`.

    It registers and re-attaches services, acknowledges heartbeats, delivers alerts until they are acknowledged, records
    published events, and removes services that send a goodbye. It declares a service down only when the test calls
    `judge` or `declare_down`. All methods are thread-safe.
    """

    def __init__(self, *, sharing: bool = True) -> None:
        """Create a registry that is not started. With `sharing`, a stream may carry several agents, and their
        heartbeats in columns, as with current registries."""
        self._sharing = sharing
        self._changed = threading.Condition(threading.RLock())
        self._records: dict[str, service_pb2.Service] = {}
        self._words: dict[str, str] = {}
        self._beats: dict[str, list[heartbeat_pb2.Beat]] = {}
        self._streams: dict[_Stream, None] = {}
        self._alerts: dict[str, event_pb2.Event] = {}
        self._events: list[event_pb2.Event] = []
        self._incarnations = 0
        self._port = 0
        self._server: grpc.Server | None = None
        self.acknowledged: set[str] = set()
        """The alert_ids of the alerts that were acknowledged."""
        self.goodbyes: dict[str, str] = {}
        """The service ids that sent a goodbye, and the reason that each gave."""

    @property
    def address(self) -> str:
        """The address `host:port`, which stays the same after a restart."""
        return f"127.0.0.1:{self._port}"

    @property
    def streams(self) -> int:
        """The number of open Heartbeat streams."""
        with self._changed:
            return len(self._streams)

    @property
    def services(self) -> dict[str, Service]:
        """The registered services, by service id."""
        with self._changed:
            return {service_id: Service.from_proto(record) for service_id, record in self._records.items()}

    @property
    def events(self) -> list[Event]:
        """The recorded events, oldest first: alerts that were sent, and events that were published."""
        with self._changed:
            return [Event.from_proto(event) for event in self._events]

    def beats(self, service_id: str) -> int:
        """Return how many heartbeats arrived from a service."""
        with self._changed:
            return len(self._beats.get(service_id, ()))

    def last_beat(self, service_id: str) -> heartbeat_pb2.Beat | None:
        """Return the newest heartbeat of a service, as it arrived."""
        with self._changed:
            beats = self._beats.get(service_id)
            return beats[-1] if beats else None

    def start(self) -> None:
        """Begin to serve: on a free port, or after `stop` on the same port as before and with the same services."""
        server = grpc.server(ThreadPoolExecutor(_MOST_STREAMS, "fake-registry"), options=(("grpc.so_reuseport", 0),))
        server.add_generic_rpc_handlers((self._handler(), self._events_handler()))
        self._port = server.add_insecure_port(f"127.0.0.1:{self._port}")
        server.start()
        self._server = server

    def stop(self) -> None:
        """Stop serving: all streams break, and connections are refused."""
        if self._server is not None:
            self.cut()
            self._server.stop(0).wait()
            self._server = None

    def wait_for(self, predicate: Callable[[], object], timeout: float = 5.0) -> None:
        """Wait until `predicate()` is true; raise TimeoutError if it is not true within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while not predicate():
                if time.monotonic() >= deadline:
                    raise TimeoutError(f"the condition of wait_for was not true within {timeout} s")
                # What is waited for may change elsewhere, for example in the agent: look again soon.
                self._changed.wait(0.01)

    def alert(self, recipient: str, event: Event | None = None, **fields: Any) -> Event:
        """Send an alert to a service, now and after each of its registrations, until the alert is acknowledged."""
        told = dataclasses.replace(event or Event(type="service_down", severity="CRITICAL"), **fields)
        told = dataclasses.replace(
            told,
            recipient=recipient,
            alert_id=told.alert_id or uuid.uuid4().hex,
            occurred_at=told.occurred_at or datetime.now(UTC),
        )
        return Event.from_proto(self._record(told.to_proto()))

    def judge(self, service_id: str, liveness: str, cause: str = "", since: datetime | None = None) -> None:
        """Set the liveness of a service, as TRON would; it stays as it is until the service registers again. `since` is
        when the verdict was reached, by default now.

        No message is sent to the service.
        """
        with self._changed:
            self._records[service_id].liveness = words.LIVENESS.number(liveness)
            self._records[service_id].liveness_cause = words.CAUSES.number(cause)
            self._records[service_id].liveness_since.FromDatetime(since or datetime.now(UTC))

    def cut(self) -> None:
        """Break all streams, as if the connection was lost."""
        with self._changed:
            for stream in tuple(self._streams):
                stream.outgoing.put(None)

    def supersede(self, service_id: str) -> int:
        """Supersede a service, as if another process had registered its id; return the new incarnation."""
        with self._changed:
            self._incarnations += 1
            self._records[service_id].incarnation = self._incarnations
            told = heartbeat_pb2.Superseded(service_id=service_id, incarnation=self._incarnations)
            self._send(service_id, heartbeat_pb2.HeartbeatResponse(superseded=told))
            return self._incarnations

    def declare_down(self, service_id: str) -> None:
        """Notify a service that it was declared down."""
        event = Event(type="service_down", severity="CRITICAL", service_id=service_id, cause="SILENT").to_proto()
        told = heartbeat_pb2.DeclaredDown(service_id=service_id, event=event)
        self.send(service_id, heartbeat_pb2.HeartbeatResponse(declared_down=told))

    def forget(self, service_id: str) -> None:
        """Remove a registration without a message: the next heartbeat of the service is answered by
        `unknown_service`."""
        with self._changed:
            del self._records[service_id]

    def send(self, service_id: str, response: heartbeat_pb2.HeartbeatResponse) -> None:
        """Send a message on the stream that carries a service."""
        with self._changed:
            self._send(service_id, response)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _send(self, service_id: str, response: heartbeat_pb2.HeartbeatResponse) -> None:
        for stream in self._streams:
            if service_id in stream.carried:
                stream.outgoing.put(response)

    def _record(self, event: event_pb2.Event) -> event_pb2.Event:
        with self._changed:
            event.sequence = len(self._events) + 1
            self._events.append(event)
            if event.recipient:
                self._alerts[event.alert_id] = event
                self._send(event.recipient, heartbeat_pb2.HeartbeatResponse(alert=heartbeat_pb2.Alert(event=event)))
            self._changed.notify_all()
        return event

    def _register(self, registration: heartbeat_pb2.Register) -> heartbeat_pb2.HeartbeatResponse:
        asked = registration.service
        service_id = asked.service_id or uuid.uuid4().hex
        held = self._records.get(service_id)
        if asked.incarnation and held is not None and asked.incarnation < held.incarnation:
            told = heartbeat_pb2.Superseded(service_id=service_id, incarnation=held.incarnation)
            return heartbeat_pb2.HeartbeatResponse(superseded=told)
        if asked.incarnation and held is None:
            return _unknown(service_id)
        retried = held is not None and registration.instance_id == self._words.get(service_id, "")
        if held is None or not (asked.incarnation or (retried and registration.instance_id)):
            self._incarnations += 1
            held = registry_service_pb2.RegisterResponse(service=asked).service
            held.service_id, held.incarnation = service_id, self._incarnations
            held.registered_at.GetCurrentTime()
            held.liveness = liveness_pb2.LIVENESS_ALIVE
            self._records[service_id], self._words[service_id] = held, registration.instance_id
        held.connected = True
        registered = heartbeat_pb2.Registered(service=held)
        if self._sharing:
            registered.instance_id, registered.batches = registration.instance_id, True
        return heartbeat_pb2.HeartbeatResponse(registered=registered)

    def _handle(self, stream: _Stream, request: heartbeat_pb2.HeartbeatRequest) -> None:
        with self._changed:
            match request.WhichOneof("kind"):
                case "register":
                    forgotten = request.register.service.service_id not in self._records
                    self._attach(stream, self._register(request.register), forgotten=forgotten)
                case "registers":
                    for each in request.registers.registers:
                        forgotten = each.service.service_id not in self._records
                        self._attach(stream, self._register(each), forgotten=forgotten)
                case "beats":
                    self._record_heartbeats(stream, request.beats)
                case "ack":
                    self.acknowledged.update(request.ack.alert_ids)
                case "goodbye":
                    self._leave(stream, request.goodbye)
                case "abandoned":
                    self._abandon(stream, request.abandoned)
            self._changed.notify_all()

    def _attach(self, stream: _Stream, response: heartbeat_pb2.HeartbeatResponse, *, forgotten: bool) -> None:
        if response.WhichOneof("kind") != "registered":
            stream.outgoing.put(response)
            return
        service_id, incarnation = response.registered.service.service_id, response.registered.service.incarnation
        for other in self._streams:
            held = other.carried.pop(service_id, None)
            if held is not None and (other is not stream or (held != incarnation and not forgotten)):
                other.outgoing.put(_superseded(service_id, incarnation))
        stream.carried[service_id] = incarnation
        stream.outgoing.put(response)
        for event in self._alerts.values():
            if event.recipient == service_id and event.alert_id not in self.acknowledged:
                stream.outgoing.put(heartbeat_pb2.HeartbeatResponse(alert=heartbeat_pb2.Alert(event=event)))

    def _leave(self, stream: _Stream, goodbye: heartbeat_pb2.Goodbye) -> None:
        service_id, incarnation = goodbye.service_id, goodbye.incarnation if self._sharing else 0
        held = stream.carried.get(service_id)
        if held is None or incarnation not in (0, held):  # a newer incarnation holds it
            if incarnation:
                stream.outgoing.put(_superseded(service_id, held) if held else _unknown(service_id))
            return
        self.goodbyes[service_id] = goodbye.reason
        self._records.pop(service_id, None)
        if incarnation:
            left = heartbeat_pb2.Left(service_id=service_id, incarnation=incarnation)
            stream.outgoing.put(heartbeat_pb2.HeartbeatResponse(left=left))

    def _abandon(self, stream: _Stream, abandoned: heartbeat_pb2.Abandoned) -> None:
        if stream.carried.get(abandoned.service_id) == abandoned.incarnation:
            del stream.carried[abandoned.service_id]
            self._records[abandoned.service_id].connected = False

    def _record_heartbeats(self, stream: _Stream, beats: heartbeat_pb2.Beats) -> None:
        for beat in (*beats.beats, *self._from_columns(stream, beats.columns)):
            if beat.service_id not in self._records:
                stream.carried.pop(beat.service_id, None)
                stream.outgoing.put(_unknown(beat.service_id))
                continue
            held = self._records[beat.service_id].incarnation
            if beat.incarnation and beat.incarnation < held and stream.carried.get(beat.service_id) == held:
                stream.outgoing.put(_superseded(beat.service_id, held))  # another agent on this stream holds the id
                continue
            self._beats.setdefault(beat.service_id, []).append(beat)
            self._records[beat.service_id].last_heartbeat_at.GetCurrentTime()
            self._records[beat.service_id].status = beat.status
        highest = max((beat.sequence for beat in beats.beats), default=0)
        highest = max(highest, beats.columns.sequence)
        stream.outgoing.put(heartbeat_pb2.HeartbeatResponse(ack=heartbeat_pb2.BeatAck(sequence=highest)))

    def _from_columns(self, stream: _Stream, columns: heartbeat_pb2.BeatColumns) -> Iterator[heartbeat_pb2.Beat]:
        """Beats in columns as beats of their own, each with what its service reported before."""
        owners = {record.incarnation: service_id for service_id, record in self._records.items()}
        for position, incarnation in enumerate(columns.incarnations):
            service_id = owners.get(incarnation)
            if service_id is None:
                stream.outgoing.put(_unknown("", incarnation))
                continue
            beat = heartbeat_pb2.Beat()
            before = self.last_beat(service_id)
            if before is not None and before.incarnation == incarnation:
                beat.CopyFrom(before)
            beat.service_id, beat.incarnation, beat.sequence = service_id, incarnation, columns.sequence
            if columns.activity and columns.activity[position] != _UNSET_ACTIVITY:
                beat.activity = columns.activity[position]
            beat.ClearField("loop_lag")
            if columns.loop_lag_seconds and not math.isnan(columns.loop_lag_seconds[position]):
                beat.loop_lag.CopyFrom(wire.duration(columns.loop_lag_seconds[position]))
            yield beat

    def _opened(self, stream: _Stream) -> None:
        with self._changed:
            self._streams[stream] = None

    def _closed(self, stream: _Stream) -> None:
        with self._changed:
            self._streams.pop(stream, None)
            carried = {each for other in self._streams for each in other.carried}
            for service_id in stream.carried.keys() - carried:
                if service_id in self._records:
                    self._records[service_id].connected = False
            self._changed.notify_all()

    def _handler(self) -> grpc.GenericRpcHandler:
        def heartbeat(requests: Any, context: Any) -> Iterator[heartbeat_pb2.HeartbeatResponse]:
            stream = _Stream()

            def read() -> None:
                try:
                    for request in requests:
                        self._handle(stream, request)
                except Exception:
                    pass
                finally:
                    stream.outgoing.put("end")

            self._opened(stream)
            context.add_callback(lambda: stream.outgoing.put("end"))
            threading.Thread(target=read, name="fake-registry-reader", daemon=True).start()
            try:
                while not isinstance(response := stream.outgoing.get(), str):
                    if response is None:
                        context.abort(grpc.StatusCode.UNAVAILABLE, "cut")
                    else:
                        yield response
            finally:
                self._closed(stream)

        return grpc.method_handlers_generic_handler(
            "grid.registry.v1.RegistryService",
            {
                "Heartbeat": grpc.stream_stream_rpc_method_handler(
                    heartbeat,
                    request_deserializer=heartbeat_pb2.HeartbeatRequest.FromString,
                    response_serializer=heartbeat_pb2.HeartbeatResponse.SerializeToString,
                ),
                "ListServices": _unary(self._list_services, registry_service_pb2.ListServicesRequest),
                "GetService": _unary(self._get_service, registry_service_pb2.GetServiceRequest),
            },
        )

    def _events_handler(self) -> grpc.GenericRpcHandler:
        return grpc.method_handlers_generic_handler(
            "grid.events.v1.EventService",
            {
                "PublishEvent": _unary(self._publish, event_service_pb2.PublishEventRequest),
                "ListEvents": _unary(self._list_events, event_service_pb2.ListEventsRequest),
            },
        )

    def _list_services(self, _: Any, __: Any) -> registry_service_pb2.ListServicesResponse:
        with self._changed:
            return registry_service_pb2.ListServicesResponse(services=self._records.values())

    def _get_service(
        self, request: registry_service_pb2.GetServiceRequest, context: grpc.ServicerContext
    ) -> registry_service_pb2.GetServiceResponse:
        with self._changed:
            record = self._records.get(request.service_id)
            if record is None:
                code, message = grpc.StatusCode.NOT_FOUND, "no such service"
                details = status_details.encode(code.value[0], message, ServiceNotFound.reason)
                context.set_trailing_metadata(((status_details.METADATA_KEY, details),))
                context.abort(code, message)
            return registry_service_pb2.GetServiceResponse(service=record)

    def _publish(
        self, request: event_service_pb2.PublishEventRequest, _: Any
    ) -> event_service_pb2.PublishEventResponse:
        event = request.event
        event.alert_id = event.alert_id or uuid.uuid4().hex
        if not event.HasField("occurred_at"):
            event.occurred_at.GetCurrentTime()
        return event_service_pb2.PublishEventResponse(event=self._record(event))

    def _list_events(
        self, request: event_service_pb2.ListEventsRequest, _: Any
    ) -> event_service_pb2.ListEventsResponse:
        with self._changed:
            found = [
                event
                for event in self._events
                if (not request.types or event.type in request.types)
                and (not request.service_id or event.service_id == request.service_id)
                and (not request.recipient or event.recipient == request.recipient)
                and not (request.unacknowledged and (not event.recipient or event.alert_id in self.acknowledged))
            ]
        limit = request.limit or len(found)
        return event_service_pb2.ListEventsResponse(events=found[-limit:] if request.newest else found[:limit])


def _unary(answer: Callable[[Any, Any], Any], request: Any) -> Any:
    return grpc.unary_unary_rpc_method_handler(
        answer, request_deserializer=request.FromString, response_serializer=lambda message: message.SerializeToString()
    )


class _Stream:
    """One Heartbeat stream: the messages to send on it (None breaks it, "end" ends it), and the services on it."""

    def __init__(self) -> None:
        self.outgoing: queue.SimpleQueue[heartbeat_pb2.HeartbeatResponse | str | None] = queue.SimpleQueue()
        self.carried: dict[str, int] = {}  # each with its incarnation


def _unknown(service_id: str, incarnation: int = 0) -> heartbeat_pb2.HeartbeatResponse:
    unknown = heartbeat_pb2.UnknownService(service_id=service_id, incarnation=incarnation)
    return heartbeat_pb2.HeartbeatResponse(unknown_service=unknown)


def _superseded(service_id: str, incarnation: int) -> heartbeat_pb2.HeartbeatResponse:
    told = heartbeat_pb2.Superseded(service_id=service_id, incarnation=incarnation)
    return heartbeat_pb2.HeartbeatResponse(superseded=told)
