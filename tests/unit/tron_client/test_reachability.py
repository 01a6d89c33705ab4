"""What is said of an address where no registry answers: by the look itself, by an agent, and by the clients."""

from __future__ import annotations

import logging
import socket
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import grpc
import pytest
from tron_client import Agent, AsyncRegistryClient, MonitorClient, RegistryClient, RegistryUnavailable, WrongServer
from tron_client.address import parse_address
from tron_client.outages import Outages
from tron_client.reachability import what_answers

from tests.support.canned_registry import canned_registry
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tron_client.reachability import Answer


@contextmanager
def listening(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Serve each connection by `answer` on a free port until the block ends; yields the address."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with closing(connection):
                    try:
                        answer(connection)
                    except OSError:
                        continue

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def http1(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")


def tls_alert(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"\x15\x03\x03\x00\x02\x02\x46")


def greeting(connection: socket.socket) -> None:
    connection.sendall(b"220 mail.example ESMTP ready\r\n")


def slam(connection: socket.socket) -> None:
    connection.recv(1)


def look(address: str, patience: float = 2.0) -> Answer:
    return what_answers(parse_address(address, "registry"), patience)


@contextmanager
def another_grpc_server() -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(1))
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield address
    finally:
        server.stop(None).wait()


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize(
    ("server", "kind", "words"),
    [
        (http1, "http1", "an HTTP server answers at {}, not gRPC"),
        (tls_alert, "tls", "{} speaks TLS, but this client does not"),
        (greeting, "other", "the program that listens at {} is not a gRPC server"),
        (slam, "closed", "{} accepts connections and closes them without an answer"),
    ],
)
def test_the_look_says_what_is_there(server: Callable[[socket.socket], None], kind: str, words: str) -> None:
    with listening(server) as address:
        found = look(address)
    assert found.kind == kind
    assert words.format(address) in found.words


def test_a_server_that_says_nothing_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = look(f"127.0.0.1:{server.getsockname()[1]}", 0.3)
    assert found.kind == "silent"


def test_a_real_tls_server_is_known_by_its_handshake(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    make = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "1")
    try:
        subprocess.run([*make, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    server = grpc.server(ThreadPoolExecutor(1))
    credentials = grpc.ssl_server_credentials([(key.read_bytes(), certificate.read_bytes())])
    address = f"127.0.0.1:{server.add_secure_port('127.0.0.1:0', credentials)}"
    server.start()
    try:
        assert look(address).kind == "tls"
    finally:
        server.stop(None).wait()


def test_a_grpc_server_a_closed_port_and_a_name_that_is_none(tmp_path: Path) -> None:
    with another_grpc_server() as address:
        assert look(address).kind == "grpc"
    assert look(closed_port()).kind == "refused"
    assert look("no-such-host.invalid:6122").kind in ("unresolved", "unreachable")
    assert "no-such-host.invalid" in look("no-such-host.invalid:6122").words
    assert look(f"unix:{tmp_path}/none.sock").kind == "unreachable"


def test_a_registry_behind_a_unix_socket_is_seen(tmp_path: Path) -> None:
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_insecure_port(f"unix:{tmp_path}/tron.sock")
    server.start()
    try:
        assert look(f"unix:{tmp_path}/tron.sock").kind == "grpc"
    finally:
        server.stop(None).wait()


def test_the_look_names_a_proxy_that_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = closed_port()
    monkeypatch.setenv("http_proxy", f"http://user:secret@{proxy}")
    found = look("registry.example:6122")
    assert found.kind == "proxy"
    assert found.words == (
        f"the proxy http://{proxy} (from http_proxy) refuses connections; set no_proxy=registry.example to bypass it"
    )


def test_the_look_names_a_proxy_that_denies(monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")

    with listening(deny) as proxy:
        monkeypatch.setenv("grpc_proxy", f"http://{proxy}")
        words = look("registry.example:6122").words
    assert "from grpc_proxy" in words
    assert "403 Forbidden" in words


@pytest.mark.parametrize(
    ("serve", "said"),
    [
        (lambda: listening(http1), "an HTTP server answers at"),
        (lambda: listening(tls_alert), "speaks TLS"),
        (another_grpc_server, "does not serve this call"),
    ],
)
def test_an_agent_says_why_it_does_not_start(
    serve: Callable[[], Iterator[str]], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    with serve() as address:  # type: ignore[attr-defined]
        agent = Agent("worker", registry=address, register_timeout=0.1)
        agent.start()
        try:
            wait_until(lambda: said in agent.last_error, 10, said)
            assert agent.state == "starting"
        finally:
            agent.stop()
    [line] = {each.getMessage() for each in caplog.records if each.getMessage().startswith("not_connected")}
    assert said in line
    assert f"registry={address}" in line


def test_an_agent_that_registers_after_all_has_no_error(caplog: pytest.LogCaptureFixture) -> None:
    place = closed_port()
    agent = Agent("worker", registry=place, register_timeout=0.1)
    agent.start()
    try:
        wait_until(lambda: "nothing listens" in agent.last_error, 10, "refused")
        with canned_registry(place):
            assert agent.wait_registered(10)
            wait_until(lambda: agent.last_error == "", 5, "no error")
    finally:
        agent.abandon()


async def test_clients_say_what_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(http1) as address:
        with RegistryClient(address) as client, pytest.raises(RegistryUnavailable, match="an HTTP server answers at"):
            client.get_service("a")
        with MonitorClient(address) as tron, pytest.raises(RegistryUnavailable, match="an HTTP server answers at"):
            tron.get_stats()
        async with AsyncRegistryClient(address) as aio:
            with pytest.raises(RegistryUnavailable, match="an HTTP server answers at"):
                await aio.get_service("a")
    with another_grpc_server() as address:
        with RegistryClient(address) as client:
            with pytest.raises(WrongServer, match=address):
                client.get_service("a")
            with pytest.raises(WrongServer, match=address):  # a watch would wait for it forever
                next(iter(client.watch_services()))
        with MonitorClient(address) as tron, pytest.raises(WrongServer, match=address):
            tron.get_stats()
    proxy = closed_port()
    monkeypatch.setenv("https_proxy", f"http://user:secret@{proxy}")
    with RegistryClient("registry.example:6122") as client, pytest.raises(RegistryUnavailable) as failed:
        client.get_service("a")
    assert f"through the proxy http://{proxy} (from https_proxy)" in str(failed.value)
    assert "secret" not in str(failed.value)


def test_an_address_is_looked_at_once_for_all_who_wait_for_it(caplog: pytest.LogCaptureFixture) -> None:
    asked: list[int] = []

    def count(connection: socket.socket) -> None:
        asked.append(1)
        http1(connection)

    outages = Outages()
    told: list[Answer] = []
    with listening(count) as text, caplog.at_level(logging.ERROR):
        address = parse_address(text, "registry")
        waits = [outages.begin(address, told.append, 0.05) for _ in range(50)]
        wait_until(lambda: len(told) == 50, 10, "everybody was notified")
        for each in waits:
            outages.end(each)
    assert len(asked) == 1
    assert not caplog.records
