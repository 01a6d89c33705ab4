"""Handles the few kinds of requests that are very frequent directly through ASGI; all other requests go through
FastAPI."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = tuple[tuple[bytes, bytes], ...]

JSON_TYPE = (b"content-type", b"application/json")


async def send_bytes(send: Send, body: bytes, headers: Headers = (JSON_TYPE,), status: int = 200) -> None:
    """Send a response with a body that is ready."""
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


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


def is_json(scope: Scope) -> bool:
    """Return whether the request declares its body as plain JSON."""
    for name, value in scope["headers"]:
        if name == b"content-type":
            media_type: bytes = value.split(b";", 1)[0].strip().lower()
            return media_type == b"application/json"
    return False
