"""Metrics as a program keeps and serves them: counted in bins, read on its loop, and never a reason to stop."""

from __future__ import annotations

import asyncio
import errno
import socket
import socketserver
import ssl
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog
from cryptography.x509 import load_pem_x509_certificate
from grid_model.access import Grant, Principal, Role
from grid_model.errors import Draining, Unauthenticated

from grid_hosting.credential import Credential
from grid_hosting.security import SecuritySettings
from grid_hosting.telemetry import endpoint, telemetry
from grid_hosting.telemetry.exposition import page_of, render
from grid_hosting.telemetry.histogram import Histogram
from grid_hosting.telemetry.metrics import Metric, counter, gauge, gauges, histogram
from grid_hosting.telemetry.telemetry import Telemetry, read_all
from grid_hosting.transport_security import TransportSecurity
from tests.support.authority import Authority
from tests.support.known import Known
from tests.support.waiting import eventually

ANY = "127.0.0.1:0"


def threads() -> list[threading.Thread]:
    """The threads of this process, without those that wait here for something."""
    return [each for each in threading.enumerate() if not each.name.startswith("asyncio")]


async def thread_ended() -> None:
    """Wait until no thread of this process serves metrics."""
    await eventually(
        lambda: not [each for each in threading.enumerate() if each.name == "metrics"], what="its thread ended"
    )


def page(*metrics: Metric) -> list[str]:
    """The lines of the page that have our values."""
    text, _ = render(page_of(lambda: read_all(metrics)), "")
    return [line for line in text.decode().splitlines() if line.startswith("tron")]


