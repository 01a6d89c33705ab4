"""Processes every request on every port before the application handles it.

Every route that answers GET also answers HEAD. A path with an extra slash is redirected to a relative address, which is
correct behind any proxy. A compressed body is decompressed for the application. A path prefix that a proxy did not
remove is removed.
"""

from __future__ import annotations

import asyncio

from starlette.exceptions import HTTPException

from gateway_http.http.asgi import App, Message, Receive, Scope, Send, is_json, send_bytes
from gateway_http.http.coding import (
    UNDERSTOOD,
    Decoder,
    TooLarge,
    Unreadable,
    charset_of,
    codec_of,
    codings_of,
    is_understood,
)

_BODIES = (b"content-encoding", b"content-length")
SOCKET_IO = "/socket.io/"


class Front:
    """Wraps the application of one port: answers HEAD, makes redirects relative, decompresses bodies, and removes the
    path prefix."""

    def __init__(self, app: App, max_body_bytes: int, root_path: str = "") -> None:
        """`root_path`: the path prefix under which a proxy serves this port; it is removed from requests that still
        have it."""
        self._app = app
        self._most = max_body_bytes
        self._root = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Process one request and pass it on to the application."""
        if self._root and scope["type"] != "lifespan":
            if scope["path"] == self._root and scope["type"] == "http":
                # Relative addresses on the page need the slash.
                location = self._root.rpartition("/")[2].encode() + b"/"
                await send_bytes(send, b"", ((b"location", location),), 307)
                return
            scope = self._below_root(scope)
        if scope["type"] != "http" or scope["path"].startswith(SOCKET_IO):
            await self._app(scope, receive, send)
            return
        if scope["path"].endswith("/") and scope["path"] != "/":
            send = _redirecting_to(_location(scope, self._root), send)
        method = scope["method"]
        if method == "HEAD":
            await self._head(scope, send)
            return
        if method not in ("GET", "OPTIONS"):
            headers = dict(scope["headers"])
            if b"content-encoding" in headers or charset_of(headers.get(b"content-type", b"")) not in ("", "utf-8"):
                scope, receive = self._plain(scope, receive)
        await self._app(scope, receive, send)

    def _below_root(self, scope: Scope) -> Scope:
        """Return the request without the prefix; unchanged if the proxy removed it."""
        path, raw = scope["path"], scope["raw_path"]
        root = self._root.encode()
        if not path.startswith(self._root + "/") or not raw.startswith(root + b"/"):
            return scope
        return {**scope, "path": path[len(self._root) :], "raw_path": raw[len(root) :]}

    async def _head(self, scope: Scope, send: Send) -> None:
        """Send the status and the headers of the answer to GET, without a body; an endless answer ends at once."""
        answered = asyncio.Event()
        asked = False

        async def receive() -> Message:
            nonlocal asked
            if not asked:
                asked = True
                return {"type": "http.request", "body": b"", "more_body": False}
            await answered.wait()
            return {"type": "http.disconnect"}

        async def headers_only(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b""})
                answered.set()

        await self._app({**scope, "method": "GET"}, receive, headers_only)

    def _plain(self, scope: Scope, receive: Receive) -> tuple[Scope, Receive]:
        """Return the request with its body as plain UTF-8. Errors are raised when the body is read."""
        headers = [(name, value) for name, value in scope["headers"] if name not in _BODIES]
        codings = codings_of(value for name, value in scope["headers"] if name == b"content-encoding")
        charset = _charset(scope)
        codec = codec_of(charset) if is_json(scope) else ""
        decoder = Decoder(codings[0], self._most) if len(codings) == 1 and is_understood(codings[0]) else None

        async def plain() -> Message:
            if codings and decoder is None:
                raise HTTPException(
                    415,
                    f"content-encoding {', '.join(codings)!r} is not supported; use one of {', '.join(UNDERSTOOD)}",
                    {"Accept-Encoding": ", ".join(UNDERSTOOD)},
                )
            if codec is None:
                raise HTTPException(415, f"charset {charset!r} is not supported; send JSON in UTF-8")
            message = await receive()
            if message["type"] != "http.request":
                return message
            body: bytes = message.get("body", b"")
            try:
                if decoder is not None:
                    body = decoder.feed(body)
                    if not message.get("more_body", False):
                        decoder.end()
            except TooLarge:
                raise HTTPException(413, "Content Too Large") from None
            except Unreadable as error:
                raise HTTPException(400, str(error)) from None
            if codec:
                body = body.decode(codec, "replace").encode()
            return {**message, "body": body}

        return {**scope, "headers": headers}, plain


def _charset(scope: Scope) -> str:
    return next((charset_of(value) for name, value in scope["headers"] if name == b"content-type"), "")


def _location(scope: Scope, root_path: str) -> bytes:
    """Return the path without its last slash, relative to the path, which is correct behind any proxy, with TLS or an
    unknown prefix. Clients resolve several slashes differently, so such an address is absolute."""
    raw: bytes = scope["raw_path"]
    path = raw.rstrip(b"/")
    if len(raw) - len(path) == 1:
        location = b"../" + path.rpartition(b"/")[2]
    else:
        location = root_path.encode() + b"/" + path.lstrip(b"/")
    return location + (b"?" + scope["query_string"] if scope["query_string"] else b"")


def _redirecting_to(location: bytes, send: Send) -> Send:
    async def redirecting(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 307:
            headers = [(name, location if name == b"location" else value) for name, value in message["headers"]]
            message = {**message, "headers": headers}
        await send(message)

    return redirecting
