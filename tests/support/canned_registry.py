"""A registry that answers from a script and remembers what it was asked: for tests of what clients say and show.

It has no rules at all; tests of behaviour use the real one (`processes.start_registry`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import grpc
from grid.events.v1 import event_pb2, event_service_pb2, event_service_pb2_grpc
from grid.registry.v1 import heartbeat_pb2, registry_service_pb2, registry_service_pb2_grpc, service_pb2
from grid.tron.v1 import tron_service_pb2, tron_service_pb2_grpc
from grid_model import wire
from tron_client.discovery import MONITOR_SERVICE_ID


@dataclass
class Canned:
    """What it answers, and what it was asked."""

    address: str = ""
    services: list[service_pb2.Service] = field(default_factory=list)
    events: list[event_pb2.Event] = field(default_factory=list)
    gone: list[registry_service_pb2.GoneService] = field(default_factory=list)
    # What each watch stream sends before it stays silent.
    changes: list[registry_service_pb2.WatchServicesResponse] = field(default_factory=list)
    # What SubscribeEvents sends before it stays silent.
    news: list[event_pb2.Event] = field(default_factory=list)
    # What each agent is sent once it is registered.
    alerts: list[event_pb2.Event] = field(default_factory=list)
    # Where it says that TRON is; empty: here.
    tron_url: str = ""
    # The registry's and TRON's time, if they say it; and when TRON judged last.
    observed_at: datetime | None = None
    last_check: datetime | None = None
    # Set to make every unary call fail with this code and text.
    refusal: tuple[grpc.StatusCode, str] | None = None
    requests: list[Any] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def asked(self, kind: type) -> list[Any]:
        """Return the requests of one kind so far, oldest first."""
        return [each for each in list(self.requests) if isinstance(each, kind)]

    def note(self, request: Any, context: grpc.ServicerContext) -> None:
        """Remember a request; refuse it if that is in the script."""
        self.requests.append(request)
        if self.refusal is not None:
            context.abort(*self.refusal)


class _Registry(registry_service_pb2_grpc.RegistryServiceServicer):
    def __init__(self, canned: Canned) -> None:
        self._canned = canned

    def Register(
        self, request: registry_service_pb2.RegisterRequest, context: grpc.ServicerContext
    ) -> registry_service_pb2.RegisterResponse:
        self._canned.note(request, context)
        return registry_service_pb2.RegisterResponse(service=_registered(request.service))

    def Deregister(
        self, request: registry_service_pb2.DeregisterRequest, context: grpc.ServicerContext
    ) -> registry_service_pb2.DeregisterResponse:
        self._canned.note(request, context)
        return registry_service_pb2.DeregisterResponse()

    def ReleaseOwner(
        self, request: registry_service_pb2.ReleaseOwnerRequest, context: grpc.ServicerContext
    ) -> registry_service_pb2.ReleaseOwnerResponse:
        self._canned.note(request, context)
        return registry_service_pb2.ReleaseOwnerResponse(owner="group:team")

    def GetService(
        self, request: registry_service_pb2.GetServiceRequest, context: grpc.ServicerContext
    ) -> registry_service_pb2.GetServiceResponse:
        self._canned.note(request, context)
        if request.service_id == MONITOR_SERVICE_ID:  # it is TRON as well
            tron = service_pb2.Service(
                service_id=request.service_id, url=self._canned.tron_url or f"grpc://{self._canned.address}"
            )
            return registry_service_pb2.GetServiceResponse(service=tron)
        found = [each for each in self._canned.services if each.service_id == request.service_id]
        if not found:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
        return registry_service_pb2.GetServiceResponse(service=found[0])

    def ListServices(
        self, request: registry_service_pb2.ListServicesRequest, context: grpc.ServicerContext
    ) -> registry_service_pb2.ListServicesResponse:
        self._canned.note(request, context)
        observed_at = wire.timestamp(self._canned.observed_at)
        return registry_service_pb2.ListServicesResponse(
            services=self._canned.services, revision=42, observed_at=observed_at
        )

    def ListGoneServices(
        self, request: registry_service_pb2.ListGoneServicesRequest, context: grpc.ServicerContext
    ) -> registry_service_pb2.ListGoneServicesResponse:
        self._canned.note(request, context)
        return registry_service_pb2.ListGoneServicesResponse(services=self._canned.gone)

    def WatchServices(
        self, request: registry_service_pb2.WatchServicesRequest, context: grpc.ServicerContext
    ) -> Iterator[registry_service_pb2.WatchServicesResponse]:
        self._canned.note(request, context)
        yield from self._canned.changes
        self._canned.over.wait()

    def Heartbeat(
        self, request_iterator: Iterator[heartbeat_pb2.HeartbeatRequest], context: grpc.ServicerContext
    ) -> Iterator[heartbeat_pb2.HeartbeatResponse]:
        for request in request_iterator:
            self._canned.note(request, context)
            kind = request.WhichOneof("kind")
            if kind == "register":
                registered = heartbeat_pb2.Registered(service=_registered(request.register.service))
                yield heartbeat_pb2.HeartbeatResponse(registered=registered)
                for alert in self._canned.alerts:
                    yield heartbeat_pb2.HeartbeatResponse(alert=heartbeat_pb2.Alert(event=alert))
            elif kind == "beats":
                sequence = max(beat.sequence for beat in request.beats.beats)
                yield heartbeat_pb2.HeartbeatResponse(ack=heartbeat_pb2.BeatAck(sequence=sequence))
            elif kind == "goodbye":
                return


class _Tron(tron_service_pb2_grpc.TronServiceServicer):
    def __init__(self, canned: Canned) -> None:
        self._canned = canned

    def GetStats(
        self, request: tron_service_pb2.GetStatsRequest, context: grpc.ServicerContext
    ) -> tron_service_pb2.GetStatsResponse:
        self._canned.note(request, context)
        return tron_service_pb2.GetStatsResponse(
            watching=True,
            total_services=len(self._canned.services),
            observed_at=wire.timestamp(self._canned.observed_at),
            last_check=wire.timestamp(self._canned.last_check),
        )

    def ListAlerts(
        self, request: tron_service_pb2.ListAlertsRequest, context: grpc.ServicerContext
    ) -> tron_service_pb2.ListAlertsResponse:
        self._canned.note(request, context)
        return tron_service_pb2.ListAlertsResponse()

    def GetPolicy(
        self, request: tron_service_pb2.GetPolicyRequest, context: grpc.ServicerContext
    ) -> tron_service_pb2.GetPolicyResponse:
        self._canned.note(request, context)
        return tron_service_pb2.GetPolicyResponse()

    def SetMaintenance(
        self, request: tron_service_pb2.SetMaintenanceRequest, context: grpc.ServicerContext
    ) -> tron_service_pb2.SetMaintenanceResponse:
        self._canned.note(request, context)
        held = service_pb2.Service(service_id=request.service_id)
        if request.enabled:
            held.maintenance.since.GetCurrentTime()
        return tron_service_pb2.SetMaintenanceResponse(service=held)

    def Explain(
        self, request: tron_service_pb2.ExplainRequest, context: grpc.ServicerContext
    ) -> tron_service_pb2.ExplainResponse:
        self._canned.note(request, context)
        answer = tron_service_pb2.ExplainResponse(verdict=f"{request.service_id} is alive", rule="none: it beats")
        answer.service.service_id = request.service_id
        answer.evidence.update({"beats": 3, "note": request.service_id})
        return answer


class _Events(event_service_pb2_grpc.EventServiceServicer):
    def __init__(self, canned: Canned) -> None:
        self._canned = canned

    def ListEvents(
        self, request: event_service_pb2.ListEventsRequest, context: grpc.ServicerContext
    ) -> event_service_pb2.ListEventsResponse:
        self._canned.note(request, context)
        return event_service_pb2.ListEventsResponse(events=self._canned.events, first_sequence=1, last_sequence=9)

    def SubscribeEvents(
        self, request: event_service_pb2.SubscribeEventsRequest, context: grpc.ServicerContext
    ) -> Iterator[event_service_pb2.SubscribeEventsResponse]:
        self._canned.note(request, context)
        for event in self._canned.news:
            yield event_service_pb2.SubscribeEventsResponse(event=event)
        self._canned.over.wait()

    def PublishEvent(
        self, request: event_service_pb2.PublishEventRequest, context: grpc.ServicerContext
    ) -> event_service_pb2.PublishEventResponse:
        self._canned.note(request, context)
        return event_service_pb2.PublishEventResponse(event=request.event)

    def AcknowledgeEvent(
        self, request: event_service_pb2.AcknowledgeEventRequest, context: grpc.ServicerContext
    ) -> event_service_pb2.AcknowledgeEventResponse:
        self._canned.note(request, context)
        return event_service_pb2.AcknowledgeEventResponse(acknowledged=1)

    def AcknowledgeEvents(
        self, request: event_service_pb2.AcknowledgeEventsRequest, context: grpc.ServicerContext
    ) -> event_service_pb2.AcknowledgeEventsResponse:
        self._canned.note(request, context)
        return event_service_pb2.AcknowledgeEventsResponse(acknowledged=3, lost_services=1)


def _registered(service: service_pb2.Service) -> service_pb2.Service:
    answer = service_pb2.Service()
    answer.CopyFrom(service)
    answer.service_id = service.service_id or "assigned"
    answer.incarnation = 7
    return answer


@contextmanager
def canned_registry(listen: str = "127.0.0.1:0", credentials: grpc.ServerCredentials | None = None) -> Iterator[Canned]:
    """Serve a script on a free loopback port until the block ends, by TLS if there are credentials."""
    canned = Canned()
    # A thread for each stream that a test may hold; the real registry has none per stream.
    server = grpc.server(ThreadPoolExecutor(16), options=[("grpc.so_reuseport", 0)])
    registry = _Registry(canned)  # type: ignore[abstract]  # what it leaves out answers UNIMPLEMENTED
    registry_service_pb2_grpc.add_RegistryServiceServicer_to_server(registry, server)
    event_service_pb2_grpc.add_EventServiceServicer_to_server(_Events(canned), server)
    tron_service_pb2_grpc.add_TronServiceServicer_to_server(_Tron(canned), server)  # type: ignore[abstract]
    port = server.add_insecure_port(listen) if credentials is None else server.add_secure_port(listen, credentials)
    canned.address = f"127.0.0.1:{port}"
    server.start()
    try:
        yield canned
    finally:
        canned.over.set()
        server.stop(grace=1).wait()
