"""Helpers to handle very frequent requests directly through ASGI; all other requests go through FastAPI."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = tuple[tuple[bytes, bytes], ...]

CERTIFICATE_SERIAL = "certificate_serial"
"""The key under which the state of a scope holds the serial number of the client certificate of the connection."""

JSON_TYPE = (b"content-type", b"application/json")


async def send_bytes(send: Send, body: bytes, headers: Headers = (JSON_TYPE,), status: int = 200) -> None:
    """Send a complete response: the status, the headers with an added Content-Length, and the body."""
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


def with_headers(send: Send, added: Headers = (), defaults: Headers = ()) -> Send:
    """Return an ASGI `send` that adds headers to the response: all of `added`, and each of `defaults` that the response
    does not have yet."""

    def send_with_headers(message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            given = [*message.get("headers", ()), *added]
            names = {name for name, _ in given}
            given += [each for each in defaults if each[0] not in names]
            message = {**message, "headers": given}
        return send(message)

    return send_with_headers


async def refuse(
    scope: Scope, receive: Receive, send: Send, body: bytes, headers: Headers, status: int, *, reason: str
) -> None:
    """Answer a request, or the handshake of a WebSocket, with an error. If the ASGI server cannot answer a handshake
    with a body, the WebSocket is closed with `reason` instead."""
    if scope["type"] == "http":
        await send_bytes(send, body, headers, status)
        return
    await receive()  # the handshake
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008, "reason": reason[:120]})
        return
    all_headers = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "websocket.http.response.start", "status": status, "headers": all_headers})
    await send({"type": "websocket.http.response.body", "body": body})


async def read_small(receive: Receive, limit: int) -> tuple[bytes, list[Message]]:
    """Read the body of a request until the body is complete or exceeds `limit` bytes, or the client disconnects. Return
    the bytes of the body, and all ASGI messages that were received, for `replay`."""
    messages: list[Message] = []
    body = b""
    while True:
        message = await receive()
        messages.append(message)
        body += message.get("body", b"")
        if message["type"] != "http.request" or not message.get("more_body", False) or len(body) > limit:
            return body, messages


def replay(messages: list[Message], receive: Receive) -> Receive:
    """Return an ASGI `receive` that first returns the messages that were already read, and then new messages."""
    waiting = iter(messages)

    async def again() -> Message:
        for message in waiting:
            return message
        return await receive()

    return again


def headers_of(scope: Scope, names: Container[bytes]) -> dict[bytes, list[bytes]]:
    """Return the values of the request headers with these names, by name; one header may have several values."""
    found: dict[bytes, list[bytes]] = {}
    for name, value in scope["headers"]:
        if name in names:
            found.setdefault(name, []).append(value)
    return found


def client_of(scope: Scope) -> str:
    """Return the IP address from which the client connected; an empty string if it is not known."""
    client = scope.get("client")
    return client[0] if client else ""


def serial_of(scope: Scope) -> str:
    """Return the serial number of the client certificate of the connection, in hexadecimal; an empty string if there is
    no certificate."""
    serial: str = scope.get("state", {}).get(CERTIFICATE_SERIAL, "")
    return serial


def is_json(scope: Scope) -> bool:
    """Return whether the Content-Type of a request is `application/json`; its parameters are ignored."""
    for name, value in scope["headers"]:
        if name == b"content-type":
            media_type: bytes = value.split(b";", 1)[0].strip().lower()
            return media_type == b"application/json"
    return False
