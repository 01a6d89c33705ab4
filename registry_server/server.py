"""Builds the registry, starts it, keeps it running, and drains it."""

from __future__ import annotations

import asyncio

import grpc
import structlog
from grid.access.v1 import access_service_pb2, access_service_pb2_grpc
from grid.events.v1 import event_service_pb2, event_service_pb2_grpc
from grid.registry.v1 import registry_service_pb2, registry_service_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from grid_hosting.access.store import FILE, principals_in
from grid_hosting.access.trail import AuditTrail
from grid_hosting.addresses import reachable_here
from grid_hosting.auditing import Auditing
from grid_hosting.authentication import Authentication
from grid_hosting.grpc_server import build_server
from grid_hosting.health import HealthService
from grid_hosting.identity import own_agent
from grid_hosting.program import write_ready
from grid_hosting.sinks.build import build
from grid_hosting.start import StartError, absolute
from grid_hosting.telemetry.program_metrics import Queues, program_metrics, sink_metrics, sink_queues, tls_metrics
from grid_hosting.telemetry.telemetry import Telemetry
from grid_hosting.transport_security import TransportSecurity
from registry_server.config import Config
from registry_server.io.access import Access
from registry_server.io.audited_acts import ACTS, TARGETS
from registry_server.io.callers import Callers
from registry_server.io.grpc_access import AccessService
from registry_server.io.grpc_events import EventService
from registry_server.io.grpc_health import RegistryHealth
from registry_server.io.grpc_heartbeat import HeartbeatStreams
from registry_server.io.grpc_registry import RegistryService
from registry_server.io.jwt_verification import JwtVerification
from registry_server.io.loop import RegistryLoop
from registry_server.io.method_roles import METHOD_ROLES
from registry_server.io.metrics import registry_metrics, registry_queues
from registry_server.io.own_credential import own_endpoint
from registry_server.io.store.sqlite import SqliteStore
from registry_server.io.watchdog import watch_the_watcher

log = structlog.get_logger("registry")

SERVICE_ID = "service-registry"
RECONNECT_WITHIN = 1.0
"""Seconds within which agents reconnect, each at a random moment, when the registry asks them to leave."""

SERVICES = (
    registry_service_pb2.DESCRIPTOR.services_by_name["RegistryService"].full_name,
    event_service_pb2.DESCRIPTOR.services_by_name["EventService"].full_name,
    access_service_pb2.DESCRIPTOR.services_by_name["AccessService"].full_name,
    health_pb2.DESCRIPTOR.services_by_name["Health"].full_name,
)


