"""The client for asyncio, with the same methods as `RegistryClient`, on grpc.aio."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

import grpc
import grpc.aio
from grid.events.v1 import event_service_pb2_grpc
from grid.registry.v1 import registry_service_pb2_grpc

from tron_client import arguments, forks, requests
from tron_client.channel import open_aio_channel, resolve_address
from tron_client.declaring import declare, declares
from tron_client.errors import PageTokenExpired, TronError, from_rpc_error
from tron_client.outages import OUTAGES
from tron_client.watcher import EventResume, Resume, ServiceResume

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from types import TracebackType
    from typing import Unpack

    from grid_model.declaration import Declared

    from tron_client.address import Address
    from tron_client.models import Acknowledged, Event, EventPage, GoneService, Service, ServiceChange, ServiceList
    from tron_client.reachability import Answer

_log = logging.getLogger("tron_client")

T = TypeVar("T")

PATIENCE = 5.0
"""Seconds without a message on a stream after which the reason is logged."""

LONGEST_TURN = 0.005
"""Seconds for which an answer with many elements is converted before other work of the event loop may run."""


class AsyncRegistryClient:
    """A client of the registry and its event log for one event loop. Create it inside the running loop; it is an async
    context manager."""

    def __init__(self, address: Address | str | None = None, *, timeout: float = 5.0) -> None:
        """Create a client; `timeout` is the deadline of each unary call, in seconds. Raises ValueError for an invalid
        address."""
        self._timeout = arguments.seconds("timeout", timeout)
        self._closed = asyncio.Event()
        self._address = resolve_address(arguments.optional_address("address", address), "address")
        self._inherited = False
        forks.connecting()
        self._channel = open_aio_channel(self._address)
        self._stubs: dict[str, Any] = {
            "registry": registry_service_pb2_grpc.RegistryServiceStub(self._channel),
            "events": event_service_pb2_grpc.EventServiceStub(self._channel),
        }
        forks.watch(self)

    async def close(self) -> None:
        """Close the connection; running iterators of this client end."""
        self._closed.set()
        if not self._inherited:
            await self._channel.close()

    def after_fork(self) -> None:
        """Refuse further calls in a forked child, because the client's event loop does not run there."""
        forks.keep(self._channel, self._stubs)
        self._inherited = True

    def _refuse_in_child(self) -> None:
        if self._inherited:
            raise RuntimeError("this AsyncRegistryClient belongs to the parent process; create a new one here")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @declares()
    async def register(self, service_id: str = "", *, name: str, **declared: Unpack[Declared]) -> Service:
        """Register a service whose heartbeats are sent by another client, for example a relay. (An Agent registers its
        service itself.) Return the service as it was registered. Intervals are in seconds."""
        return await self._do(requests.register(declare(service_id, name, **declared)))

    async def deregister(self, service_id: str, reason: str = "") -> None:
        """Deregister a service; no alert is issued. Raises ServiceNotFound."""
        await self._do(requests.deregister(service_id, reason))

    async def release_owner(self, service_id: str) -> str:
        """End the ownership of the id of a service that is not registered, so that any principal with a suitable grant
        can register the id; return the former owner. Raises ServiceNotFound if the id has no owner, and InvalidRequest
        if the service is registered."""
        return await self._do(requests.release_owner(service_id))

    async def get_service(self, service_id: str) -> Service:
        """Return one service. Raises ServiceNotFound."""
        return await self._do(requests.get_service(service_id))

    async def list_services(
        self,
        *,
        type: str = "",  # noqa: A002 - the word of the contract
        role: str = "",
        cap: str = "",
        name: str = "",
        status: str = "",
        liveness: str = "",
        label_selector: Mapping[str, Any] | None = None,
    ) -> ServiceList:
        """Return all services that match the filters, as of one revision; an empty filter matches all services."""
        pages = requests.ServicePages(
            type=type,
            role=role,
            cap=cap,
            name=name,
            status=status,
            liveness=liveness,
            label_selector=label_selector,
        )
        while (call := pages.next_call()) is not None:
            try:
                await self._do(call)
            except PageTokenExpired as error:
                pages.start_over(error)
        return pages.result

    async def promote(self, name: str, from_role: str, to_role: str) -> int:
        """Change the role of every service that has this name and the role `from_role`; return the number of changed
        services. Raises ServiceNotFound if there is no such service."""
        return await self._do(requests.promote(name, from_role, to_role))

    async def publish_event(
        self,
        type: str,  # noqa: A002 - the word of the contract
        *,
        severity: str = "INFO",
        service_id: str = "",
        service_name: str = "",
        recipient: str = "",
        message: str = "",
        details: Mapping[str, Any] | None = None,
        action: str = "",
        cause: str = "",
        alert_id: str = "",
    ) -> Event:
        """Append an event to the event log, and return it as it was recorded. An event with a recipient is delivered as
        an alert.

        If `alert_id` is empty, the registry assigns one. If a call is repeated with the same `alert_id`, recipients
        treat both events as one alert.
        """
        call = requests.publish_event(
            type,
            details,
            severity=severity,
            service_id=service_id,
            service_name=service_name,
            recipient=recipient,
            message=message,
            action=action,
            cause=cause,
            alert_id=alert_id,
        )
        return await self._do(call)

    async def list_events(
        self,
        *,
        after_sequence: int = 0,
        limit: int = 100,
        recipient: str = "",
        service_id: str = "",
        types: Sequence[str] = (),
        unacknowledged: bool = False,
        newest: bool = False,
    ) -> EventPage:
        """Return one page of the event log, oldest event first; with `newest`, the page of the newest events."""
        call = requests.list_events(
            after_sequence=after_sequence,
            limit=limit,
            recipient=recipient,
            service_id=service_id,
            types=types,
            unacknowledged=unacknowledged,
            newest=newest,
        )
        return await self._do(call)

    async def acknowledge(self, alert_id: str, recipient: str = "") -> int:
        """Acknowledge an alert for one recipient, or for all recipients if `recipient` is empty; return the number of
        acknowledged copies. Raises AlertNotFound."""
        return await self._do(requests.acknowledge(alert_id, recipient))

    async def acknowledge_event(self, alert_id: str) -> Acknowledged:
        """Acknowledge an alert for all recipients, on behalf of the operators. If the alert reports that a service was
        lost, this loss is acknowledged too. Raises AlertNotFound."""
        return await self._do(requests.acknowledge_event(alert_id))

    async def acknowledge_all(self, *, service_id: str = "", recipient: str = "") -> Acknowledged:
        """Acknowledge all waiting alerts, or only those about one service, or only those for one recipient.

        Without a recipient, the alerts are acknowledged on behalf of the operators, together with the losses of
        services.
        """
        return await self._do(requests.acknowledge_all(service_id, recipient))

    async def list_gone_services(self, *, limit: int = 1000, unacknowledged: bool = False) -> tuple[GoneService, ...]:
        """Return the services that are no longer registered, newest removal first. The registry remembers a limited
        number.

        With `unacknowledged`, return only lost services whose loss no operator has acknowledged.
        """
        return await self._do(requests.list_gone_services(limit, unacknowledged=unacknowledged))

    def watch_services(self, start_revision: int = 0, *, reconnect: bool = True) -> AsyncIterator[ServiceChange]:
        """Yield a snapshot of the services (or the changes since `start_revision`), then changes as they happen.

        A broken stream resumes at its last revision. If the registry no longer keeps that revision, the watch yields a
        `reset` and a new snapshot. With `reconnect=False`, a TronError is raised when the stream breaks.
        """
        return self._follow("registry", "WatchServices", ServiceResume(start_revision, reconnect=reconnect))

    def subscribe_events(
        self,
        after_sequence: int = 0,
        *,
        recipient: str = "",
        service_id: str = "",
        types: Sequence[str] = (),
        only_new: bool = False,
        reconnect: bool = True,
    ) -> AsyncIterator[Event]:
        """Yield the recorded events after `after_sequence`, then new events. A broken stream resumes after the last
        received event. Raises RevisionCompacted if the event log no longer keeps the events that should follow."""
        resume = EventResume(
            after_sequence,
            recipient=recipient,
            service_id=service_id,
            types=types,
            only_new=only_new,
            reconnect=reconnect,
        )
        return self._follow("events", "SubscribeEvents", resume)

    async def _do(self, call: requests.Call[T]) -> T:
        self._refuse_in_child()
        try:
            answer = await getattr(self._stubs[call.service], call.method)(call.request, timeout=self._timeout)
        except grpc.RpcError as error:
            raise from_rpc_error(error, self._address) from error
        if call.read_in_parts is None:
            return call.read(answer)
        parts, began = call.read_in_parts(answer), time.perf_counter()
        while True:
            try:
                next(parts)
            except StopIteration as end:
                return cast("T", end.value)
            if time.perf_counter() - began >= LONGEST_TURN:
                await asyncio.sleep(0)
                began = time.perf_counter()

    async def _follow(self, service: str, method: str, resume: Resume[T]) -> AsyncIterator[T]:
        while not self._closed.is_set():
            self._refuse_in_child()
            failure: TronError | None = None
            try:
                stream = getattr(self._stubs[service], method)(resume.request(), wait_for_ready=resume.reconnect)
            except grpc.aio.UsageError:  # closed just now
                return
            waits = OUTAGES.begin(self._address, self._say_waiting, PATIENCE)
            try:
                async for answer in stream:
                    OUTAGES.end(waits)
                    yield resume.accept(answer)
            except grpc.RpcError as error:
                failure = from_rpc_error(error, self._address)
            except asyncio.CancelledError:
                if not self._closed.is_set():
                    raise
            finally:
                OUTAGES.end(waits)
                stream.cancel()
            if self._closed.is_set() or (failure is None and not resume.reconnect):
                return
            delay, said = resume.ended(failure)
            if said is not None:
                yield said
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), delay)

    def _say_waiting(self, found: Answer) -> None:
        if found.kind != "grpc":  # a stream may be open and have nothing to say
            _log.warning("stream_waits registry=%s why=%s", self._address, found.words)
