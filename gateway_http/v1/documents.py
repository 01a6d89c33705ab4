"""Encodes answers with many services or events as JSON, in turns of the event loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tron_client import Event, Service

from gateway_http.v1.stream import to_json
from grid_hosting.turns import Turn


async def encoded(document: Mapping[str, Any]) -> bytes:
    """Return a JSON object as bytes. The elements of its lists may be services and events of the SDK; each is encoded
    for itself, and other work can run between two of them."""
    turn = Turn("answer")
    fields: list[bytes] = []
    for name, value in document.items():
        if isinstance(value, list | tuple):
            rows = [_row(each) async for each in turn.each(value)]
            fields.append(to_json(name) + b":[" + b",".join(rows) + b"]")
        else:
            fields.append(to_json(name) + b":" + to_json(value))
    turn.end()
    return b"{" + b",".join(fields) + b"}"


def _row(element: Any) -> bytes:
    return to_json(element.to_dict() if isinstance(element, Service | Event) else element)
