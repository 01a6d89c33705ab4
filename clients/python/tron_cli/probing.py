"""The command `tron probe`, which probes programs that cannot be changed, and sends heartbeats for the healthy ones.

Each row of a catalogue is checked at its `url`: `grpc://` by the gRPC health protocol, `http(s)://` by a request for
/health (or for the path of the URL), `tcp://` by a connection. Healthy programs are registered, and one stream carries
their heartbeats. For the other programs the command prints the reason, and TRON detects their silence.
"""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer
from tron_client.address import DEFAULT_REGISTRY

from tron_cli import messages
from tron_cli.connection import JsonOption, RegistryOption, away, refusal
from tron_cli.output import fail, out, print_json
from tron_cli.registering import CATALOGUES, chosen, load_catalogue
from tron_cli.streams import even_unread
from tron_cli.tls_options import connects, https_trust

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tron_cli.fleet_file import Row

_MOST_BODY = 64 << 10


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check of a program; `why` is empty if the program is healthy."""

    why: str = ""
    status: str = "ok"


@connects
def probe(
    catalogue: Annotated[
        str,
        typer.Option(metavar="NAME|FILE", help=f"The catalogue of the programs to probe: {CATALOGUES}."),
    ],
    service: Annotated[
        str, typer.Option(metavar="KEY", help="Probe only the service of the catalogue with this key, id or name.")
    ] = "",
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.05, help="How long to wait for the answer of a program.")
    ] = 2.0,
    once: Annotated[
        bool, typer.Option("--once", help="Probe each program once, print the results, and send no heartbeats.")
    ] = False,
    registry: RegistryOption = DEFAULT_REGISTRY,
    as_json: JsonOption = False,
) -> None:
    """Send heartbeats for programs that you cannot change.

    The command probes each program of a catalogue at its URL. It registers the programs that are healthy and sends
    heartbeats for them. For each program that is not healthy, it prints the reason, and sends no heartbeats.
    """
    rows = chosen(load_catalogue(catalogue), service)
    try:
        well = asyncio.run(
            _look_once(rows, timeout, as_json) if once else _Probe(rows, timeout, registry, as_json).run()
        )
    except KeyboardInterrupt:
        raise typer.Exit(0) from None
    raise typer.Exit(0 if well else 1)


async def _look_once(rows: Sequence[Row], timeout: float, as_json: bool) -> bool:
    findings = await asyncio.gather(*(check(row.url, timeout) for row in rows))
    for row, finding in zip(rows, findings, strict=True):
        _report(row, finding, as_json)
    return not any(finding.why for finding in findings)


def _report(row: Row, finding: Finding, as_json: bool) -> None:
    if as_json:
        print_json({"service_id": row.service_id, "url": row.url, "well": not finding.why, "why": finding.why})
        return
    told = messages.healthy(finding.status) if not finding.why else messages.no_heartbeat(finding.why)
    out.print(f"{row.service_id} {told}", highlight=False, markup=False, soft_wrap=True)


async def check(url: str, timeout: float) -> Finding:
    """Check the program at a URL, and return the result. If the program has an error, the result contains the error;
    nothing is raised. `timeout` is in seconds."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return Finding(messages.url_unreadable(url))
    if parts.scheme in ("http", "https") and host:
        return await _check_http(url if parts.path.strip("/") else f"{url.rstrip('/')}/health", timeout)
    if parts.scheme in ("grpc", "tcp") and host and port:
        return await (_check_grpc if parts.scheme == "grpc" else _check_tcp)(host, port, timeout)
    return Finding(messages.url_uncheckable(url))


async def _check_http(url: str, timeout: float) -> Finding:
    import httpx2

    from grid_hosting.http_transport import ProxyTransport

    try:
        async with (
            asyncio.timeout(timeout),
            httpx2.AsyncClient(timeout=timeout, transport=ProxyTransport(https_trust())) as client,
            client.stream("GET", url) as answer,
        ):
            body = b""
            async for part in answer.aiter_bytes():
                body += part
                if len(body) > _MOST_BODY:
                    break
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, TimeoutError, ValueError) as error:
        return Finding(messages.url_does_not_answer(url, error))
    if not answer.is_success:
        return Finding(f"{url} answers with status {answer.status_code}")
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        said = None
    degraded = isinstance(said, dict) and said.get("status") == "degraded"
    return Finding(status="degraded" if degraded else "ok")


async def _check_tcp(host: str, port: int, timeout: float) -> Finding:
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError) as error:
        return Finding(messages.no_connection(f"{host}:{port}", error))
    writer.close()
    return Finding()


