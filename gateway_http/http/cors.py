"""Lets pages of any origin read a port, with the headers that the legacy services sent. No request needs a cookie."""

from __future__ import annotations

from gateway_http.http.asgi import App, Message, Receive, Scope, Send, send_bytes

METHODS = b"DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"


class AnyOrigin:
    """Wraps an application. `always`: send the headers also for requests without an origin."""

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

        async def open_to_all(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *allowed]
            await send(message)

        await self._app(scope, receive, open_to_all)
