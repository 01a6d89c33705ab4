"""An application that is registered while it serves, for any ASGI server: `tests.support.served:app`."""

from __future__ import annotations

import os
from typing import Any

from tron_client import create_registry_heartbeat_lifespan

lifespan = create_registry_heartbeat_lifespan(
    os.environ.get("SERVED_ID", "served"),
    "Served",
    "agent",
    "production",
    "http://127.0.0.1",
    ["serves"],
    labels={"parent": "boss"},
    heartbeat_interval_s=float(os.environ.get("SERVED_INTERVAL", "1")),
)


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer every request with the id of the process; be registered from startup to shutdown."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})


async def _live(receive: Any, send: Any) -> None:
    await receive()
    async with lifespan(app):
        await send({"type": "lifespan.startup.complete"})
        await receive()
    await send({"type": "lifespan.shutdown.complete"})
