"""Adds CORS headers, so that pages of other origins may read a port: either pages of any origin, as in the legacy
services, or pages of listed origins. Requests of these pages never use a session cookie."""

from __future__ import annotations

from collections.abc import Iterable

from gateway_http.http.asgi import App, Receive, Scope, Send, headers_of, send_bytes, with_headers

METHODS = b"DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"


class AnyOrigin:
    """Wraps an application so that pages of any origin may read it. `always`: add the CORS headers even if a request
    has no Origin header."""

    def __init__(self, app: App, *, always: bool = False) -> None:
        self._app = app
        self._always = always

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request. A preflight request is answered here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = dict(scope["headers"])
        if b"origin" not in asked and not self._always:
            await self._app(scope, receive, send)
            return
        allowed = [(b"access-control-allow-origin", b"*")]
        if not self._always:
            allowed.append((b"access-control-allow-credentials", b"true"))
        if scope["method"] == "OPTIONS" and b"access-control-request-method" in asked:
            wanted = asked.get(b"access-control-request-headers", b"*")
            preflight = ((b"access-control-allow-methods", METHODS), (b"access-control-allow-headers", wanted))
            await send_bytes(send, b"OK", (*allowed, *preflight, (b"access-control-max-age", b"600")))
            return

        await self._app(scope, receive, with_headers(send, tuple(allowed)))


class ListedOrigins:
    """Wraps the application of a port with authentication so that pages of the listed origins may read it. These pages
    must send a token: the CORS headers do not let them use a session cookie."""

    def __init__(self, app: App, origins: Iterable[str]) -> None:
        self._app = app
        self._origins = frozenset(each.encode() for each in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request. A preflight request, which has no credential, is answered here."""
        asked = headers_of(scope, {b"origin", b"access-control-request-method"}) if scope["type"] == "http" else {}
        origins = asked.get(b"origin", [])
        if len(origins) != 1 or origins[0] not in self._origins:
            await self._app(scope, receive, send)
            return
        allowed = ((b"access-control-allow-origin", origins[0]), (b"vary", b"origin"))
        if scope["method"] == "OPTIONS" and b"access-control-request-method" in asked:
            headers = (b"access-control-allow-headers", b"authorization, content-type, last-event-id")
            preflight = ((b"access-control-allow-methods", METHODS), headers)
            await send_bytes(send, b"", (*allowed, *preflight, (b"access-control-max-age", b"600")), 204)
            return

        await self._app(scope, receive, with_headers(send, allowed))
