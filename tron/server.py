"""Builds TRON, starts it, keeps it running, and stops it."""

from __future__ import annotations

import asyncio

import grpc
import structlog
from grid.tron.v1 import tron_service_pb2_grpc
from grpc_health.v1 import health_pb2_grpc
from tron_client.channel import open_aio_channel

from grid_hosting.access.remote_access import RemoteAccess
from grid_hosting.grpc_server import build_server
from grid_hosting.health import HealthService
from grid_hosting.identity import end_own_agent, own_agent
from grid_hosting.program import write_ready
from grid_hosting.sinks.build import build
from grid_hosting.start import StartError
from grid_hosting.telemetry.program_metrics import program_metrics, sink_metrics, sink_queues, tls_metrics
from grid_hosting.telemetry.telemetry import Telemetry
from grid_hosting.transport_security import TransportSecurity
from tron.config import Config
from tron.live_policy import LivePolicy
from tron.metrics import monitor_metrics
from tron.monitor import Monitor
from tron.operator_relay import OperatorRelay
from tron.policy_store import PolicyStore
from tron.probe import Prober
from tron.registry_loss import RegistryLoss
from tron.returns import PATIENCE, TLS_PATIENCE
from tron.rpc.audited_acts import ACTS
from tron.rpc.health import TRON_SERVICE, TronHealth
from tron.rpc.method_roles import METHOD_ROLES
from tron.rpc.tron import TronService
from tron.stats import Stats

log = structlog.get_logger("tron")

SERVICE_ID = "tron-heartbeat-monitor"
MAX_MESSAGE = 1 << 20


async def serve(config: Config, stop: asyncio.Event) -> None:
    """Run TRON until `stop` is set. Raises StartError if the thresholds or an address cannot be used, and JournalError
    if the queue of the operator sinks cannot be used."""
    security = TransportSecurity("TRON", config)
    store = PolicyStore(config.data_dir)
    try:
        layers = store.load(config.thresholds())
        policies = layers.policies()
    except ValueError as error:
        raise StartError(str(error)) from error
    for each in policies.default.reckless():
        log.warning("policy_reckless", threshold=each.field, why=each.description)
    async with open_aio_channel(config.registry) as channel:
        prober = Prober(frozenset(config.probe_targets))
        stats = Stats()
        dispatcher = build(config.sinks, config.data_dir / "sinks", source="/grid/tron", healthy=lambda: stats.watching)
        relay = OperatorRelay(channel, dispatcher)
        loss = RegistryLoss(config.registry_lost_after, config.registry_lost_after_drain)
        health = TronHealth()
        patience = PATIENCE if security.tls is None else TLS_PATIENCE
        monitor = Monitor(channel, SERVICE_ID, policies, relay, prober, stats, loss, health.watching, patience)
        service = TronService(monitor, LivePolicy(monitor, store, layers), channel, dispatcher)

        def register(server: grpc.aio.Server) -> None:
            tron_service_pb2_grpc.add_TronServiceServicer_to_server(service, server)
            health_pb2_grpc.add_HealthServicer_to_server(HealthService(health), server)

        access: RemoteAccess | None = None
        if security.authentication:
            access = RemoteAccess(channel, METHOD_ROLES, ACTS, security.certificate_rules, security.longest_stream)
        services = (TRON_SERVICE, "grpc.health.v1.Health")
        bound = build_server(
            config.listen,
            register=register,
            services=services,
            max_message_bytes=MAX_MESSAGE,
            credentials=security.grpc_credentials(),
            max_connection_age=security.max_connection_age,
            admission=None if access is None else access.authentication,
            interceptors=() if access is None else (access.auditing,),
        )
        server, address = bound.server, bound.address
        security.admit(address)
        metrics = [
            *monitor_metrics(monitor),
            *program_metrics("monitor", lambda: sink_queues(dispatcher.stats(), config.sinks.queue_size)),
            *sink_metrics(dispatcher.stats),
            *tls_metrics(security.tls),
        ]
        telemetry = Telemetry(
            "monitor",
            metrics,
            listen=config.metrics_listen,
            otlp_endpoint=config.otlp_endpoint,
            security=security,
            authority=None if access is None else access.authority,
        )
        security.log_mode()
        caps = ("health_monitoring", "timeout_detection", "service_alerts")
        agent = own_agent(SERVICE_ID, "TRON Heartbeat Monitor", address, config.registry, caps)
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(monitor.run()),
                tasks.create_task(relay.run()),
                tasks.create_task(dispatcher.run()),
                tasks.create_task(security.run()),
                tasks.create_task(server.watch()),
                *([] if access is None else [tasks.create_task(access.run())]),
            ]
            try:
                await server.start()
                log.info("tron_serving", address=address, registry=config.registry)
                if config.self_register:
                    await loop.run_in_executor(None, agent.start)
                write_ready(config.ready_file, {"tron_grpc": address, "tron_metrics": telemetry.address})
                await stop.wait()
            finally:  # also if one of the tasks failed: threads of gRPC would keep the process alive
                if stop.is_set():
                    log.info("tron_draining")
                health.drain()
                for task in running:
                    task.cancel()
                if config.self_register:
                    await end_own_agent(agent, leaves=stop.is_set())
                await server.stop(1.0)
                await prober.close()
                telemetry.close()
    log.info("tron_stopped")
