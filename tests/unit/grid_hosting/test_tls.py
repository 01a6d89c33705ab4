"""Certificates of ports: files that cannot be used stop the start; renewed files are used, and broken ones are not."""

from __future__ import annotations

import ssl
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from grid_hosting.grpc_server import BoundServer, build_server
from grid_hosting.security import SecuritySettings
from grid_hosting.start import StartError
from grid_hosting.telemetry import endpoint
from grid_hosting.telemetry.endpoint import Endpoint
from grid_hosting.tls import ServerTls
from grid_hosting.transport_security import TransportSecurity
from tests.support.authority import NOW, Authority, Issued

CA = Authority()


def settings_for(folder: Path, issued: Issued | None = None, client_ca: Path | None = None) -> SecuritySettings:
    """Write a certificate, and return the settings that name it."""
    cert, key = (issued or CA.issue()).write(folder)
    return SecuritySettings(cert=cert, key=key, ca=CA.write(folder), client_ca=client_ca)


def served_serial(address: str) -> int:
    """The serial number of the certificate that a server presents to a new connection."""
    from cryptography.x509 import load_pem_x509_certificate

    host, _, port = address.rpartition(":")
    return load_pem_x509_certificate(ssl.get_server_certificate((host, int(port))).encode()).serial_number


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of metrics ends a handshake after five seconds: on a machine with more to do, that is soon."""
    monkeypatch.setattr(endpoint, "ANSWER_WITHIN", 60.0)
    monkeypatch.setattr(endpoint._Handler, "timeout", 60.0)  # noqa: SLF001


@contextmanager
def metrics_page(security: TransportSecurity) -> Iterator[str]:
    """Serve an empty page of metrics; yield its address."""
    page = Endpoint("127.0.0.1:0", CollectorRegistry(), security)
    try:
        yield page.address
    finally:
        page.close()


def read_page(address: str, **files: Path) -> int:
    """Read the page over TLS; return the status."""
    context = ssl.create_default_context(cadata=CA.pem.decode())
    if files:
        context.load_cert_chain(files["cert"], files["key"])
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    with opener.open(f"https://{address}/metrics", timeout=60) as answer:
        return int(answer.status)


@pytest.mark.parametrize("setting", ["cert", "key", "client_ca", "ca"])
def test_a_file_that_cannot_be_read_is_named_with_its_setting(tmp_path: Path, setting: str) -> None:
    settings = settings_for(tmp_path).model_copy(update={setting: tmp_path / "missing.pem"})
    with pytest.raises(StartError, match=rf"^\[security\] {setting}: .*missing\.pem: No such file or directory$"):
        ServerTls(settings)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620])
def test_a_key_that_others_may_read_or_write_is_refused(tmp_path: Path, mode: int) -> None:
    settings = settings_for(tmp_path)
    assert settings.key is not None
    settings.key.chmod(mode)
    with pytest.raises(StartError, match=rf"key: .* is accessible to users other than its owner \(mode {mode:04o}\)"):
        ServerTls(settings)


def test_a_bundle_without_certificates_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").touch()
    with pytest.raises(StartError, match=r"\[security\] client_ca: .*empty\.pem is empty"):
        ServerTls(settings_for(tmp_path, client_ca=tmp_path / "empty.pem"))


def test_a_certificate_without_a_bundle_for_our_own_clients_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRON_CA", raising=False)
    settings = settings_for(tmp_path).model_copy(update={"ca": None})
    with pytest.raises(StartError, match=r"\[security\] ca: is missing"):
        TransportSecurity("the registry", settings)


def test_renewed_files_are_used_once_they_have_settled(tmp_path: Path) -> None:
    security = TransportSecurity("the registry", settings_for(tmp_path))
    assert security.tls is not None
    with metrics_page(security) as address, capture_logs() as logged:
        first = served_serial(address)
        CA.issue().write(tmp_path)
        security.tls.look()
        assert served_serial(address) == first, "the files may still be changing"
        security.tls.look()
        assert served_serial(address) != first
    assert [each["event"] for each in logged if each["event"].startswith("tls_")] == ["tls_reloaded"]


def test_broken_files_leave_the_certificate_in_use_and_are_counted_once(tmp_path: Path) -> None:
    security = TransportSecurity("the registry", settings_for(tmp_path))
    assert security.tls is not None
    with metrics_page(security) as address, capture_logs() as logged:
        first = served_serial(address)
        Issued(CA.issue().cert, CA.issue().key).write(tmp_path)
        for _ in range(5):
            security.tls.look()
        assert served_serial(address) == first
        assert security.tls.reload_failures == 1
        CA.issue().write(tmp_path)
        for _ in range(2):
            security.tls.look()
        assert served_serial(address) != first
    assert [each["event"] for each in logged if each["event"].startswith("tls_")] == [
        "tls_reload_failed",
        "tls_reloaded",
    ]


def test_a_certificate_that_is_not_valid_yet_is_used_once_it_is(tmp_path: Path) -> None:
    now = [NOW]
    tls = ServerTls(settings_for(tmp_path), lambda: now[0])
    CA.issue(begin=NOW + timedelta(hours=1)).write(tmp_path)
    with capture_logs() as logged:
        for _ in range(3):
            tls.look()
        assert (tls.reload_failures, [each["event"] for each in logged]) == (1, ["tls_reload_failed"])
        now[0] += timedelta(hours=2)
        tls.look()
    assert [each["event"] for each in logged] == ["tls_reload_failed", "tls_reloaded"]


def test_the_end_is_warned_of_at_14_and_at_3_days_once_each(tmp_path: Path) -> None:
    now = [NOW]
    tls = ServerTls(settings_for(tmp_path, CA.issue(end=NOW + timedelta(days=30))), lambda: now[0])
    with capture_logs() as logged:
        for _ in range(31 * 4):
            tls.warn_of_end()
            now[0] += timedelta(hours=6)
    assert [(each["event"], each.get("within_days")) for each in logged] == [
        ("tls_certificate_ends_soon", 14),
        ("tls_certificate_ends_soon", 3),
        ("tls_certificate_expired", None),
    ]


def test_the_page_of_metrics_speaks_tls_and_asks_for_client_certificates(tmp_path: Path) -> None:
    with metrics_page(TransportSecurity("the registry", settings_for(tmp_path))) as address:
        assert read_page(address) == 200
        with pytest.raises(OSError):  # noqa: PT011 - a reset or a closed connection
            urllib.request.urlopen(f"http://{address}/metrics", timeout=10)
        assert read_page(address) == 200
    mutual = settings_for(tmp_path, client_ca=CA.write(tmp_path))
    cert, key = CA.issue("prometheus").write(tmp_path, "client")
    other_cert, other_key = Authority("other").issue("prometheus").write(tmp_path, "other")
    with metrics_page(TransportSecurity("the registry", mutual)) as address:
        assert read_page(address, cert=cert, key=key) == 200
        for files in ({}, {"cert": other_cert, "key": other_key}):
            with pytest.raises(OSError):  # noqa: PT011 - TLS 1.3 tells the client late, and in several ways
                read_page(address, **files)


def test_clients_of_an_authority_that_was_removed_are_refused_by_http(tmp_path: Path) -> None:
    other = Authority("other")
    mutual = settings_for(tmp_path, client_ca=other.write(tmp_path, "clients"))
    cert, key = other.issue("prometheus").write(tmp_path, "client")
    security = TransportSecurity("the registry", mutual)
    assert security.tls is not None
    with metrics_page(security) as address:
        assert read_page(address, cert=cert, key=key) == 200
        CA.write(tmp_path, "clients")
        for _ in range(2):
            security.tls.look()
        with pytest.raises(OSError):  # noqa: PT011 - as above
            read_page(address, cert=cert, key=key)


def health_server(security: TransportSecurity) -> BoundServer:
    """A gRPC server that answers health checks."""

    def register(server: grpc.aio.Server) -> None:
        health_pb2_grpc.add_HealthServicer_to_server(HealthServicer(), server)

    return build_server(
        "127.0.0.1:0",
        register=register,
        services=("grpc.health.v1.Health",),
        max_message_bytes=1 << 16,
        credentials=security.grpc_credentials(),
    )


async def check(channel: grpc.aio.Channel) -> int:
    """Ask for the health of the server itself."""
    answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
    return int(answer.status)


async def test_grpc_uses_renewed_files_for_new_connections_and_open_streams_go_on(tmp_path: Path) -> None:
    security = TransportSecurity("the registry", settings_for(tmp_path))
    assert security.tls is not None
    bound = health_server(security)
    await bound.server.start()
    try:
        credentials = grpc.ssl_channel_credentials(CA.pem)
        async with grpc.aio.secure_channel(bound.address, credentials) as channel:
            stream = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            assert (await stream.read()).status == health_pb2.HealthCheckResponse.SERVING
            serials = {served_serial(bound.address)}
            CA.issue().write(tmp_path)
            for _ in range(2):
                security.tls.look()
            serials.add(served_serial(bound.address))
            assert len(serials) == 2
            Issued(CA.issue().cert, CA.issue().key).write(tmp_path)
            for _ in range(2):
                security.tls.look()
            assert served_serial(bound.address) in serials
            assert await check(channel) == health_pb2.HealthCheckResponse.SERVING
            assert not stream.done(), "the renewal does not end open streams"
            stream.cancel()
        async with grpc.aio.insecure_channel(bound.address) as plain:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await check(plain)
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    finally:
        await bound.server.stop(0)


async def test_grpc_requires_a_client_certificate_of_the_bundle(tmp_path: Path) -> None:
    security = TransportSecurity("the registry", settings_for(tmp_path, client_ca=CA.write(tmp_path, "clients")))
    bound = health_server(security)
    await bound.server.start()
    good, bad = CA.issue("agent"), Authority("other").issue("agent")
    try:
        async with grpc.aio.secure_channel(
            bound.address, grpc.ssl_channel_credentials(CA.pem, good.key, good.cert)
        ) as channel:
            assert await check(channel) == health_pb2.HealthCheckResponse.SERVING
        for credentials in (
            grpc.ssl_channel_credentials(CA.pem),
            grpc.ssl_channel_credentials(CA.pem, bad.key, bad.cert),
        ):
            async with grpc.aio.secure_channel(bound.address, credentials) as channel:
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await check(channel)
                assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    finally:
        await bound.server.stop(0)
