"""Keeps the services of the replica current, with one watch of the registry for all requests and browsers."""

from __future__ import annotations

import asyncio
import random

import grpc
import structlog
from grid.registry.v1 import registry_service_pb2, registry_service_pb2_grpc
from grid_model import wire
from tron_client import RevisionCompacted, Service
from tron_client.errors import from_rpc_error
from tron_client.schedule import Backoff

from gateway_http.replica.replica import Replica
from grid_hosting.turns import Turn

log = structlog.get_logger("gateway")


class ServicesFeed:
    """Keeps the services of the replica current while `run` runs."""

    def __init__(self, channel: grpc.aio.Channel, replica: Replica) -> None:
        self._stub = registry_service_pb2_grpc.RegistryServiceStub(channel)
        self._replica = replica
        self._needs_snapshot = True

    async def run(self) -> None:
        """Watch the services of the registry until cancelled. A broken watch resumes after the last revision that it
        delivered."""
        backoff = Backoff(cap=1.0)
        replica = self._replica
        while True:
            why = "the stream ended"
            request = registry_service_pb2.WatchServicesRequest(heartbeats=True, batches=True)
            if self._needs_snapshot:
                replica.begin_snapshot()
            else:
                request.start_revision = replica.revision
            call = self._stub.WatchServices(request, wait_for_ready=True)
            try:
                async for answer in call:
                    await self._take(answer)
                    if replica.freshness.following:
                        backoff.reset()
            except grpc.aio.AioRpcError as error:
                failure = from_rpc_error(error)
                self._needs_snapshot = self._needs_snapshot or isinstance(failure, RevisionCompacted)
                why = failure.message
            finally:
                call.cancel()
                was_following = replica.freshness.following
                replica.lost()
            if was_following:
                log.warning("registry_watch_broken", why=why, revision=replica.revision)
            await asyncio.sleep(backoff.next_delay(random.random()))

    async def _take(self, answer: registry_service_pb2.WatchServicesResponse) -> None:
        """Take the changes of one message, in turns: each may have a thousand labels."""
        turn = Turn("watch")
        async for each in turn.each(answer.changes.changes if answer.HasField("changes") else (answer,)):
            self._take_one(each)
        turn.end()

    def _take_one(self, answer: registry_service_pb2.WatchServicesResponse) -> None:
        replica = self._replica
        kind = answer.WhichOneof("change")
        if kind == "upserted":
            replica.upserted(answer.revision, Service.from_proto(answer.upserted))
        elif kind == "removed":
            replica.removed(answer.revision, answer.removed.service_id)
        elif kind == "heard":
            self._keep_time(answer.heard)
            replica.heard(answer.heard.incarnations, answer.heard.heard_at_micros)
        elif kind == "snapshot_complete":
            self._keep_time(answer.snapshot_complete)
            replica.completed(answer.revision)
            self._needs_snapshot = False
            log.info("registry_watched", revision=answer.revision, services=len(replica.mirror.entries))
        replica.freshness.heard()

    def _keep_time(self, message: registry_service_pb2.Heard | registry_service_pb2.SnapshotComplete) -> None:
        if message.HasField("observed_at"):
            self._replica.freshness.observed(wire.moment(message.observed_at))