def get(address: str) -> str:
    """The page that is served there."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
    return text


@pytest.fixture
def logged() -> Iterator[list[structlog.typing.EventDict]]:
    """What is logged meanwhile, by any thread."""
    with structlog.testing.capture_logs() as entries:
        yield entries


def test_a_value_on_a_bound_is_in_the_bin_that_ends_there() -> None:
    counted = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 7.0):
        counted.add(value)
    assert page(histogram("tron_x_seconds", "X.", lambda: counted)) == [
        'tron_x_seconds_bucket{le="1.0"} 2.0',
        'tron_x_seconds_bucket{le="2.0"} 3.0',
        'tron_x_seconds_bucket{le="+Inf"} 4.0',
        "tron_x_seconds_count 4.0",
        "tron_x_seconds_sum 10.0",
    ]


def test_a_gauge_without_a_value_has_no_sample() -> None:
    assert page(gauge("tron_x", "X.", lambda: None)) == []


def test_labels_are_written_in_their_order_and_escaped() -> None:
    lines = page(gauges("tron_x", "X.", ("a", "b"), lambda: {("1", 'quote " and\nline'): 2.0}))
    assert lines == ['tron_x{a="1",b="quote \\" and\\nline"} 2.0']


def test_a_metric_that_cannot_be_read_takes_no_other_along(logged: list[structlog.typing.EventDict]) -> None:
    metrics = [counter("tron_bad_total", "Bad.", lambda: 1 / 0), counter("tron_good_total", "Good.", lambda: 1)]
    assert page(*metrics) == ["tron_good_total 1.0"]
    assert [(each["event"], each["metric"]) for each in logged] == [("metric_unreadable", "tron_bad_total")]


async def test_values_are_read_by_the_thread_of_the_loop() -> None:
    seen: list[int] = []
    reads = gauge("tron_x", "X.", lambda: seen.append(threading.get_ident()) or len(seen))  # type: ignore[func-returns-value]
    served = Telemetry("program", [reads], listen=ANY)
    try:
        text = await asyncio.to_thread(get, served.address)
    finally:
        served.close()
    assert "tron_x 1.0" in text
    assert seen == [threading.get_ident()]


async def test_the_page_answers_for_its_names_and_restricts_what_a_browser_may_do_with_it() -> None:
    served = Telemetry("program", [gauge("tron_x", "X.", lambda: 1)], listen=ANY)

    def ask(head: str) -> str:
        host, _, port = served.address.rpartition(":")
        with socket.create_connection((host, int(port)), 10) as client:
            client.sendall(f"GET {head}\r\n\r\n".encode())
            return client.makefile("rb").read().decode()

    refused = {
        "/metrics HTTP/1.1\r\nHost: rebound.test": "421",
        "http://rebound.test/metrics HTTP/1.1\r\nHost: localhost": "421",
        "/metrics HTTP/1.1\r\nHost: localhost\r\nHost: rebound.test": "400",
        "/metrics HTTP/1.1\r\nHost: localhost\r\nHost: localhost": "400",
        "/metrics HTTP/1.1\r\nX: y": "400",
    }
    try:
        for head, status in refused.items():
            answer = await asyncio.to_thread(ask, head)
            assert answer.split(" ")[1] == status, answer
            assert "tron_x" not in answer
            assert "http_hosts" in answer or status == "400"
        for head in (
            "/metrics HTTP/1.1\r\nhost: LOCALHOST:1",
            "/metrics HTTP/1.0",
            "http://localhost/ HTTP/1.1\r\nHost: x",
        ):
            answer = await asyncio.to_thread(ask, head)
            assert "tron_x 1.0" in answer
            for header in ("x-content-type-options: nosniff", "frame-ancestors 'none'", "referrer-policy: no-referrer"):
                assert header in answer
    finally:
        served.close()


async def test_an_address_in_use_is_logged_and_the_program_goes_on(logged: list[structlog.typing.EventDict]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        served = Telemetry("program", [], listen=taken)
        served.close()
    assert served.address == ""
    (line,) = logged
    assert (line["event"], line["log_level"]) == ("metrics_not_served", "error")
    assert taken in line["why"]


async def test_an_empty_address_serves_nothing(logged: list[structlog.typing.EventDict]) -> None:
    served = Telemetry("program", [])
    assert served.address == ""
    served.close()
    assert logged == []


async def test_a_loop_that_is_stuck_fails_the_scrape_and_not_the_next(
    monkeypatch: pytest.MonkeyPatch, logged: list[structlog.typing.EventDict], capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(telemetry, "READ_WITHIN", 0.05)
    served = Telemetry("program", [gauge("tron_x", "X.", lambda: 1)], listen=ANY)
    failed = threading.Event()

    def scrape() -> None:
        try:
            get(served.address)
        except urllib.error.HTTPError:
            failed.set()

    scraper = threading.Thread(target=scrape)
    scraper.start()
    assert failed.wait(10)  # this is the loop's thread: nothing else runs on it meanwhile
    scraper.join()
    assert "metrics_unread" in [each["event"] for each in logged]
    assert "Traceback" not in capfd.readouterr().err
    assert "tron_x 1.0" in await asyncio.to_thread(get, served.address)
    served.close()


async def test_clients_that_say_nothing_take_no_thread_and_only_the_time_of_one_deadline_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(endpoint._Handler, "timeout", 0.05)  # noqa: SLF001 - the deadline, shorter
    served = Telemetry("program", [gauge("tron_x", "X.", lambda: 1)], listen=ANY)
    host, _, port = served.address.rpartition(":")
    before = set(threads())
    with ExitStack() as stack:
        stack.callback(served.close)
        for _ in range(8):
            stack.enter_context(socket.create_connection((host, int(port))))
        text = await asyncio.to_thread(get, served.address)
        assert "tron_x 1.0" in text
        await eventually(lambda: set(threads()) <= before, what="no thread is left of silent clients")


async def test_a_connection_that_cannot_be_accepted_does_not_take_a_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[int] = []

    def refuse(server: object) -> None:
        attempts.append(1)
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(endpoint, "PAUSE", 600.0)
    monkeypatch.setattr(socketserver.TCPServer, "get_request", refuse)
    served = Telemetry("program", [], listen=ANY)
    host, _, port = served.address.rpartition(":")
    with ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(socket.create_connection((host, int(port))))
        await eventually(lambda: attempts, what="an attempt to accept")
        served.close()
        await thread_ended()
        assert len(attempts) <= 2


async def test_nothing_is_served_after_the_end() -> None:
    served = Telemetry("program", [], listen=ANY)
    served.close()
    await thread_ended()
    with pytest.raises(urllib.error.URLError):
        await asyncio.to_thread(get, served.address)


async def test_the_thread_ends_although_new_sockets_have_the_number_of_the_closed_one() -> None:
    between = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # so that the thread is often interrupted between its look at the socket and its wait
    try:
        for _ in range(20):
            served = Telemetry("program", [], listen=ANY)
            served.close()
            with ExitStack() as stack:
                for end in [each for _ in range(4) for each in socket.socketpair()]:
                    stack.enter_context(end)
                await thread_ended()
    finally:
        sys.setswitchinterval(between)


def ask(address: str, *headers: str) -> str:
    """Send one request with these headers; return the answer."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), 10) as client:
        lines = "".join(f"{each}\r\n" for each in ("Host: localhost", *headers))
        client.sendall(f"GET /metrics HTTP/1.1\r\n{lines}\r\n".encode())
        return client.makefile("rb").read().decode()


