"""Creates a gateway with its connections and its replica, runs the tasks that keep the replica current, and creates the
authentication of its callers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from tron_client import AsyncRegistryClient, Endpoint
from tron_client.channel import open_aio_channel

from gateway_http.config import Config
from gateway_http.gateway import Gateway
from gateway_http.http.authentication import HttpAuthentication
from gateway_http.http.event_streams import EventStreams
from gateway_http.legacy.alert_file import AlertFiles
from gateway_http.legacy.alerts import LEGACY_ALERTS
from gateway_http.replica.replica import Replica
from gateway_http.replica.watch_log import WatchLog
from gateway_http.upstream.actions import Actions
from gateway_http.upstream.beat_relay import BeatRelay
from gateway_http.upstream.caller_credentials import CallerCredentials
from gateway_http.upstream.events_feed import EventsFeed
from gateway_http.upstream.frame_pacer import FramePacer
from gateway_http.upstream.registry_writes import RegistryWrites
from gateway_http.upstream.services_feed import ServicesFeed
from gateway_http.upstream.tron_status import TronStatusPoller
from gateway_http.upstream.watch_recorder import WatchRecorder
from grid_hosting.access.remote import RemoteAuthority
from grid_hosting.access.remote_audit import RemoteAudit
from grid_hosting.access.trail import AuditTrail
from grid_hosting.http_rules import parse_network


class Runner(Protocol):
    """A task that runs beside the requests until it is cancelled."""

    async def run(self) -> None:
        """Run until cancelled."""


@asynccontextmanager
async def connected(config: Config, *, authentication: bool = False) -> AsyncIterator[Gateway]:
    """Yield a gateway that follows the registry and TRON until the block ends. `authentication`: whether calls for a
    client are made in that client's name."""

    def for_callers(address: str) -> str | Endpoint:
        return Endpoint(address, interceptors=(CallerCredentials(),)) if authentication else address

    async with (
        open_aio_channel(config.registry) as channel,
        open_aio_channel(for_callers(config.registry)) as callers_channel,
        open_aio_channel(for_callers(config.tron)) as tron_channel,
        AsyncRegistryClient(for_callers(config.registry)) as client,
        asyncio.TaskGroup() as tasks,
    ):
        replica, relay, closing = Replica(time.monotonic, LEGACY_ALERTS), BeatRelay(channel), asyncio.Event()
        tron = TronStatusPoller(tron_channel, replica.news.step)
        watched = WatchLog()
        actions = Actions(replica, client, RegistryWrites(callers_channel, channel), relay)
        gateway = Gateway(config, replica, client, actions, tron, watched, EventStreams(closing), closing)
        runners: list[Runner] = [
            ServicesFeed(channel, replica),
            EventsFeed(client, replica),
            FramePacer(replica),
            relay,
            tron,
            WatchRecorder(watched, replica, tron),
        ]
        if config.alert_file_days:
            folder = config.data_dir / "events"
            runners.append(AlertFiles(client, folder, config.alert_file_days, replica.mirror.last_seen))
        running = [tasks.create_task(each.run()) for each in runners]
        try:
            yield gateway
        finally:
            closing.set()
            for task in running:
                task.cancel()


@asynccontextmanager
async def authenticating(config: Config) -> AsyncIterator[HttpAuthentication | None]:
    """Yield the authentication of the callers of all ports until the block ends; None if authentication is off."""
    if not config.authentication:
        yield None
        return
    async with open_aio_channel(config.registry) as channel, asyncio.TaskGroup() as tasks:
        authority, trail = RemoteAuthority(channel), AuditTrail(RemoteAudit(channel).append)
        networks = map(parse_network, config.legacy_open_to)
        authentication = HttpAuthentication(authority, networks, config.http_origins, trail.refused, act=trail.act)
        runners: tuple[Runner, ...] = (authority, trail, authentication)
        running = [tasks.create_task(each.run()) for each in runners]
        try:
            yield authentication
        finally:
            for task in running:
                task.cancel()
