"""An Endpoint is accepted wherever an address is, and carries credentials and interceptors to every channel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import grpc.aio
import pytest
from grid.registry.v1 import registry_service_pb2, service_pb2
from tron_client import Agent, AsyncRegistryClient, Endpoint, MonitorClient, RegistryClient
from tron_client.channel import resolve_address
from tron_client.tron_api import find_monitor

from tests.support.canned_registry import Canned, canned_registry
from tests.support.waiting import wait_until


@pytest.fixture
def registry() -> Iterator[Canned]:
    """A registry that answers from a script."""
    with canned_registry() as canned:
        yield canned


class Counting(grpc.UnaryUnaryClientInterceptor, grpc.StreamStreamClientInterceptor):
    """Counts the calls of synchronous clients."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def intercept_unary_unary(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        self.calls.append(details.method)
        return continuation(details, request)

    def intercept_stream_stream(self, continuation: Callable[..., Any], details: Any, requests: Any) -> Any:
        self.calls.append(details.method)
        return continuation(details, requests)


class CountingAio(grpc.aio.UnaryUnaryClientInterceptor):
    """Counts the calls of asynchronous clients."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    async def intercept_unary_unary(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        self.calls.append(details.method.decode() if isinstance(details.method, bytes) else details.method)
        return await continuation(details, request)


@pytest.mark.parametrize(
    ("addresses", "text"),
    [
        ("a.example:1", "a.example:1"),
        (["a.example:1"], "a.example:1"),
        (["10.0.0.1:1", "10.0.0.2:2"], "ipv4:10.0.0.1:1,10.0.0.2:2"),
        (["[::1]:1", "[fe80::1]:2"], "ipv6:[::1]:1,[fe80::1]:2"),
    ],
)
def test_one_address_is_as_elsewhere_and_several_are_one_target(addresses: Any, text: str) -> None:
    assert Endpoint(addresses).text == str(Endpoint(addresses)) == text


@pytest.mark.parametrize(
    ("addresses", "why"),
    [
        ([], "addresses: is empty"),
        ("http://a:1", "addresses: 'http://a:1' has a scheme"),
        (["a:1", "b"], "addresses: 'b' has no port"),
        (["a.example:1", "b.example:1"], "IP addresses of one family"),
        (["10.0.0.1:1", "[::1]:1"], "IP addresses of one family"),
        (["10.0.0.1:1", "unix:/x"], "IP addresses of one family"),
    ],
)
def test_what_is_no_address_is_refused(addresses: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Endpoint(addresses)


@pytest.mark.parametrize(
    ("options", "field"),
    [({"credentials": "secret"}, "credentials"), ({"interceptors": [print]}, "interceptors")],
)
def test_what_is_no_credentials_or_interceptor_is_refused(options: Any, field: str) -> None:
    with pytest.raises(TypeError, match=f"{field}: "):
        Endpoint("a:1", **options)


def test_endpoints_are_equal_if_all_of_them_is() -> None:
    interceptor, credentials = Counting(), grpc.local_channel_credentials()
    assert Endpoint("a:1") == Endpoint(["a:1"])
    assert hash(Endpoint("a:1")) == hash(Endpoint("a:1"))
    assert Endpoint("a:1") != Endpoint("a:2")
    assert Endpoint("a:1", credentials, [interceptor]) == Endpoint("a:1", credentials, [interceptor])
    assert Endpoint("a:1", credentials) != Endpoint("a:1")
    assert Endpoint("a:1", None, [interceptor]) != Endpoint("a:1", None, [Counting()])


def test_it_takes_the_place_of_an_address() -> None:
    endpoint = Endpoint("a:1")
    assert resolve_address(endpoint) is endpoint


async def test_each_client_uses_the_interceptors_of_its_kind(registry: Canned) -> None:
    sync, aio = Counting(), CountingAio()
    endpoint = Endpoint(registry.address, interceptors=[sync, aio])
    with RegistryClient(endpoint) as client:
        client.list_services()
    async with AsyncRegistryClient(endpoint) as other:
        await other.list_services()
    with MonitorClient(endpoint) as monitor:
        monitor.get_stats()
    with Agent("a", registry=endpoint, heartbeat_interval=0.1) as agent:
        assert agent.wait_registered(5)
        assert agent.registry == registry.address
    service = "/grid.registry.v1.RegistryService/"
    assert sync.calls == [service + "ListServices", "/grid.tron.v1.TronService/GetStats", service + "Heartbeat"]
    assert aio.calls == [service + "ListServices"]


def list_services(*_: object) -> registry_service_pb2.ListServicesResponse:
    """One service."""
    return registry_service_pb2.ListServicesResponse(services=[service_pb2.Service(service_id="behind credentials")])


@pytest.fixture
def guarded() -> Iterator[str]:
    """The address of a server that takes local credentials only."""
    server = grpc.server(ThreadPoolExecutor(2))
    method = grpc.unary_unary_rpc_method_handler(
        list_services,
        request_deserializer=registry_service_pb2.ListServicesRequest.FromString,
        response_serializer=registry_service_pb2.ListServicesResponse.SerializeToString,
    )
    name = registry_service_pb2.DESCRIPTOR.services_by_name["RegistryService"].full_name
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, {"ListServices": method}),))
    port = server.add_secure_port("127.0.0.1:0", grpc.local_server_credentials())
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


async def test_credentials_are_used_by_every_client(guarded: str) -> None:
    endpoint = Endpoint(guarded, grpc.local_channel_credentials())
    with RegistryClient(endpoint) as client:
        assert [each.service_id for each in client.list_services().services] == ["behind credentials"]
    async with AsyncRegistryClient(endpoint) as other:
        assert [each.service_id for each in (await other.list_services()).services] == ["behind credentials"]


def test_the_first_of_several_addresses_that_answers_is_used(registry: Canned) -> None:
    port = registry.address.rpartition(":")[2]
    with RegistryClient(Endpoint([f"127.0.0.2:{port}", registry.address])) as client:
        wait_until(lambda: client.list_services() is not None, 10, "it answers")


@pytest.mark.parametrize(("host", "passed_on"), [("127.0.0.1", True), ("127.0.0.2", False)])
def test_tron_gets_the_interceptors_of_a_registry_only_on_its_own_host(
    registry: Canned, host: str, passed_on: bool
) -> None:
    """What the registry says of TRON is what some client declared."""
    registry.tron_url = f"grpc://{host}:{registry.address.rpartition(':')[2]}"
    interceptor = Counting()
    found = find_monitor(Endpoint(registry.address, interceptors=[interceptor]))
    assert getattr(found, "interceptors", ()) == ((interceptor,) if passed_on else ())
