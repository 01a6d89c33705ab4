"""Both clients against a registry that follows a script."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grid.events.v1 import event_pb2, event_service_pb2
from grid.registry.v1 import registry_service_pb2, service_pb2
from grid_model.errors import PageTokenExpired
from tron_client import AsyncRegistryClient, InvalidRequest, RegistryClient, RegistryUnavailable, async_client
from tron_client import PageTokenExpired as Expired

from grid_hosting.status import to_status

if TYPE_CHECKING:
    from collections.abc import Iterator

Answer = registry_service_pb2.WatchServicesResponse


class Script:
    """Two pages of services, and a watch that breaks after each change."""

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.expires = 0
        """So many lists are let go of before their second page is asked for."""

    def list(self, request: Any, context: Any) -> registry_service_pb2.ListServicesResponse:
        page = int(request.page_token or 0)
        if page and self.expires:
            self.expires -= 1
            context.abort_with_status(to_status(PageTokenExpired("gone")))
        services = [service_pb2.Service(service_id=f"s{page}")]
        token = "" if page else "1"
        return registry_service_pb2.ListServicesResponse(services=services, next_page_token=token, revision=4)

    def watch(self, request: Any, context: Any) -> Iterator[Any]:
        self.starts.append(request.start_revision)
        if request.start_revision == 0:
            yield Answer(revision=1, snapshot_complete=registry_service_pb2.SnapshotComplete())
        yield Answer(revision=request.start_revision + 2, upserted=service_pb2.Service(service_id="a"))
        context.abort(grpc.StatusCode.UNAVAILABLE, "cut")


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def address(script: Script) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(4), options=(("grpc.so_reuseport", 0),))
    pb = registry_service_pb2
    handlers: dict[str, Any] = {
        "ListServices": grpc.unary_unary_rpc_method_handler(
            script.list, pb.ListServicesRequest.FromString, pb.ListServicesResponse.SerializeToString
        ),
        "WatchServices": grpc.unary_stream_rpc_method_handler(
            script.watch, pb.WatchServicesRequest.FromString, pb.WatchServicesResponse.SerializeToString
        ),
    }
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("grid.registry.v1.RegistryService", handlers),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(0).wait()


def test_all_pages_are_read(address: str) -> None:
    with RegistryClient(address) as client:
        listed = client.list_services()
    assert [service.service_id for service in listed.services] == ["s0", "s1"]
    assert listed.revision == 4


def test_a_list_that_is_let_go_of_is_read_again_from_the_start(address: str, script: Script) -> None:
    script.expires = 3
    with RegistryClient(address) as client:
        listed = client.list_services()
    assert [service.service_id for service in listed.services] == ["s0", "s1"]


def test_a_list_that_is_let_go_of_again_and_again_is_said(address: str, script: Script) -> None:
    script.expires = 4
    with RegistryClient(address) as client, pytest.raises(Expired, match="gone"):
        client.list_services()


async def test_both_are_so_on_the_other_stack(address: str, script: Script) -> None:
    async with AsyncRegistryClient(address) as client:
        script.expires = 3
        assert len((await client.list_services()).services) == 2
        script.expires = 4
        with pytest.raises(Expired, match="gone"):
            await client.list_services()


def test_a_watch_goes_on_where_it_broke(address: str, script: Script) -> None:
    with RegistryClient(address) as client:
        changes = client.watch_services()
        revisions = [next(changes).revision for _ in range(4)]
    assert revisions == [1, 2, 4, 6]
    assert script.starts[:3] == [0, 2, 4]
    assert list(changes) == []  # the client is closed, so the iterator ends


async def test_both_work_on_the_other_stack(address: str) -> None:
    async with AsyncRegistryClient(address) as client:
        listed = await client.list_services()
        assert len(listed.services) == 2
        revisions = []
        async for change in client.watch_services():
            revisions.append(change.revision)
            if len(revisions) == 4:
                break
        assert revisions == [1, 2, 4, 6]
        with pytest.raises(InvalidRequest):
            await client.list_services(type="nonsense")


def test_a_registry_that_is_away_is_said() -> None:
    with RegistryClient("127.0.0.1:1", timeout=1) as client:
        with pytest.raises(RegistryUnavailable):
            client.get_service("a")
        with pytest.raises(RegistryUnavailable):
            next(client.watch_services(reconnect=False))


class Pages:
    """The stubs of a registry that answers at once, with fifty elements on each page."""

    async def ListEvents(self, request: Any, *, timeout: float) -> Any:
        """A page of events."""
        events = [event_pb2.Event(sequence=number) for number in range(1, 51)]
        return event_service_pb2.ListEventsResponse(events=events, first_sequence=1, last_sequence=50)

    async def ListServices(self, request: Any, *, timeout: float) -> Any:
        """The only page of services."""
        services = [service_pb2.Service(service_id=f"s{number}") for number in range(50)]
        return registry_service_pb2.ListServicesResponse(services=services)


@pytest.mark.parametrize("longest_turn", [0.0, 60.0])
async def test_the_client_for_asyncio_converts_the_elements_of_a_page_in_turns(
    longest_turn: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(async_client, "LONGEST_TURN", longest_turn)
    async with AsyncRegistryClient("127.0.0.1:1") as client:
        monkeypatch.setattr(client, "_stubs", {"events": Pages(), "registry": Pages()})
        others = 0

        async def count() -> None:
            nonlocal others
            while True:
                others += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        page = await client.list_events()
        listed = await client.list_services()
        counting.cancel()
        assert [event.sequence for event in page.events] == list(range(1, 51))
        assert [each.service_id for each in listed.services] == [f"s{number}" for number in range(50)]
        assert others >= 100 if longest_turn == 0 else others <= 1
