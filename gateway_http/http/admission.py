"""The layer around every port: refuses requests that the rules of `grid_hosting.http_rules` do not admit, and adds the
headers that restrict what a browser may do with an answer."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from gateway_http.http.asgi import App, Message, Receive, Scope, Send, send_bytes
from grid_hosting.http_rules import HEADERS, READ, SAFE_METHODS, HttpRules, Refusal

STREAMS = ("/v1/stream", "/events/stream")
"""The ends of the paths at which streams are served. Pages of other sites may not open them."""

SOCKET_IO = "/socket.io"

PROBLEM = (b"content-type", b"application/problem+json")


class Admission:
    """Wraps the application of one port."""

    def __init__(self, app: App, rules: HttpRules) -> None:
        self._app = app
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request or connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        send = _with_headers(send)
        asked: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            if name in READ:
                asked.setdefault(name, []).append(value)
        client = scope.get("client")
        refusal = self._rules.refuse(
            asked, client=client[0] if client else "", version=scope["http_version"], acts=_acts(scope)
        )
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await _refuse(scope, receive, send, refusal)


def problem_body(refusal: Refusal) -> bytes:
    """Return the body of a refusal, in the format of RFC 9457 with the field `reason`."""
    document = {
        "type": "about:blank",
        "title": HTTPStatus(refusal.status).phrase,
        "status": refusal.status,
        "detail": refusal.detail,
        "reason": refusal.reason,
        "errors": [],
    }
    return json.dumps(document, ensure_ascii=False).encode()


def _acts(scope: Scope) -> bool:
    """Return whether a request changes something or opens a stream."""
    if scope["type"] != "http" or scope["method"] not in SAFE_METHODS:
        return True
    path: str = scope["path"]
    return scope["method"] != "OPTIONS" and (path.rstrip("/").endswith(STREAMS) or SOCKET_IO in path)


async def _refuse(scope: Scope, receive: Receive, send: Send, refusal: Refusal) -> None:
    body = problem_body(refusal)
    if scope["type"] == "http":
        await send_bytes(send, body, (PROBLEM,), refusal.status)
        return
    await receive()  # the handshake
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008, "reason": refusal.detail[:120]})
        return
    await send(
        {
            "type": "websocket.http.response.start",
            "status": refusal.status,
            "headers": [PROBLEM, (b"content-length", b"%d" % len(body))],
        }
    )
    await send({"type": "websocket.http.response.body", "body": body})


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            given: list[Any] = list(message.get("headers", ()))
            names = {name for name, _ in given}
            given += [each for each in HEADERS if each[0] not in names]
            message = {**message, "headers": given}
        await send(message)

    return send_with_headers
