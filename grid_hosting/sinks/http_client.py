"""The HTTP client that all sinks of a program share, and what HTTP answers mean for a notice."""

from __future__ import annotations

import time
from collections.abc import Mapping

import httpx2

from grid_hosting.http_transport import ProxyTransport
from grid_hosting.sinks import SinkRefused, SinkUnavailable
from grid_hosting.sinks.retry import Answer, answer_of, asked_pause

READ_AT_MOST = 64 << 10
"""Maximum number of bytes of an answer that are read, so that a receiver cannot fill our memory. After a longer answer,
the connection is closed."""

SHOWN = 200
"""Maximum number of characters of an answer that are shown in the log."""


def open_client(timeout: float) -> httpx2.AsyncClient:
    """Return a client that verifies TLS certificates with the system's trust store and follows no redirects. `timeout`
    limits each step of a request, in seconds.

    The client uses the proxy of the environment, but never for this machine.
    """
    return httpx2.AsyncClient(timeout=timeout, headers={"user-agent": "tron-grid"}, transport=ProxyTransport())


async def request(
    client: httpx2.AsyncClient, method: str, url: str, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> None:
    """Send a request, and wait for the answer. Raises SinkUnavailable or SinkRefused, with the receiver's text, unless
    the receiver answered 2xx."""
    try:
        async with client.stream(method, url, content=body, headers=headers) as response:
            said = await _beginning(response)
    except httpx2.HTTPError as error:
        raise SinkUnavailable(f"{type(error).__name__}: {error}".rstrip(": ")) from error
    answer = answer_of(response.status_code)
    if answer is Answer.DELIVERED:
        return
    why = f"HTTP {response.status_code} {response.reason_phrase}".rstrip() + (f": {said}" if said else "")
    if answer is Answer.REFUSED:
        raise SinkRefused(why)
    raise SinkUnavailable(why, asked_pause(response.headers.get("retry-after"), time.time()))


async def _beginning(response: httpx2.Response) -> str:
    """Return the first words of an answer, on one line."""
    read = b""
    async for chunk in response.aiter_raw():
        read += chunk
        if len(read) > READ_AT_MOST:
            break
    return " ".join(read[: 4 * SHOWN].decode(errors="replace").split())[:SHOWN]
