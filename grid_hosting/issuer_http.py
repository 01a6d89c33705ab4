"""Requests to the issuers of tokens: over TLS, bounded in time and size, and without redirects, which could lead
elsewhere."""

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
"""Seconds for one answer, from the first byte of the request to its last."""

LONGEST_PAUSE = 60.0
"""Seconds at most until a request that failed is repeated."""


class IssuerUnreachableError(Exception):
    """An issuer did not answer, or not as it must. The text says why, and has nothing of the answer."""


class IssuerHttp:
    """A client for one issuer. Raises StartError, which names the setting, for a CA bundle that cannot be used."""

    def __init__(self, ca: Path | None, setting: str) -> None:
        """`ca`: a CA bundle; None: the public CAs. `setting`: the name of the setting."""
        trust: ssl.SSLContext | None = None
        if ca is not None:
            try:
                trust = ssl.create_default_context(cafile=str(ca))
            except ssl.SSLError:
                raise StartError(f"{setting}: {absolute(ca)} has no certificate in PEM") from None
            except OSError as error:
                raise StartError(f"{setting}: {absolute(ca)}: {reason(error)}") from error
        self._client = httpx2.AsyncClient(
            timeout=ANSWER_WITHIN,
            headers={"user-agent": "tron-grid", "accept": "application/json", "accept-encoding": "identity"},
            transport=ProxyTransport(trust),
        )

    async def get(self, url: str, most: int) -> bytes:
        """Return the body of an answer 200, of at most `most` bytes. Raises IssuerUnreachableError."""
        status, body = await self._send("GET", url, most)
        if status != 200:
            raise IssuerUnreachableError(f"{url} answers {status}")
        return body

    async def post(
        self, url: str, form: Mapping[str, str], most: int, basic: tuple[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Return the status and the body, of at most `most` bytes, of the answer to a form. `basic`: a name and a
        password for HTTP Basic. Raises IssuerUnreachableError."""
        return await self._send("POST", url, most, form, basic)

    async def repeat(self, fetch: Callable[[], Awaitable[bool]], every: float) -> None:
        """Call `fetch` at once and then about every `every` seconds, sooner after a failure, until cancelled; then
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
            raise IssuerUnreachableError(f"{url} has not answered within {ANSWER_WITHIN:g} s") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, ssl.SSLError, OSError, ValueError) as error:
            raise IssuerUnreachableError(f"{url}: {type(error).__name__}: {error}".rstrip(": ")) from None
        return response.status_code, bytes(body)