async def _check_grpc(host: str, port: int, timeout: float) -> Finding:
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    from tron_client.channel import open_aio_channel, proxy_of
    from tron_client.endpoint import Endpoint

    try:
        # `grpc://` is plaintext, also if the registry speaks TLS.
        address = Endpoint(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", plaintext=True)
    except ValueError as error:
        return Finding(str(error))
    async with open_aio_channel(address) as channel:
        try:
            request = health_pb2.HealthCheckRequest()
            answer = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                return Finding()  # it answers, and has no health to tell of
            proxy = proxy_of(address)
            through = "" if proxy is None else f" (through {proxy})"
            return Finding(f"{host}:{port} does not answer: {error.code().name}{through}")
    if answer.status == health_pb2.HealthCheckResponse.SERVING:
        return Finding()
    return Finding(f"{host}:{port} reports {health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)}")


@dataclass(slots=True)
class _Probe:
    """Probes some programs until it is cancelled."""

    rows: Sequence[Row]
    timeout: float
    address: str
    as_json: bool
    _found: dict[str, Finding] = field(default_factory=dict)
    # The incarnation of each that is registered; 0: another one, which is not known.
    _registered: dict[str, int] = field(default_factory=dict)
    # Whether the registry reads heartbeats in columns on the stream that is open.
    _columns: bool = False
    # The newest word about each; one that waits for the stream is replaced by the next, so it is bounded by the rows.
    _beats: dict[str, str] = field(default_factory=dict)
    _work: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> bool:
        """Probe the programs and send heartbeats until cancelled."""
        from tron_client.async_client import AsyncRegistryClient
        from tron_client.channel import open_aio_channel
        from tron_client.errors import RegistryUnavailable

        async with AsyncRegistryClient(self.address) as client, open_aio_channel(self.address) as channel:
            try:
                services = (await client.list_services()).services
            except RegistryUnavailable as error:
                fail(away(self.address, error.message))
            own = {each.service_id for each in services if each.connected}
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._send(channel))
                for row in self.rows:
                    if row.service_id in own:
                        out.print(messages.sends_its_own(row.service_id), highlight=False, markup=False)
                    else:
                        tasks.create_task(self._look_after(row, client))
        return True

    async def _look_after(self, row: Row, client: Any) -> None:
        from tron_client.errors import InvalidRequest, TronError

        while True:
            finding = await check(row.url, self.timeout)
            if not finding.why and row.service_id not in self._registered:
                try:
                    service = await client.register(**row.declaration())
                    self._registered[row.service_id] = service.incarnation
                except InvalidRequest as error:
                    finding = Finding(messages.rejected(refusal(error)))
                except TronError as error:
                    finding = Finding(messages.not_accepted(error.message or error.reason))
            if finding != self._found.get(row.service_id):
                self._found[row.service_id] = finding
                with even_unread():
                    _report(row, finding, self.as_json)
            if not finding.why:
                self._beats[row.service_id] = finding.status
                self._work.set()
            # Twice an interval, so that one slow answer is no missed beat.
            await asyncio.sleep(row.heartbeat_interval / 2)

    async def _send(self, channel: Any) -> None:
        import grpc
        from grid.registry.v1 import heartbeat_pb2, registry_service_pb2_grpc
        from tron_client.schedule import Backoff

        stub = registry_service_pb2_grpc.RegistryServiceStub(channel)
        backoff = Backoff()
        while True:
            self._columns = False
            call = stub.Heartbeat(wait_for_ready=True)
            reader = asyncio.create_task(self._read(call))
            try:
                while not reader.done():
                    message = self._take_beats()
                    # Without columns so far: perhaps the acknowledgement says that they are read.
                    message.ack_requested = not self._columns
                    await call.write(heartbeat_pb2.HeartbeatRequest(beats=message))
                    backoff.reset()
                    work = asyncio.create_task(self._work.wait())
                    await asyncio.wait({work, reader}, return_when=asyncio.FIRST_COMPLETED)
                    work.cancel()
            except (grpc.RpcError, asyncio.InvalidStateError):
                pass
            finally:
                reader.cancel()
                await asyncio.wait({reader})
                call.cancel()
            await asyncio.sleep(backoff.next_delay(random.random()))

    def _take_beats(self) -> Any:
        """Return the waiting heartbeats as one message."""
        from grid.registry.v1 import heartbeat_pb2
        from tron_client.words import STATUSES

        message = heartbeat_pb2.Beats(relayed=True)
        for service_id, status in self._beats.items():
            incarnation = self._registered.get(service_id, 0)
            if self._columns and incarnation:
                message.columns.incarnations.append(incarnation)
                message.columns.status.append(STATUSES.number(status))
            else:
                message.beats.add(service_id=service_id, status=STATUSES.number(status))
        self._beats.clear()
        self._work.clear()
        return message

    async def _read(self, call: Any) -> None:
        import grpc

        try:
            async for answer in call:
                match answer.WhichOneof("kind"):
                    case "ack":
                        self._columns = answer.ack.batches
                    case "unknown_service":
                        self._unknown(answer.unknown_service.service_id, answer.unknown_service.incarnation)
                    case "superseded":
                        self._unknown("", answer.superseded.superseded_incarnation)
        except grpc.RpcError:
            return

    def _unknown(self, service_id: str, incarnation: int) -> None:
        """Handle an answer that the service is not registered, or (without a service_id) not as this incarnation."""
        if service_id:
            # Removed as down, or by somebody: registered again at the next look that finds it well.
            self._registered.pop(service_id, None)
            return
        for known, held in self._registered.items():
            if held == incarnation:
                self._registered[known] = 0  # from now on it is sent by its id, and answered as that
