"""Runs the Heartbeat streams, with one reader and one writer for each stream; `core.agent_stream` makes the
decisions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NoReturn, cast

import grpc
import structlog
from grid.registry.v1 import heartbeat_pb2
from grid_model.errors import (
    Draining,
    InternalError,
    NotOwner,
    PermissionDenied,
    QuotaExceeded,
    SilentStream,
    TronError,
)

from grid_hosting.authentication import current_call, current_principal
from grid_hosting.open_counts import OpenCounts
from grid_hosting.shares import Places
from grid_hosting.status import abort
from grid_hosting.turns import Turn
from registry_server.config import Config
from registry_server.core import effects
from registry_server.core.agent_stream import PATIENCE, AgentStream
from registry_server.core.rights import Rights
from registry_server.core.stream_messages import AgentMessage, Registrations
from registry_server.io import answers, translate
from registry_server.io.agent_messages import from_output, to_agent_message
from registry_server.io.callers import Callers
from registry_server.io.loop import RegistryLoop

log = structlog.get_logger("rpc")

Context = grpc.aio.ServicerContext[heartbeat_pb2.HeartbeatRequest, heartbeat_pb2.HeartbeatResponse]

SWEEP_EVERY = 0.25
"""Seconds between two checks for waiting acknowledgements, while there are any."""

LOOK_EVERY = 1.0
"""Seconds between two checks for streams without a first message, while no acknowledgement waits."""

FAREWELL = 3.0
"""Seconds that an agent has to receive the reason why its stream ends. After that, the registry stops waiting for its
messages."""

_DENIED = frozenset({PermissionDenied.reason, NotOwner.reason})

_BUG = InternalError("the registry failed while serving this stream; its log contains the details")


class HeartbeatStream:
    """One Heartbeat stream of the server: reads, writes and waits."""

    def __init__(
        self,
        loop: RegistryLoop,
        context: Context,
        owes: Callable[[HeartbeatStream], None],
        rights: Rights | None,
        refused: Callable[..., None],
    ) -> None:
        self._refused = refused
        self._loop = loop
        self._context = context
        self._woken = False
        self._writer_waits: asyncio.Future[None] | None = None
        self._written = asyncio.Event()
        self._aborting: asyncio.Future[Any] | None = None
        self._over = False
        self._told = False
        self._task = asyncio.current_task()
        self._reading = False
        self._stopped = False
        self._left: asyncio.TimerHandle | None = None
        self.agent = AgentStream(
            loop.registry,
            loop.commits,
            loop.open_session(self._push),
            translate.to_report,
            owes=lambda: owes(self),
            wake=self._wake,
            broken=loop.broken,
            rights=rights,
        )
        if (call := current_call()) is not None:
            # The end of a credential is no evidence about the agents, so the stream ends in its own way.
            call.end = self.end
            call.lost_rights = self.agent.lost_rights
            call.drain = lambda left, reason: self.agent.renew(left, reason, loop.now())

    async def serve(self) -> None:
        """Read and write until either side ends the stream. Raises the error that ends the stream, if there is one."""
        agent = self.agent
        writer = asyncio.create_task(self._write_forever())
        writer.add_done_callback(self._writer_ended)
        try:
            # Else the first write and an abort would both bring the headers, and the abort would be lost.
            await self._context.send_initial_metadata(())
            agent.listening_since = self._loop.now().attentive
            try:
                await self._receive_all(writer)
            except asyncio.CancelledError:
                if not self._stopped or self._task is None:
                    raise
                self._task.uncancel()  # the stream still ends with its error
            finally:
                self._reading = False
            if agent.failure is not None and not self._told:
                await self._tell(agent.failure)
        except TronError as error:
            agent.ended_by_us(error)
            raise
        except (grpc.aio.InternalError, grpc.aio.UsageError, grpc.aio.AbortError):
            raise  # the other side is gone, or has its answer
        except Exception:
            agent.ended_by_us(_BUG)
            raise
        finally:
            self._over = True
            if self._left is not None:
                self._left.cancel()
            self._loop.close_session(agent.session_id)
            agent.close()
            writer.cancel()
            await asyncio.wait({writer})

    def end(self, error: TronError) -> None:
        """End the stream with this error. The agent has FAREWELL seconds to receive it."""
        self.agent.end(error)
        self._leave_later()

    def _leave_later(self) -> None:
        if self._left is None and not self._over:
            self._left = asyncio.get_running_loop().call_later(FAREWELL, self._leave)

    def _leave(self) -> None:
        """Stop waiting for a message: an agent that neither reads nor writes must not keep its stream."""
        if self._reading and self._task is not None:
            self._stopped = True
            self._task.cancel()

    async def _receive_all(self, writer: asyncio.Task[None]) -> None:
        """Receive messages until either side ends the stream. Raises the error that ends a stream that is not read;
        CancelledError once `_leave` has stopped it."""
        agent, read, eof = self.agent, self._context.read, grpc.aio.EOF
        self._reading = True
        while (request := cast(Any, await read())) is not eof:
            self._reading = False
            if agent.failure is None:  # else it is no longer the right of the agent
                parts = self._receive(to_agent_message(request))
                if parts is not None:
                    await self._receive_parts(parts)
                if agent.is_behind:
                    agent.set_reading(self._loop.now(), paused=True)
                    if (error := await self._wait_written()) is not None:
                        raise error
                    agent.set_reading(self._loop.now(), paused=False)
            if agent.failure is not None:
                await asyncio.wait({writer}, timeout=FAREWELL)  # it tells the agent, after all that came before
                return
            self._reading = True
        self._reading = False
        await self._write_rest(writer)

    def _receive(self, message: AgentMessage) -> Iterator[AgentMessage] | None:
        """Handle one message; return the parts of a large one, which are not handled yet."""
        loop = self._loop
        parts = self.agent.begin(message, loop.now(), time.monotonic(), draining=loop.draining)
        loop.flush()
        return parts

    async def _receive_parts(self, parts: Iterator[AgentMessage]) -> None:
        """Handle the parts of one message; other work can run between two of them."""
        turn = Turn("stream", before_rest=self._loop.flush)
        async for each in turn.each(parts):
            if self.agent.failure is not None:
                break
            loop = self._loop
            self.agent.begin(each, loop.now(), time.monotonic(), draining=loop.draining)
        self._loop.flush()
        turn.end()

    def _push(self, message: effects.Message | effects.EndStream) -> None:
        """Add a message for the agent; never blocks."""
        if isinstance(message, effects.EndStream):
            # Nobody speaks on the stream any more: perhaps its machine is gone, and only the socket is left.
            log.warning("stream_reclaimed", peer=self._context.peer(), services=message.services, count=message.count)
        self._written.clear()
        self.agent.push(message)
        if isinstance(message, effects.EndStream):
            self._leave_later()

    async def _write_forever(self) -> None:
        agent, write = self.agent, self._context.write
        while True:
            while not self._woken:
                self._writer_waits = asyncio.get_running_loop().create_future()
                await self._writer_waits
            self._woken = False
            self._written.clear()
            while (output := agent.next_output()) is not None:
                if type(output) is Registrations:
                    await answers.build_shared(each.service for each in output.registered)
                await write(from_output(output))
                agent.written(output)
                if type(output) is effects.Rejected and output.reason in _DENIED:
                    self._refused(self._context, output.service_id, output.reason, output.on_behalf_of)
                if type(output) is effects.Alert:
                    event = output.event
                    self._loop.registry.alert_written(event.alert_id, event.recipient, self._loop.now())
                if agent.send_held():
                    self._loop.flush()
            self._written.set()
            if agent.failure is not None and not self._told:
                await self._tell(agent.failure)

    async def _tell(self, failure: TronError) -> NoReturn:
        """End the call with the reason why the stream ends. Raises AbortError."""
        self._told = True
        if failure.reason in _DENIED:
            self._refused(self._context, self.agent.refused_id, failure.reason)
        await abort(self._context, failure)

    def _wake(self) -> None:
        """Wake the writer, because there is something to write. This is called for each acknowledgement, so it uses a
        future, which costs less than an event."""
        self._woken = True
        waits = self._writer_waits
        if waits is not None and not waits.done():
            waits.set_result(None)

    def _writer_ended(self, writer: asyncio.Task[None]) -> None:
        """End a stream that can no longer be written to, so that it does not stay open without answers."""
        error = None if writer.cancelled() else writer.exception()
        if error is None or self._over:
            return
        if not isinstance(error, (grpc.aio.InternalError, grpc.aio.UsageError, grpc.aio.AbortError)):
            log.error("writer_failed", exc_info=error)
            self.agent.ended_by_us(_BUG)
            self._aborting = asyncio.ensure_future(abort(self._context, _BUG))
            self._aborting.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def _wait_written(self) -> TronError | None:
        """Wait until all waiting messages are written. Return why the stream must end if the agent reads nothing."""
        agent = self.agent
        progress, since = agent.progress, self._loop.now().attentive
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._written.wait(), PATIENCE / 4)
                return None
            if agent.failure is not None:
                return agent.failure
            now = self._loop.now()
            if agent.progress != progress:
                progress, since = agent.progress, now.attentive
            elif (error := agent.is_too_slow(since, now)) is not None:
                return error

    async def _write_rest(self, writer: asyncio.Task[None]) -> None:
        """Write the remaining answers of a half-closed stream within a second. On a broken stream the write fails
        without waiting."""
        released = self._loop.flush() <= self._loop.commits.released_to
        if released and not self.agent.has_output:
            return
        await self._loop.flushed()
        written = asyncio.create_task(self._written.wait())
        await asyncio.wait({writer, written}, timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
        written.cancel()


class HeartbeatStreams:
    """All Heartbeat streams: limits their number, sends waiting acknowledgements, and ends the streams on which the
    client never sends a message."""

    def __init__(self, loop: RegistryLoop, config: Config, callers: Callers) -> None:
        self._loop = loop
        self._config = config
        self._callers = callers
        self._streams: set[HeartbeatStream] = set()
        # The sweep visits only whom it concerns: a fleet may have tens of thousands.
        self._owing: dict[HeartbeatStream, None] = {}
        self._owed = asyncio.Event()
        """Set if an acknowledgement may wait."""
        self._unspoken: dict[HeartbeatStream, None] = {}
        self._places = Places(config.max_streams, "streams are open")
        self._per_peer = OpenCounts()
        self._none_left = asyncio.Event()
        self._none_left.set()

    def __len__(self) -> int:
        return len(self._streams)

    async def serve(self, context: Context) -> None:
        """Serve one stream from its beginning to its end. Raises QuotaExceeded, Draining."""
        if self._loop.draining:
            raise Draining("the registry is shutting down")
        peer = context.peer()
        if self._per_peer.of(peer) >= self._config.max_streams_per_peer:
            limit = self._config.max_streams_per_peer
            raise QuotaExceeded(f"{limit} streams are open on this connection; no more are allowed")
        rights = self._callers.rights(context)
        with self._places.one(current_principal()), self._per_peer.one(peer):
            stream = HeartbeatStream(self._loop, context, self._owe, rights, self._callers.refused)
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

    async def sweep_forever(self) -> None:
        """Send waiting acknowledgements, and end the streams on which the client sends no first message."""
        while True:
            if not self._owing:
                self._owed.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY):
                        await self._owed.wait()
            if self._owing:
                await asyncio.sleep(SWEEP_EVERY)
            turn = Turn("sweep")
            async for stream in turn.each(list(self._owing)):
                if stream.agent.flush_ack(time.monotonic()):
                    self._owing.pop(stream, None)
            turn.end()
            # Attentive seconds, as everywhere where silence is held against somebody.
            limit = self._loop.now().attentive - self._config.first_message_timeout
            while self._unspoken and (stream := next(iter(self._unspoken))).agent.listening_since <= limit:
                del self._unspoken[stream]
                if not stream.agent.spoke:
                    waited = self._config.first_message_timeout
                    stream.end(SilentStream(f"the client sent no first message within {waited:g} s"))

    def _owe(self, stream: HeartbeatStream) -> None:
        self._owing[stream] = None
        self._owed.set()

    async def drain(self, reconnect_after: float) -> None:
        """Ask all clients to leave, then end the remaining streams, and wait up to FAREWELL seconds until all have
        ended."""
        turn = Turn("drain")
        async for stream in turn.each(list(self._streams)):
            stream.agent.drain(reconnect_after, self._loop.now())
        turn.end()
        await asyncio.sleep(0.05)
        turn = Turn("drain")
        async for stream in turn.each(list(self._streams)):
            stream.end(Draining("the registry is shutting down"))
        turn.end()
        await self.all_ended(FAREWELL)

    async def all_ended(self, timeout: float) -> None:
        """Wait until all streams have ended, at most `timeout` seconds."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._none_left.wait(), timeout)
