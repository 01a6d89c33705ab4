"""Handles the few kinds of requests that are very frequent directly through ASGI; all other requests go through
FastAPI."""

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
"""The key, in the state of a scope, of the serial number of the client certificate of its connection."""

JSON_TYPE = (b"content-type", b"application/json")


async def send_bytes(send: Send, body: bytes, headers: Headers = (JSON_TYPE,), status: int = 200) -> None:
    """Send a response with a body that is ready."""
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


def with_headers(send: Send, added: Headers = (), defaults: Headers = ()) -> Send:
    """Return a `send` that adds headers to the answer: `added` always, and those of `defaults` that it does not set."""

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = [*message.get("headers", ()), *added]
            names = {name for name, _ in given}
            given += [each for each in defaults if each[0] not in names]
            message = {**message, "headers": given}
        await send(message)

    return send_with_headers


async def refuse(
    scope: Scope, receive: Receive, send: Send, body: bytes, headers: Headers, status: int, *, reason: str
) -> None:
    """Answer a request, or the handshake of a WebSocket, with a refusal. `reason`: the text of the close frame, for
    servers that cannot answer a handshake with a body."""
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
    """Return the body if it is complete within `limit` bytes, and all messages that were read, for `replay`.

    If the body is larger, or the client has left, the first result is the part that was read so far.
    """
    messages: list[Message] = []
    body = b""
    while True:
        message = await receive()
        messages.append(message)
        body += message.get("body", b"")
        if message["type"] != "http.request" or not message.get("more_body", False) or len(body) > limit:
            return body, messages


def replay(messages: list[Message], receive: Receive) -> Receive:
    """Return a `receive` that first returns the messages that were already read, and then new messages."""
    waiting = iter(messages)

    async def again() -> Message:
        for message in waiting:
            return message
        return await receive()

    return again


def headers_of(scope: Scope, names: Container[bytes]) -> dict[bytes, list[bytes]]:
    """Return the headers of a request that have one of these names, each with all of its values."""
    found: dict[bytes, list[bytes]] = {}
    for name, value in scope["headers"]:
        if name in names:
            found.setdefault(name, []).append(value)
    return found


def client_of(scope: Scope) -> str:
    """Return the IP address of the connection; empty if it has none."""
    client = scope.get("client")
    return client[0] if client else ""


def serial_of(scope: Scope) -> str:
    """Return the serial number of the client certificate of the connection, in hexadecimal; empty without one."""
    serial: str = scope.get("state", {}).get(CERTIFICATE_SERIAL, "")
    return serial


def is_json(scope: Scope) -> bool:
    """Return whether the request declares its body as plain JSON."""
    for name, value in scope["headers"]:
        if name == b"content-type":
            media_type: bytes = value.split(b";", 1)[0].strip().lower()
            return media_type == b"application/json"
    return False
