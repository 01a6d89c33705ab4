"""What all requests are answered from, on all ports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tron_client import AsyncRegistryClient
from tron_client.channel import open_aio_channel

from gateway_http.config import Config
from gateway_http.http.asgi import Headers
from gateway_http.legacy.alert_file import AlertFiles
from gateway_http.legacy.alerts import LEGACY_ALERTS
from gateway_http.replica.watch_log import WatchLog
from gateway_http.upstream.actions import Actions
from gateway_http.upstream.beat_relay import BeatRelay
from gateway_http.upstream.live_feed import LiveFeed
from gateway_http.upstream.registry_writes import RegistryWrites
from gateway_http.upstream.tron_status import TronStatusPoller
from gateway_http.upstream.watch_recorder import WatchRecorder
from gateway_http.v1.stream import Streams

_LIVE = (b"x-registry-live", b"true")
_NOT_LIVE = (b"x-registry-live", b"false")
_WATCHED = (b"x-tron-watching", b"true")
_NOT_WATCHED = (b"x-tron-watching", b"false")


@dataclass(frozen=True, slots=True)
class Gateway:
    """One connection to the registry and one to TRON, and what was learned over them."""

    config: Config
    feed: LiveFeed
    registry: AsyncRegistryClient
    """For reads that the copy does not hold; its errors are those of `tron_client.errors`."""
    actions: Actions
    """For everything that changes something."""
    relay: BeatRelay
    tron: TronStatusPoller
    streams: Streams
    closing: asyncio.Event
    """Set when streams must end, because the gateway does."""
    watched: WatchLog = field(default_factory=WatchLog)
    """When nobody watched the services."""

    @property
    def max_body_bytes(self) -> int:
        """Size of one request's body."""
        return self.config.max_body_bytes

    @property
    def data_dir(self) -> Path:
        """Where something could be kept over a restart."""
        return self.config.data_dir

    def freshness(self) -> Headers:
        """Headers that every read carries: is this how it is now, and does somebody judge?"""
        watched = _WATCHED if self.tron.status.watching else _NOT_WATCHED
        if self.feed.live:
            return (_LIVE, watched)
        return (_NOT_LIVE, watched, (b"age", b"%d" % self.feed.stale_for))


class Runner(Protocol):
    """What runs beside the requests, until it is cancelled."""

    async def run(self) -> None:
        """Run."""


@asynccontextmanager
async def connected(config: Config) -> AsyncIterator[Gateway]:
    """A gateway that follows the registry and TRON until the block ends."""
    async with (
        open_aio_channel(config.registry) as channel,
        open_aio_channel(config.tron) as tron_channel,
        AsyncRegistryClient(config.registry) as client,
        asyncio.TaskGroup() as tasks,
    ):
        feed, relay, closing = LiveFeed(channel, client, LEGACY_ALERTS), BeatRelay(channel), asyncio.Event()
        tron = TronStatusPoller(tron_channel, feed.nudge)
        streams = Streams(feed, tron, closing)
        gateway = Gateway(
            config, feed, client, Actions(feed, client, RegistryWrites(channel), relay), relay, tron, streams, closing
        )
        recorder = WatchRecorder(gateway.watched, feed, tron)
        runners: list[Runner] = [feed, relay, tron, recorder]
        if config.alert_file_days:
            folder, mirror = config.data_dir / "events", feed.mirror
            runners.append(AlertFiles(client, folder, config.alert_file_days, mirror.last_seen))
        running = [tasks.create_task(each.run()) for each in runners]
        try:
            yield gateway
        finally:
            closing.set()
            for task in running:
                task.cancel()