async def serve(config: Config, stop: asyncio.Event) -> None:
    """Run one registry until `stop` is set. Raises StoreError, JournalError, or StartError if a setting cannot be
    used."""
    security = TransportSecurity("the registry", config)
    _check_principals(config)
    loop = RegistryLoop(SqliteStore(config.data_dir), event_retention=config.event_retention_days * 86_400)
    await loop.start()
    found = {"services": len(loop.registry.records), "events": loop.events_found}
    dispatcher = build(
        config.sinks, config.data_dir / "sinks", source="/grid/registry", healthy=lambda: loop.registry.watched
    )
    access = Access(config.data_dir, JwtVerification(config.jwt) if config.jwt else None)
    trail = AuditTrail(access.append_audit)
    callers = Callers(loop, access.find, trail.refused)
    authentication: Authentication | None = None
    if config.authentication:
        await access.open()
        loop.registry.follow_parents()
        rules = config.certificate_rules
        authentication = Authentication(access, METHOD_ROLES, rules, trail.refused, security.longest_stream)
    streams = HeartbeatStreams(loop, config, callers)
    services, event_log = RegistryService(loop, streams, callers), EventService(loop, callers)

    def register(server: grpc.aio.Server) -> None:
        registry_service_pb2_grpc.add_RegistryServiceServicer_to_server(services, server)
        event_service_pb2_grpc.add_EventServiceServicer_to_server(event_log, server)
        access_service_pb2_grpc.add_AccessServiceServicer_to_server(AccessService(access, loop, trail), server)
        health_pb2_grpc.add_HealthServicer_to_server(HealthService(RegistryHealth(loop, callers)), server)

    bound = build_server(
        config.listen,
        register=register,
        services=SERVICES,
        max_message_bytes=config.max_message_bytes,
        credentials=security.grpc_credentials(),
        max_connection_age=security.max_connection_age,
        max_streams=config.max_streams_per_peer,
        admission=authentication,
        interceptors=() if authentication is None else (Auditing(trail, ACTS, TARGETS, access.find),),
    )
    server, address = bound.server, bound.address
    security.admit(address)

    def queues() -> Queues:
        sinks = sink_queues(dispatcher.stats(), config.sinks.queue_size)
        return {**registry_queues(loop, streams, services, event_log, config), **sinks}

    metrics = [
        *registry_metrics(loop, services, event_log),
        *program_metrics("registry", queues),
        *sink_metrics(dispatcher.stats),
        *tls_metrics(security.tls),
    ]
    telemetry = Telemetry(
        "registry",
        metrics,
        listen=config.metrics_listen,
        otlp_endpoint=config.otlp_endpoint,
        security=security,
        authority=access if config.authentication else None,
    )
    security.log_mode()
    caps = ("service_registry", "event_stream")
    endpoint = await own_endpoint(access, config, reachable_here(address))
    agent = own_agent(SERVICE_ID, "Service Registry", address, endpoint, caps)
    events = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:
        keeper = tasks.create_task(loop.run())
        sweeper = tasks.create_task(streams.sweep_forever())
        watchdog = tasks.create_task(watch_the_watcher(loop, dispatcher, config.monitor_lost_after))
        messenger = tasks.create_task(dispatcher.run())
        securing = tasks.create_task(security.run())
        accessing = tasks.create_task(access.run())
        auditing = tasks.create_task(trail.run())
        authenticating = None if authentication is None else tasks.create_task(authentication.run())
        try:
            await server.start()
            log.info("registry_serving", address=address, data_dir=str(config.data_dir))
            if config.self_register:
                await events.run_in_executor(None, agent.start)
            write_ready(
                config.ready_file, {"registry_grpc": address, "registry_metrics": telemetry.address, "found": found}
            )
            watching = tasks.create_task(server.watch())
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait({stopping, keeper}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            watching.cancel()
        finally:  # also if one of the tasks failed: threads of gRPC would keep the process alive
            if stop.is_set():
                log.info("registry_draining", streams=len(streams))
            # First stop reporting lost streams: services lose them because of us.
            loop.draining = True
            loop.revisions.wake()
            loop.sequences.wake()
            if config.self_register:
                await events.run_in_executor(None, agent.abandon)
            await streams.drain(RECONNECT_WITHIN)
            await server.stop(1.0)
            await streams.all_ended(2.0)  # handlers finish a moment after stop() returns
            sweeper.cancel()
            watchdog.cancel()
            messenger.cancel()
            securing.cancel()
            if authenticating is not None:
                authenticating.cancel()
            auditing.cancel()
            await asyncio.wait({auditing})  # it stores what remains
            accessing.cancel()
            keeper.cancel()
            telemetry.close()
    await loop.close()
    log.info("registry_stopped")


def _check_principals(config: Config) -> None:
    """Raise StartError if the data directory belongs to a registry with authentication, but this registry would serve
    everyone."""
    if config.authentication or config.open_on_purpose:
        return
    if found := principals_in(config.data_dir):
        raise StartError(
            f"[security] authentication: is missing, but {absolute(config.data_dir / FILE)} has {found} "
            f"{'principal' if found == 1 else 'principals'}, whose grants would have no effect; set authentication "
            "to true, or to false if that is intended (--no-authentication)"
        )
