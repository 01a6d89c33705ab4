"""Connects all HTTP clients of the programs through the proxy that environment variables set, except to addresses of
this machine."""

from __future__ import annotations

import os
import ssl
from collections.abc import MutableMapping

import httpx2
from tron_client.proxy import Proxy, http_proxy

MOST_PROXIES = 8
"""Maximum number of proxies whose connections are kept; the environment sets one or two. Overflow rule: all connections
are closed, and opened again when they are needed."""


class ProxyTransport(httpx2.AsyncBaseTransport):
    """Sends each request directly or through a proxy, as `tron_client.proxy` decides. The messages of errors include
    the proxy."""

    def __init__(self, trust: ssl.SSLContext | None = None) -> None:
        """`trust` verifies the certificates of servers; if it is None, the public CAs are trusted."""
        self._verify: ssl.SSLContext | bool = True if trust is None else trust
        self._direct = httpx2.AsyncHTTPTransport(verify=self._verify)
        self._by_proxy: dict[str, httpx2.AsyncHTTPTransport] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request, and return the response. Raises httpx2.TransportError, whose message includes the proxy if
        one was used."""
        proxy = http_proxy(str(request.url), os.environ)
        if proxy is None:
            return await self._direct.handle_async_request(request)
        try:
            return await (await self._through(proxy)).handle_async_request(request)
        except (httpx2.TransportError, ImportError, ValueError) as error:
            said = f"{type(error).__name__}: {error}".rstrip(": ")
            raise httpx2.ProxyError(f"{said} (through {proxy})", request=request) from error

    async def aclose(self) -> None:
        """Close all connections."""
        await self._direct.aclose()
        await self._close_proxies()

    async def _through(self, proxy: Proxy) -> httpx2.AsyncHTTPTransport:
        if proxy.url not in self._by_proxy:
            if len(self._by_proxy) >= MOST_PROXIES:
                await self._close_proxies()
            self._by_proxy[proxy.url] = httpx2.AsyncHTTPTransport(verify=self._verify, proxy=proxy.url)
        return self._by_proxy[proxy.url]

    async def _close_proxies(self) -> None:
        for each in self._by_proxy.values():
            await each.aclose()
        self._by_proxy.clear()


def spare_loopback(environ: MutableMapping[str, str]) -> None:
    """Add the addresses of this machine to the variable `no_proxy`, for a library that reads only the environment
    (Apprise, through requests)."""
    found = next((name for name in ("no_proxy", "NO_PROXY") if name in environ), "no_proxy")
    given = environ.get(found, "")
    entries = [each.strip() for each in given.split(",") if each.strip()]
    if "*" in entries:
        return
    environ[found] = ",".join(dict.fromkeys([*entries, "localhost", "127.0.0.1", "127.0.0.0/8", "::1"]))
