"""Sends the heartbeats of many REST clients as batches on one stream that reconnects automatically.

One batch is in flight at a time; heartbeats that arrive meanwhile form the next batch. So a single heartbeat leaves at
once, and many heartbeats leave as a few large messages. A client is answered when the registry has acknowledged its
batch. With authentication, all heartbeats of a batch belong to one principal, in whose name the gateway sends them;
principals take turns.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import grpc
import structlog
from grid.registry.v1 import error_reason_pb2, heartbeat_pb2, registry_service_pb2_grpc
from grid_model import wire
from grid_model.access import LOCAL
from grid_model.errors import NotOwner, PermissionDenied, TronError
from tron_client import RegistryUnavailable, ServiceNotFound
from tron_client.errors import from_rpc_error
from tron_client.schedule import Backoff

from gateway_http.replica.entry import Reported
from gateway_http.upstream.beat_batch import BeatBatch
from grid_hosting.open_calls import current_principal

log = structlog.get_logger("gateway")

MOST_WAITING = 20_000
"""Maximum number of heartbeats that wait for an acknowledgement. Overflow rule: the next one is refused, and its client
tries again."""

PATIENCE = 2.0
"""Seconds that a heartbeat waits for its acknowledgement before its client must try again. Legacy clients wait 5 s."""

AWAY_AFTER = 1.0
"""Seconds without a stream after which a heartbeat is refused at once, instead of waiting for the next stream."""

ANSWER_WITHIN = 5.0
"""Seconds that a batch may stay unacknowledged before the stream is replaced by a new one."""


_DENIED: dict[int, type[TronError]] = {
    error_reason_pb2.ERROR_REASON_PERMISSION_DENIED: PermissionDenied,
    error_reason_pb2.ERROR_REASON_NOT_OWNER: NotOwner,
}
"""The refusals that are passed on to the client, because it can act on them, by their reason."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The registry's acknowledgement of a heartbeat: when the heartbeat was received, and the registry's revision at
    that time."""

    heard_at: datetime
    revision: int


@dataclass(slots=True)
class _Waiting:
    """The newest heartbeat of one service, and the requests that wait for its acknowledgement."""

    principal: str
    """The principal whose clients send it; empty without authentication."""
    service_id: str
    incarnation: int
    """The incarnation that the replica knew; 0: the heartbeat names only the id."""
    reported: Reported
    futures: list[asyncio.Future[Acknowledged]] = field(default_factory=list)

    def merge(self, later: _Waiting) -> None:
        """Merge a later heartbeat of the same service into this one, because this one has not been acknowledged yet."""
        if self.incarnation:
            self.incarnation = later.incarnation
        self.reported = later.reported.on_top_of(self.reported)
        self.futures += later.futures

    def resolve(self, answer: Acknowledged | Exception) -> None:
        for future in self.futures:
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    @property
    def wanted(self) -> bool:
        return any(not future.done() for future in self.futures)


class BeatRelay:
    """Relays the heartbeats of REST clients to the registry while `run` runs; `beat` sends one."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = registry_service_pb2_grpc.RegistryServiceStub(channel)
        self._next: dict[str, dict[str, _Waiting]] = {}
        """The heartbeats that have not been sent yet, by principal and by service."""
        self._sent: dict[str, _Waiting] = {}
        """The heartbeats of the batch in flight, by service."""
        self._sequence = 0
        self._columns = False
        """Whether the registry supports heartbeats in columns."""
        self._in_columns: dict[int, str] = {}
        """The services whose heartbeats travelled in columns in the last message, by incarnation."""
        self._work = asyncio.Event()
        self._answered = asyncio.Event()
        self._connected = False
        self._lost_at = time.monotonic()
        self._waiting = 0

    @property
    def connected(self) -> bool:
        """Whether the stream to the registry is open."""
        return self._connected

    @property
    def waiting(self) -> int:
        """The number of heartbeats that wait for their acknowledgement."""
        return self._waiting

    async def beat(self, service_id: str, incarnation: int, reported: Reported) -> Acknowledged:
        """Relay one heartbeat, and return its acknowledgement once the registry has received it. `incarnation`: the
        incarnation of the service that the replica knows; if the service has another incarnation now, the heartbeat
        counts for the other one.

        Raises ServiceNotFound if the registry knows no such service, RegistryUnavailable if it did not answer in time,
        and PermissionDenied or NotOwner if the caller may not send this heartbeat.
        """
        if not self._connected and time.monotonic() - self._lost_at > AWAY_AFTER:
            raise RegistryUnavailable("the registry is unreachable")
        if self._waiting >= MOST_WAITING:
            raise RegistryUnavailable(f"too many heartbeats are waiting for the registry: {self._waiting}")
        future: asyncio.Future[Acknowledged] = asyncio.get_running_loop().create_future()
        caller = current_principal()
        principal = "" if caller is LOCAL else caller.name
        beat = _Waiting(principal, service_id, incarnation, reported, [future])
        group = self._next.setdefault(principal, {})
        waiting = group.get(service_id)
        if waiting is None:
            group[service_id] = beat
            self._work.set()
        else:
            waiting.merge(beat)
        self._waiting += 1
        timer = asyncio.get_running_loop().call_later(PATIENCE, _too_late, future)
        try:
            return await future
        finally:
            timer.cancel()
            self._waiting -= 1

    async def run(self) -> None:
        """Keep the stream to the registry open, and send the waiting heartbeats on it, until cancelled."""
        backoff = Backoff(cap=1.0)
        while True:
            why = "the stream ended"
            began = time.monotonic()
            try:
                await self._relay()
            except grpc.aio.AioRpcError as error:
                why = from_rpc_error(error).message
            except (grpc.aio.UsageError, grpc.aio.InternalError, asyncio.InvalidStateError, TimeoutError) as error:
                why = str(error) or "no answer"
            finally:
                if self._connected:
                    self._lost_at = time.monotonic()
                    log.warning("beats_stream_broken", why=why, waiting=self._waiting)
                self._connected = False
                self._take_back()
            backoff.ended(time.monotonic() - began)
            await asyncio.sleep(backoff.next_delay(random.random()))

    async def _relay(self) -> None:
        """Run one stream, from its first message to its end."""
        call = self._stub.Heartbeat(wait_for_ready=True)
        reader: asyncio.Task[None] | None = None
        try:
            self._sequence, self._columns = 0, False
            self._answered.clear()
            # An empty message: the answer says that the registry listens, and whether it reads columns.
            await call.write(BeatBatch(0, columns=False).message())
            reader = asyncio.create_task(self._read(call))
            await self._answer(reader)
            self._connected = True
            while True:
                work = asyncio.create_task(self._work.wait())
                try:
                    await asyncio.wait({work, reader}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    work.cancel()
                if reader.done():
                    reader.result()
                    return
                self._work.clear()
                while batch := self._take_batch():
                    self._answered.clear()
                    await call.write(batch.message())
                    await self._answer(reader)
        finally:
            if reader is not None:
                reader.cancel()
                await asyncio.wait({reader})
                if not reader.cancelled():
                    reader.exception()
            call.cancel()

    async def _answer(self, reader: asyncio.Task[None]) -> None:
        """Wait for the acknowledgement of the sent batch. Raises the error that ended the stream, or TimeoutError for
        silence."""
        answered = asyncio.create_task(self._answered.wait())
        try:
            done, _ = await asyncio.wait({answered, reader}, timeout=ANSWER_WITHIN, return_when=asyncio.FIRST_COMPLETED)
        finally:
            answered.cancel()
        if reader in done:
            reader.result()
            raise grpc.aio.UsageError("the stream ended")
        if not done:
            raise TimeoutError("a batch of heartbeats was not answered")

    async def _read(self, call: grpc.aio.StreamStreamCall[Any, Any]) -> None:
        async for answer in call:
            kind = answer.WhichOneof("kind")
            if kind == "unknown_service" and answer.unknown_service.incarnation:
                self._ask_by_id(answer.unknown_service.incarnation)
            elif kind == "unknown_service":
                service_id = answer.unknown_service.service_id
                if (unknown := self._sent.pop(service_id, None)) is not None:
                    unknown.resolve(ServiceNotFound(f"no service has the id {service_id!r}"))
            elif kind == "superseded":
                self._ask_by_id(answer.superseded.superseded_incarnation)
            elif kind == "rejected":
                self._rejected(answer.rejected)
            elif kind == "ack" and answer.ack.sequence >= self._sequence:
                self._columns = answer.ack.batches
                acknowledged = Acknowledged(wire.moment(answer.ack.heard_at), answer.ack.revision)
                sent, self._sent = self._sent, {}
                for waiting in sent.values():
                    waiting.resolve(acknowledged)
                self._answered.set()

    def _rejected(self, rejected: heartbeat_pb2.Rejected) -> None:
        """Answer the clients of a heartbeat that the registry refuses; one with invalid figures counts nevertheless."""
        denied = _DENIED.get(rejected.reason)
        if denied is None:
            log.warning("beat_rejected", service_id=rejected.service_id, why=rejected.description)
            return  # the audit log of the registry has the others
        if rejected.service_id:
            if (refused := self._sent.pop(rejected.service_id, None)) is not None:
                refused.resolve(denied(rejected.description))
            return
        # The gateway may not speak for the principal: the batch is not acknowledged.
        sent, self._sent = self._sent, {}
        for waiting in sent.values():
            waiting.resolve(denied(rejected.description))
        self._answered.set()

    def _take_batch(self) -> BeatBatch:
        """Return the heartbeats of the next message, which are empty if none wait; they count as sent from now on."""
        batch = BeatBatch(self._sequence, columns=self._columns)
        while self._next and not batch:
            principal = next(iter(self._next))
            group = self._next.pop(principal)
            batch = BeatBatch(self._sequence + 1, columns=self._columns, on_behalf_of=principal)
            for service_id in list(group):
                waiting = group.pop(service_id)
                if not waiting.wanted:
                    continue  # its clients no longer wait
                batch.add(service_id, waiting.incarnation, waiting.reported)
                self._sent[service_id] = waiting
                if batch.full:
                    break
            if group:
                self._next[principal] = group  # behind the other principals
        self._sequence += bool(batch)
        self._in_columns = batch.in_columns
        return batch

    def _ask_by_id(self, incarnation: int) -> None:
        """Send a heartbeat again by its service id, because the service now has another incarnation than the replica
        knew, or none."""
        waiting = self._sent.pop(self._in_columns.get(incarnation, ""), None)
        if waiting is not None:
            waiting.incarnation = 0
            self._put_back(waiting)

    def _take_back(self) -> None:
        """Send unacknowledged heartbeats again on the next stream, because the stream broke."""
        sent, self._sent = self._sent, {}
        for waiting in sent.values():
            self._put_back(waiting)
        if self._next:
            self._work.set()

    def _put_back(self, waiting: _Waiting) -> None:
        group = self._next.setdefault(waiting.principal, {})
        later = group.get(waiting.service_id)
        if later is not None:
            waiting.merge(later)
        group[waiting.service_id] = waiting
        self._work.set()


def _too_late(future: asyncio.Future[Acknowledged]) -> None:
    if not future.done():
        future.set_exception(RegistryUnavailable("the registry did not answer in time"))
