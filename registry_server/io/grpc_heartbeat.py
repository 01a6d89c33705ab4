"""The Heartbeat stream of an agent: one reader, one writer, and a bounded outbox between the engine and the wire."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import grpc
import structlog
from grid.registry.v1 import heartbeat_pb2
from tron_client import wire

from grid_hosting.status import abort, decoded
from grid_hosting.turns import Turn
from registry_server.config import Config
from registry_server.core import effects
from registry_server.core.errors import (
    DomainError,
    Draining,
    FieldError,
    InvalidRequest,
    QuotaExceeded,
    ReaderTooSlow,
    SilentStream,
    Superseded,
    UnknownIncarnation,
)
from registry_server.core.service import Instant
from registry_server.core.validation import MAX_INSTANCE_ID, check_id, check_report, check_spec, check_text
from registry_server.io import translate
from registry_server.io.loop import Engine

log = structlog.get_logger("rpc")

Context = grpc.aio.ServicerContext[heartbeat_pb2.HeartbeatRequest, heartbeat_pb2.HeartbeatResponse]

HIGH_WATER = 4096
"""Messages that wait for one agent to read. Overflow rule: above it nothing more is read from that agent until all is
written; if it reads nothing for PATIENCE, the stream is ended with READER_TOO_SLOW. Nothing is lost by that, because
alerts are kept until they are acknowledged. Acknowledgements of beats do not queue: the newest counts."""

OUTBOX = 50_000
"""The same, whatever the reason: more than one message of an agent can be answered by, and all alerts in flight."""

PATIENCE = 3.0
"""Seconds that an agent has to read what waits, or to hear why its stream ends."""

ACK_EVERY = 1.0
"""Seconds between acknowledgements of beats that nobody asked to be acknowledged."""

SWEEP_EVERY = 0.25
"""Seconds between two looks for acknowledgements that wait, and for streams on which nothing was said."""

MAX_SEQUENCE = 2**64 - 1

MAX_BEATS = 10_000
"""Beats in one message."""


_BUG = DomainError("the stream can not be served any more; the server's log has it")


class HeartbeatStream:
    """One stream of one agent, or of a gateway that beats for many."""

    def __init__(self, engine: Engine, context: Context, owes: Callable[[HeartbeatStream], None]) -> None:
        self._engine = engine
        self._context = context
        self._owes = owes
        self._outbox: deque[effects.Message] = deque()
        self._ack: heartbeat_pb2.BeatAck | None = None
        self._heard = 0
        self._heard_at = Instant(0.0, 0.0)
        self._relays = False
        self._acked_at = float("-inf")
        self._unacked = False
        self._drain_after: float | None = None
        self._wake = asyncio.Event()
        self._written = asyncio.Event()
        self._progress = 0
        self._aborting: asyncio.Future[Any] | None = None
        self._failure: DomainError | None = None
        self._over = False
        self._told = False
        self._spoke = False
        self.listening_since = float("inf")
        """The attentive time since which it is read from."""
        self.session_id = engine.open_session(self._push)

    @property
    def silent(self) -> bool:
        """Whether nothing was ever said on it."""
        return not self._spoke

    async def serve(self) -> None:
        """Read and write until either side ends it. Ends itself with a status where there is a reason."""
        writer = asyncio.create_task(self._write_for_ever())
        writer.add_done_callback(self._writer_ended)
        try:
            # Else the first write and an abort would both bring the headers, and the abort would be lost.
            await self._context.send_initial_metadata(())
            self.listening_since = self._engine.now().attentive
            while (request := cast(Any, await self._context.read())) is not grpc.aio.EOF:
                self._take(request)
                if len(self._outbox) > HIGH_WATER and not await self._is_read():
                    raise ReaderTooSlow(f"{len(self._outbox)} messages wait, and none was read for {PATIENCE:g} s")
                if self._failure is not None:
                    await asyncio.wait({writer}, timeout=PATIENCE)  # it tells the agent, after all that came before
                    break
            else:
                await self._settle_outbox(writer)
            if self._failure is not None and not self._told:
                self._told = True
                raise self._failure
        except DomainError as error:
            self._is_ended_by_us(error)
            raise
        except (grpc.aio.InternalError, grpc.aio.UsageError, grpc.aio.AbortError):
            raise  # the other side is gone, or was told
        except Exception:
            self._is_ended_by_us(_BUG)
            raise
        finally:
            self._over = True
            self._engine.close_session(self.session_id)
            writer.cancel()
            await asyncio.wait({writer})

    def end(self, error: DomainError) -> None:
        """End the stream for this reason, once. The writer says so: nobody else may speak on the stream meanwhile."""
        if self._failure is None:
            self._is_ended_by_us(error)
            self._failure = error
            self._wake.set()

    def drain(self, reconnect_after: float) -> None:
        """Ask the agent to go elsewhere within so many seconds."""
        self._engine.catalogue.drain_session(self.session_id, reconnect_after, self._engine.now())
        self._drain_after = reconnect_after
        self._wake.set()

    def flush_ack(self, now: float) -> bool:
        """Acknowledge beats that wait for it, at most once in a while. Return whether none wait any more."""
        if self._unacked and now - self._acked_at >= ACK_EVERY:
            self._acknowledge(now)
        return not self._unacked

    # --- up ---------------------------------------------------------------------------------------------------------

    def _take(self, request: heartbeat_pb2.HeartbeatRequest) -> None:
        """One message from the agent. Where the stream carries nobody else, an error ends it; else it is answered."""
        kind = None
        now = self._engine.now()
        try:
            kind = decoded(request).WhichOneof("kind")
            if kind == "beats":
                self._spoke = True
                self._take_beats(request.beats)
            elif kind == "register":
                self._spoke = True
                self._register(request.register)
            elif not self._spoke or kind is None:
                raise InvalidRequest(FieldError("kind", "the first message must be register or beats"))
            elif kind == "ack":
                self._engine.catalogue.acknowledge_on_stream(self.session_id, request.ack.alert_ids, now)
            else:
                check_id("goodbye.service_id", request.goodbye.service_id)
                reason = request.goodbye.reason[:1000]
                self._engine.catalogue.goodbye(self.session_id, request.goodbye.service_id, reason, now)
        except DomainError as error:
            service_id = request.register.service.service_id if kind == "register" else ""
            if self._engine.catalogue.carries(self.session_id):
                fields = error.fields if isinstance(error, InvalidRequest) else (FieldError("", str(error)),)
                for field in fields:
                    self._push(effects.Rejected(service_id, field.field, field.description))
            else:
                self.end(error)
        self._engine.flush()

    def _register(self, message: heartbeat_pb2.Register) -> None:
        if self._engine.draining:
            raise Draining("the registry is going away")
        self._engine.admit_write()
        errors = check_text("register.instance_id", message.instance_id, 0, MAX_INSTANCE_ID)
        if errors:
            raise InvalidRequest(*errors)
        spec = check_spec(translate.to_spec(message.service))
        catalogue, now = self._engine.catalogue, self._engine.now()
        try:
            catalogue.register(spec, message.service.incarnation, message.instance_id, self.session_id, now)
        except Superseded as error:
            catalogue.refuse_older(self.session_id, error)
        except UnknownIncarnation as error:
            self._push(effects.UnknownService(error.service_id))

    def _take_beats(self, message: heartbeat_pb2.Beats) -> None:
        if len(message.beats) > MAX_BEATS:
            raise InvalidRequest(
                FieldError("beats.beats", f"has {len(message.beats)}; at most {MAX_BEATS} are allowed")
            )
        catalogue, now = self._engine.catalogue, self._engine.now()
        for beat in message.beats:
            if not beat.service_id:
                self._push(effects.Rejected("", "beat.service_id", "must not be empty"))
                continue
            record = catalogue.records.get(beat.service_id)
            report = None
            if record is not None:
                try:
                    report = translate.to_report(beat, record.report, replaces_figures=message.replaces_figures)
                    errors = check_report(report, as_sent=message.replaces_figures)
                except InvalidRequest as error:
                    errors = list(error.fields)
                if errors:
                    report = None  # the sign of life counts, the figures do not
                    for error_field in errors:
                        self._push(effects.Rejected(beat.service_id, error_field.field, error_field.description))
            catalogue.beat(self.session_id, beat.service_id, beat.incarnation, report, now, relayed=message.relayed)
            self._heard = min(MAX_SEQUENCE, max(self._heard, beat.sequence) if beat.sequence else self._heard + 1)
        self._heard_at, self._relays = now, message.relayed
        monotonic = time.monotonic()
        if message.ack_requested or monotonic - self._acked_at >= ACK_EVERY:
            self._acknowledge(monotonic)
        elif not self._unacked:
            self._unacked = True
            self._owes(self)

    def _is_ended_by_us(self, error: DomainError) -> None:
        """Say so before the stream closes: from then on its end says nothing about those whom it carries."""
        self._engine.catalogue.end_session(self.session_id, error.reason)

    # --- down -------------------------------------------------------------------------------------------------------

    def _acknowledge(self, now: float) -> None:
        self._ack = heartbeat_pb2.BeatAck(sequence=self._heard)
        if self._relays:
            self._ack.revision = self._engine.catalogue.changes.revision
            self._ack.heard_at.CopyFrom(wire.timestamp_at(self._heard_at.wall))
        self._unacked = False
        self._acked_at = now
        self._wake.set()

    def _push(self, message: effects.Message | effects.EndStream) -> None:
        """Take a message for the agent; never blocks."""
        if isinstance(message, effects.EndStream):
            self._reclaim(message)
            return
        if len(self._outbox) >= OUTBOX:
            self.end(ReaderTooSlow(f"{OUTBOX} messages wait to be read"))
            return
        self._outbox.append(message)
        self._written.clear()
        self._wake.set()

    def _reclaim(self, order: effects.EndStream) -> None:
        """End the stream, on which nobody speaks any more: perhaps its machine is gone, and the socket is all that is
        left of it."""
        log.warning("stream_reclaimed", peer=self._context.peer(), services=order.services, count=order.count)
        why = "all who were on it were silent until they were declared down"
        self.end(SilentStream(why if order.services else "nothing was said for too long, and nobody is on it"))

    async def _write_for_ever(self) -> None:
        write = self._context.write
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._written.clear()
            while self._outbox or self._ack is not None or self._drain_after is not None:
                self._progress += 1
                if self._outbox:
                    # Taken out after it was written, so that whoever waits for an empty outbox waits for the wire.
                    await write(translate.from_message(self._outbox[0]))
                    self._outbox.popleft()
                elif self._ack is not None:
                    ack, self._ack = self._ack, None
                    await write(heartbeat_pb2.HeartbeatResponse(ack=ack))
                elif self._drain_after is not None:
                    after, self._drain_after = self._drain_after, None
                    drain = heartbeat_pb2.Drain(reconnect_after=wire.duration(after))
                    await write(heartbeat_pb2.HeartbeatResponse(drain=drain))
            self._written.set()
            if self._failure is not None and not self._told:
                self._told = True
                await abort(self._context, self._failure)

    def _writer_ended(self, writer: asyncio.Task[None]) -> None:
        """A stream that can not be written to is over; it must not stay open and deaf."""
        error = None if writer.cancelled() else writer.exception()
        if error is None or self._over:
            return
        if not isinstance(error, (grpc.aio.InternalError, grpc.aio.UsageError, grpc.aio.AbortError)):
            log.error("writer_failed", exc_info=error)
            self._is_ended_by_us(_BUG)
            self._aborting = asyncio.ensure_future(abort(self._context, _BUG))
            self._aborting.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def _is_read(self) -> bool:
        """Wait until all that waits was written. False if nothing was, for PATIENCE in attentive seconds."""
        progress, since = self._progress, self._engine.now().attentive
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._written.wait(), PATIENCE / 4)
                return True
            if self._failure is not None:
                return False
            now = self._engine.now().attentive
            if self._progress != progress:
                progress, since = self._progress, now
            elif now - since >= PATIENCE:
                return False

    async def _settle_outbox(self, writer: asyncio.Task[None]) -> None:
        """A half-closed stream is still answered, within a second. A broken one fails to write, and does not wait."""
        released = self._engine.flush() <= self._engine.commits.released_to
        if released and not self._outbox and self._ack is None:
            return
        await self._engine.flushed()
        written = asyncio.create_task(self._written.wait())
        await asyncio.wait({writer, written}, timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
        written.cancel()


class HeartbeatStreams:
    """All streams: admission by count, and the sweep that finds those which never speak."""

    def __init__(self, engine: Engine, config: Config) -> None:
        self._engine = engine
        self._config = config
        self._streams: set[HeartbeatStream] = set()
        # The sweep visits only whom it concerns: a fleet may have tens of thousands.
        self._owing: dict[HeartbeatStream, None] = {}
        self._unspoken: dict[HeartbeatStream, None] = {}
        self._per_peer: dict[str, int] = {}
        self._none_left = asyncio.Event()
        self._none_left.set()

    def __len__(self) -> int:
        return len(self._streams)

    async def serve(self, context: Context) -> None:
        """Serve one stream from its beginning to its end. Raises QuotaExceeded, Draining."""
        if self._engine.draining:
            raise Draining("the registry is going away")
        peer = context.peer()
        if len(self._streams) >= self._config.max_streams:
            raise QuotaExceeded(f"{len(self._streams)} streams are open; no more are allowed")
        if self._per_peer.get(peer, 0) >= self._config.max_streams_per_peer:
            limit = self._config.max_streams_per_peer
            raise QuotaExceeded(f"{limit} streams are open on this connection; no more are allowed")
        self._per_peer[peer] = self._per_peer.get(peer, 0) + 1
        stream = HeartbeatStream(self._engine, context, self._owe)
        self._streams.add(stream)
        self._unspoken[stream] = None
        self._none_left.clear()
        try:
            await stream.serve()
        finally:
            self._streams.discard(stream)
            self._owing.pop(stream, None)
            self._unspoken.pop(stream, None)
            if not self._streams:
                self._none_left.set()
            self._per_peer[peer] -= 1
            if not self._per_peer[peer]:
                del self._per_peer[peer]

    async def sweep_for_ever(self) -> None:
        """Acknowledge what waits for it, and end the streams on which nothing is said."""
        while True:
            await asyncio.sleep(SWEEP_EVERY)
            turn = Turn("sweep")
            async for stream in turn.each(list(self._owing)):
                if stream.flush_ack(time.monotonic()):
                    self._owing.pop(stream, None)
            turn.end()
            # Attentive seconds, as everywhere where silence is held against somebody.
            limit = self._engine.now().attentive - self._config.first_message_timeout
            while self._unspoken and (stream := next(iter(self._unspoken))).listening_since <= limit:
                del self._unspoken[stream]
                if stream.silent:
                    stream.end(SilentStream(f"nothing was said for {self._config.first_message_timeout:g} s"))

    def _owe(self, stream: HeartbeatStream) -> None:
        self._owing[stream] = None

    async def drain(self, reconnect_after: float) -> None:
        """Ask everyone to go, then end what is left; wait for them for PATIENCE."""
        turn = Turn("drain")
        async for stream in turn.each(list(self._streams)):
            stream.drain(reconnect_after)
        turn.end()
        await asyncio.sleep(0.05)
        turn = Turn("drain")
        async for stream in turn.each(list(self._streams)):
            stream.end(Draining("the registry is going away"))
        turn.end()
        await self.all_ended(PATIENCE)

    async def all_ended(self, timeout: float) -> None:
        """Wait until no handler runs any more, for at most so many seconds."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._none_left.wait(), timeout)
