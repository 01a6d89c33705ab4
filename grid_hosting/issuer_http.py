"""Sends requests to token issuers: over TLS, with limits for time and size, and without following redirects, which
could lead elsewhere."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import httpx2
from tron_client.schedule import Backoff

from grid_hosting.http_transport import ProxyTransport
from grid_hosting.start import StartError, absolute, reason

ANSWER_WITHIN = 10.0
"""Timeout in seconds for one request, including the whole answer."""

LONGEST_PAUSE = 60.0
"""Approximate maximum number of seconds until a failed request is repeated."""


class IssuerUnreachableError(Exception):
    """An issuer did not answer, or its answer was not valid. The message has the reason, but no content of the
    answer."""


class IssuerHttp:
    """An HTTP client for one issuer. Raises StartError, with the name of the setting, if its CA bundle cannot be
    used."""

    def __init__(self, ca: Path | None, setting: str) -> None:
        """`ca` is the path of a CA bundle; if it is None, the public CAs are trusted. `setting` is the name of that
        setting."""
        trust: ssl.SSLContext | None = None
        if ca is not None:
            try:
                trust = ssl.create_default_context(cafile=str(ca))
            except ssl.SSLError:
                raise StartError(f"{setting}: {absolute(ca)} contains no certificate in PEM format") from None
            except OSError as error:
                raise StartError(f"{setting}: {absolute(ca)}: {reason(error)}") from error
        self._client = httpx2.AsyncClient(
            timeout=ANSWER_WITHIN,
            headers={"user-agent": "tron-grid", "accept": "application/json", "accept-encoding": "identity"},
            transport=ProxyTransport(trust),
        )

    async def get(self, url: str, most: int) -> bytes:
        """Request a URL, and return the body of the answer. Raises IssuerUnreachableError, also if the status is not
        200 or the body is longer than `most` bytes."""
        status, body = await self._send("GET", url, most)
        if status != 200:
            raise IssuerUnreachableError(f"{url} answered with status {status}")
        return body

    async def post(
        self, url: str, form: Mapping[str, str], most: int, basic: tuple[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Send a form, and return the status and the body of the answer. `basic` is a name and a password for HTTP
        Basic. Raises IssuerUnreachableError, also if the body is longer than `most` bytes."""
        return await self._send("POST", url, most, form, basic)

    async def repeat(self, fetch: Callable[[], Awaitable[bool]], every: float) -> None:
        """Call `fetch` at once and then about every `every` seconds, or sooner after a failure, until cancelled; then
        close the connections. `fetch` returns whether its request succeeded."""
        backoff = Backoff(base=1.0, cap=LONGEST_PAUSE)
        try:
            while True:
                if await fetch():
                    backoff.reset()
                    await asyncio.sleep(every * random.uniform(0.8, 1.0))
                else:
                    await asyncio.sleep(1.0 + backoff.next_delay(random.random()))
        finally:
            await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _send(
        self,
        method: str,
        url: str,
        most: int,
        form: Mapping[str, str] | None = None,
        basic: tuple[str, str] | None = None,
    ) -> tuple[int, bytes]:
        body = bytearray()
        data = None if form is None else dict(form)
        try:
            async with (
                asyncio.timeout(ANSWER_WITHIN),
                self._client.stream(method, url, data=data, auth=basic) as response,
            ):
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > most:
                        raise IssuerUnreachableError(f"the answer of {url} is longer than {most} bytes")
        except TimeoutError:
            raise IssuerUnreachableError(f"{url} did not answer within {ANSWER_WITHIN:g} s") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, ssl.SSLError, OSError, ValueError) as error:
            raise IssuerUnreachableError(f"{url}: {type(error).__name__}: {error}".rstrip(": ")) from None
        return response.status_code, bytes(body)
