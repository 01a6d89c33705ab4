"""Strangers cannot fill the log: what they can cause is logged at most once a minute."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from grid_hosting.rare_lines import EVERY, RareLines, RareTexts
from grid_hosting.telemetry import endpoint
from grid_hosting.telemetry.endpoint import Endpoint


def test_one_line_of_each_kind_in_a_minute() -> None:
    now = 5.0
    lines = RareLines(lambda: now)
    assert [lines.is_due("a"), lines.is_due("a"), lines.is_due("b")] == [True, False, True]
    now += EVERY - 1
    assert not lines.is_due("a")
    now += 1
    assert [lines.is_due("a"), lines.is_due("a")] == [True, False]


def test_other_texts_are_not_limited() -> None:
    rare = RareTexts(["Invalid."])

    def logged(text: str) -> bool:
        return rare.filter(logging.LogRecord("x", logging.WARNING, "", 1, text, (), None))

    assert [logged("Invalid."), logged("Invalid."), logged("other"), logged("other")] == [True, False, True, True]


@pytest.fixture
def address() -> Iterator[tuple[str, int]]:
    """The address of an empty page of metrics."""
    page = Endpoint("127.0.0.1:0", CollectorRegistry())
    host, _, port = page.address.rpartition(":")
    try:
        yield host, int(port)
    finally:
        page.close()


def ask(address: tuple[str, int], target: str) -> bytes:
    """Send a request with this target; return all of the answer."""
    with socket.create_connection(address, timeout=60) as client:
        client.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: client.recv(1 << 16), b""))


@pytest.mark.parametrize("target", ["http://[", "http://[::1", "http://a]/", "http://\u2100/", "x", "*", "http://evil"])
def test_a_target_that_is_no_address_of_the_page_is_answered_and_not_logged(
    target: str, address: tuple[str, int]
) -> None:
    with capture_logs() as logged:
        assert ask(address, target).split()[1] in (b"400", b"421")
        assert ask(address, "http://localhost/metrics").split()[1] == b"200"
    assert not logged


def test_an_error_of_the_page_is_logged_once_in_a_minute(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(endpoint, "with_asked_host", broken)
    with capture_logs() as logged:
        for _ in range(5):
            assert ask(address, "/metrics") == b""
    assert [each["event"] for each in logged] == ["scrape_broken"]