async def test_with_authentication_a_scrape_needs_a_token_with_the_role_observer() -> None:
    known = Known()
    known.tokens["some"] = Principal("token:some", (Grant(Role.OBSERVER, "own-*"),))
    served = Telemetry("program", [gauge("tron_x", "X.", lambda: 1)], listen=ANY, authority=known)

    asked = {
        (): "401",
        ("Authorization: Bearer wrong",): "401",
        ("Authorization: Basic some",): "401",
        ("Authorization: Bearer some", "Authorization: Bearer some"): "401",
        ("Authorization: Bearer some,Bearer some",): "401",
        ("Authorization: Bearer worker",): "403",
        ("Authorization: Bearer some",): "200",
        ("authorization: bearer reader",): "200",
    }
    try:
        for headers, status in asked.items():
            answer = await asyncio.to_thread(ask, served.address, *headers)
            assert answer.split(" ")[1] == status, answer
            assert ("tron_x 1.0" in answer) == (status == "200")
            assert ("www-authenticate: Bearer" in answer) == (status == "401")
        known.fails = Draining("the registry does not answer")
        assert (await asyncio.to_thread(ask, served.address, "Authorization: Bearer some")).split(" ")[1] == "503"
    finally:
        served.close()


async def test_a_denied_certificate_is_refused_beside_a_token(tmp_path: Path) -> None:
    ca, known = Authority(), Known()
    cert, key = ca.issue().write(tmp_path)
    bundle, client = ca.write(tmp_path), ca.issue("host-1")
    security = TransportSecurity("program", SecuritySettings(cert=cert, key=key, ca=bundle, client_ca=bundle))
    served = Telemetry("program", [gauge("tron_x", "X.", lambda: 1)], listen=ANY, security=security, authority=known)
    trust = ssl.create_default_context(cadata=ca.pem.decode())
    trust.load_cert_chain(*client.write(tmp_path, "client"))

    def status() -> int:
        url = f"https://{served.address}/metrics"
        request = urllib.request.Request(url, headers={"authorization": "Bearer reader"})
        try:
            with urllib.request.urlopen(request, timeout=10, context=trust) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    try:
        assert await asyncio.to_thread(status) == 200
        known.deny(f"{load_pem_x509_certificate(client.cert).serial_number:x}")
        assert await asyncio.to_thread(status) == 401
    finally:
        served.close()


@dataclass
class Delaying(Known):
    """An authority that delays the refusals of an address without end."""

    async def identify(self, credential: Credential, peer: str) -> Principal:
        """Return the principal of a known credential."""
        try:
            return await super().identify(credential, peer)
        except Unauthenticated:
            if peer:
                await asyncio.Event().wait()
            raise


async def test_wrong_tokens_delay_no_scrape_of_others() -> None:
    served = Telemetry("program", [gauge("tron_x", "X.", lambda: 1)], listen=ANY, authority=Delaying())
    try:
        for token, status in (("wrong", "401"), ("reader", "200")):
            answer = await asyncio.to_thread(ask, served.address, f"Authorization: Bearer {token}")
            assert answer.split(" ")[1] == status
    finally:
        served.close()


async def test_a_client_that_sends_its_request_bit_by_bit_delays_others_for_a_bounded_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(endpoint, "ANSWER_WITHIN", 0.2)
    served = Telemetry("program", [gauge("tron_x", "X.", lambda: 1)], listen=ANY)
    ended = threading.Event()

    def trickle(client: socket.socket) -> None:
        with suppress(OSError):
            client.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
            while not ended.wait(0.05):
                client.sendall(b"x")

    host, _, port = served.address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), 10) as client:
            trickling = threading.Thread(target=trickle, args=(client,))
            trickling.start()
            assert (await asyncio.to_thread(ask, served.address)).split(" ")[1] == "200"
            ended.set()
            await asyncio.to_thread(trickling.join)
    finally:
        ended.set()
        served.close()
