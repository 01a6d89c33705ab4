"""Clients and agents over TLS, and what is said if a handshake fails, with real handshakes."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest
from grid.registry.v1 import registry_service_pb2, registry_service_pb2_grpc
from tron_client import Agent, AsyncRegistryClient, Endpoint, MonitorClient, RegistryClient, RegistryUnavailable
from tron_client.address import parse_address
from tron_client.channel import open_aio_channel
from tron_client.reachability import what_answers
from tron_client.tron_api import find_monitor

from tests.support.canned_registry import Canned, canned_registry
from tests.support.certificates import TestAuthority, server_credentials
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def authority(tmp_path: Path) -> TestAuthority:
    """A CA."""
    return TestAuthority(tmp_path / "ca")


@contextmanager
def registry(authority: TestAuthority, *, mutual: bool = False, **server: Any) -> Iterator[Canned]:
    """A registry with a certificate of the CA."""
    credentials = server_credentials(authority.server(**server), authority.ca if mutual else None)
    with canned_registry(credentials=credentials) as canned:
        yield canned


async def use(endpoint: Endpoint | str) -> None:
    """Call a registry with every kind of client, and be registered as an agent."""
    with RegistryClient(endpoint) as client:
        client.list_services()
    async with AsyncRegistryClient(endpoint) as aio:
        await aio.list_services()
    with MonitorClient(registry=endpoint) as tron:
        tron.get_stats()
    with Agent("a", registry=endpoint, heartbeat_interval=0.2) as agent:
        assert agent.wait_registered(10)


async def test_every_client_and_an_agent_connect_by_tls(authority: TestAuthority) -> None:
    with registry(authority) as canned:
        await use(Endpoint(canned.address, ca=authority.ca))
        await use(Endpoint(canned.address, ca=authority.ca.read_bytes()))


async def test_every_client_and_an_agent_connect_by_mutual_tls(authority: TestAuthority) -> None:
    issued = authority.issue("worker")
    with registry(authority, mutual=True) as canned:
        await use(Endpoint(canned.address, **issued.arguments))
        await use(Endpoint(canned.address, ca=issued.ca, cert=issued.cert.read_bytes(), key=issued.key.read_bytes()))


async def test_the_environment_alone_is_enough(authority: TestAuthority, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in authority.issue("worker").environment.items():
        monkeypatch.setenv(name, value)
    with registry(authority, mutual=True) as canned:
        await use(canned.address)
        monkeypatch.setenv("TRON_REGISTRY", canned.address)
        with RegistryClient() as client:
            client.list_services()


def test_several_hosts_and_a_tunnel_need_the_name_of_the_certificates(authority: TestAuthority) -> None:
    with registry(authority, ips=()) as canned:
        port = canned.address.rpartition(":")[2]
        several = [f"127.0.0.2:{port}", canned.address]
        for addresses in (canned.address, several):
            endpoint = Endpoint(addresses, ca=authority.ca, server_name="localhost")
            assert what_answers(endpoint).kind in ("grpc", "refused")
            with RegistryClient(endpoint) as client:
                wait_until(lambda client=client: client.list_services() is not None, 10, "it answers")  # type: ignore[misc]
        with pytest.raises(ValueError, match="server_name: for several hosts, set a name"):
            Agent("a", registry=Endpoint(several, ca=authority.ca))


def test_several_ports_of_one_host_are_verified_by_that_host(authority: TestAuthority) -> None:
    with (
        registry(authority) as canned,
        RegistryClient(Endpoint(["127.0.0.1:1", canned.address], ca=authority.ca)) as client,
    ):
        wait_until(lambda: client.list_services() is not None, 10, "it answers")


def test_a_server_behind_a_unix_socket_is_localhost(authority: TestAuthority, tmp_path: Path) -> None:
    place = f"unix:{tmp_path}/tron.sock"
    with canned_registry(place, server_credentials(authority.server(ips=()))):
        endpoint = Endpoint(place, ca=authority.ca)
        assert what_answers(endpoint).kind == "grpc"
        with RegistryClient(endpoint) as client:
            client.list_services()


def test_tron_is_called_with_the_same_files_on_any_host(authority: TestAuthority) -> None:
    with registry(authority) as canned:
        canned.tron_url = f"grpc://127.0.0.2:{canned.address.rpartition(':')[2]}"
        found = find_monitor(Endpoint(canned.address, ca=authority.ca))
    assert found.files == Endpoint("a:1", ca=authority.ca).files


def test_agents_with_equal_files_share_a_stream(authority: TestAuthority) -> None:
    with registry(authority) as canned:
        first = Agent("a", registry=Endpoint(canned.address, ca=authority.ca))
        second = Agent("b", registry=Endpoint(canned.address, ca=str(authority.ca)))
        with first, second:
            assert first.wait_registered(10)
            assert second.wait_registered(10)
            assert first._transport._connection is second._transport._connection  # noqa: SLF001


def test_a_client_uses_a_renewed_certificate_without_being_made_anew(authority: TestAuthority) -> None:
    issued = authority.issue("worker")
    seen: list[object] = []
    with registry(authority, mutual=True) as canned:
        note = canned.note

        def noting(request: Any, context: grpc.ServicerContext) -> None:
            seen.append(context.auth_context()["x509_pem_cert"][0])
            note(request, context)

        canned.note = noting  # type: ignore[method-assign]
        with RegistryClient(Endpoint(canned.address, **issued.arguments)) as client:
            client.list_services()
            authority.issue("worker")
            client.list_services()
            client.list_services()
    assert seen[0] != seen[1]
    assert seen[1] == seen[2]


async def test_an_asynchronous_channel_uses_a_renewed_certificate_and_keeps_its_streams(
    authority: TestAuthority,
) -> None:
    issued = authority.issue("worker")
    server = server_credentials(authority.server(), authority.ca)
    with canned_registry(credentials=server) as canned:
        seen: list[object] = []
        note = canned.note

        def noting(request: Any, context: grpc.ServicerContext) -> None:
            seen.append(context.auth_context()["x509_pem_cert"][0])
            note(request, context)

        canned.note = noting  # type: ignore[method-assign]
        canned.changes = [registry_service_pb2.WatchServicesResponse(revision=1)]
        async with open_aio_channel(Endpoint(canned.address, **issued.arguments)) as channel:
            stub: Any = registry_service_pb2_grpc.RegistryServiceStub(channel)
            stream = stub.WatchServices(registry_service_pb2.WatchServicesRequest())
            assert (await stream.read()).revision == 1
            authority.issue("worker")
            for _ in range(2):
                await stub.ListServices(registry_service_pb2.ListServicesRequest())
            assert not stream.done()
            canned.over.set()
            assert await stream.read() is grpc.aio.EOF
    assert len(seen) == 3
    assert seen[0] != seen[1]
    assert seen[1] == seen[2]


def test_an_agent_uses_a_renewed_certificate_for_its_next_stream(authority: TestAuthority) -> None:
    issued = authority.issue("worker", ends=timedelta(hours=1))
    server = server_credentials(authority.server(), authority.ca)
    with canned_registry(credentials=server) as canned:
        address = canned.address
        agent = Agent("a", registry=Endpoint(address, **issued.arguments), heartbeat_interval=0.2)
        agent.start()
        assert agent.wait_registered(10)
        other = TestAuthority(authority.folder)  # the same directory: the CA is replaced, and so are all files
        other.issue("worker")
    try:
        with canned_registry(address, server_credentials(other.server(), other.ca)):
            wait_until(lambda: agent.state == "connected", 20, "it is connected by the new files")
    finally:
        agent.abandon()


# --- why a handshake fails --------------------------------------------------------------------------------------------


def look(address: str, **files: Any) -> tuple[str, str]:
    """Return what is said of an address to a client with these files."""
    found = what_answers(Endpoint(address, **files))
    return found.kind, found.words


def test_a_server_that_fits_is_found_behind_tls(authority: TestAuthority) -> None:
    with registry(authority, mutual=True) as canned:
        assert look(canned.address, **authority.issue("worker").arguments)[0] == "grpc"


def test_a_plaintext_client_is_told_to_use_tls(authority: TestAuthority) -> None:
    with registry(authority) as canned:
        found = what_answers(parse_address(canned.address, ""))
    assert found.kind == "tls"
    assert "speaks TLS, but this client does not; set TRON_CA (or ca=)" in found.words


def test_a_client_with_tls_is_told_that_the_server_speaks_plaintext(authority: TestAuthority) -> None:
    with canned_registry() as canned:
        assert look(canned.address, ca=authority.ca) == (
            "plaintext",
            f"{canned.address} speaks plaintext, but this client is set to use TLS (by ca)",
        )


def other_ca(authority: TestAuthority, tmp_path: Path) -> dict[str, Any]:
    return {"ca": TestAuthority(tmp_path / "other").ca}


def no_client_certificate(authority: TestAuthority, tmp_path: Path) -> dict[str, Any]:
    return {"ca": authority.ca}


def foreign_client(authority: TestAuthority, tmp_path: Path) -> dict[str, Any]:
    foreign = TestAuthority(tmp_path / "other").issue("worker")
    return {"ca": authority.ca, "cert": foreign.cert, "key": foreign.key}


def expired_client(authority: TestAuthority, tmp_path: Path) -> dict[str, Any]:
    return dict(authority.issue("worker", starts=timedelta(hours=-2), ends=timedelta(hours=-1)).arguments)


@pytest.mark.parametrize(
    ("server", "client", "words"),
    [
        ({}, other_ca, "was signed by an unknown CA, not by the CA of ca "),
        ({"ips": ("127.0.0.9",)}, no_client_certificate, "is not for 127.0.0.1"),
        (
            {"starts": timedelta(hours=-2), "ends": timedelta(hours=-1)},
            no_client_certificate,
            "the certificate of {} has expired",
        ),
        (
            {"starts": timedelta(hours=1), "ends": timedelta(hours=2)},
            no_client_certificate,
            "the certificate of {} is not valid yet",
        ),
        ({"mutual": True}, no_client_certificate, "set TRON_CERT and TRON_KEY (or cert= and key=)"),
        ({"mutual": True}, foreign_client, "{} refuses the certificate of this client"),
        ({"mutual": True}, expired_client, "{} refuses the certificate of this client, which has expired"),
    ],
)
def test_a_refused_certificate_is_said_in_words(
    authority: TestAuthority,
    tmp_path: Path,
    server: dict[str, Any],
    client: Callable[[TestAuthority, Path], dict[str, Any]],
    words: str,
) -> None:
    files = client(authority, tmp_path)
    with registry(authority, **server) as canned:
        kind, said = look(canned.address, **files)
        assert kind == "untrusted"
        assert words.format(canned.address) in said
        agent = Agent("a", registry=Endpoint(canned.address, **files), register_timeout=0.1)
        agent.start()
        try:
            wait_until(lambda: said in agent.last_error, 10, said)
        finally:
            agent.abandon()


def test_a_client_says_that_the_server_speaks_plaintext(authority: TestAuthority) -> None:
    with (
        canned_registry() as canned,
        RegistryClient(Endpoint(canned.address, ca=authority.ca)) as client,
        pytest.raises(RegistryUnavailable, match=r"speaks plaintext, but this client is set to use TLS \(by ca\)"),
    ):
        client.list_services()


def test_a_client_asks_whether_a_server_that_closes_the_connection_wants_a_certificate(
    authority: TestAuthority, tmp_path: Path
) -> None:
    foreign = TestAuthority(tmp_path / "other").issue("worker")
    with registry(authority, mutual=True) as canned:
        for endpoint, words in (
            (Endpoint(canned.address), "closes plaintext connections; if it speaks TLS, set TRON_CA"),
            (Endpoint(canned.address, ca=authority.ca), "if it requires a client certificate, set TRON_CERT"),
            (
                Endpoint(canned.address, ca=authority.ca, cert=foreign.cert, key=foreign.key),
                "perhaps it does not accept the certificate of this client",
            ),
        ):
            with RegistryClient(endpoint) as client, pytest.raises(RegistryUnavailable) as raised:
                client.list_services()
            assert words in str(raised.value)


def test_a_client_says_that_a_certificate_is_not_trusted(authority: TestAuthority, tmp_path: Path) -> None:
    with (
        registry(authority) as canned,
        RegistryClient(Endpoint(canned.address, **other_ca(authority, tmp_path))) as client,
        pytest.raises(RegistryUnavailable, match=f"the certificate of {canned.address} is not trusted"),
    ):
        client.list_services()
