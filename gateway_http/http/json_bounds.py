"""Checks JSON values of clients against bounds, so that protobuf can carry them and errors can show them. Pure."""

from __future__ import annotations

import math
from typing import Any

MOST_DEPTH = 16
MOST_BYTES = 16 * 1024
EXACT = 2**53
"""Whole numbers up to this are exact on the wire, which has one kind of number."""

_SHOWN_DEPTH = 24
_SHOWN_TEXT = 1000
_SHOWN_ITEMS = 100


def check_object(value: dict[str, Any]) -> dict[str, Any]:
    """Return a JSON object that the registry can store unchanged. Raises ValueError that names the part that it cannot
    store."""
    size = 0
    todo: list[tuple[Any, int]] = [(value, 1)]
    while todo:
        node, depth = todo.pop()
        if depth > MOST_DEPTH:
            raise ValueError(f"is nested deeper than {MOST_DEPTH} levels")
        if isinstance(node, dict):
            for key in node:
                size += len(_utf8(key)) + 4
            todo.extend((child, depth + 1) for child in node.values())
        elif isinstance(node, list):
            size += 2 * len(node)
            todo.extend((child, depth + 1) for child in node)
        elif isinstance(node, bool) or node is None:
            size += 5
        elif isinstance(node, int | float):
            if not -EXACT <= node <= EXACT if isinstance(node, int) else not math.isfinite(node):
                raise ValueError("holds a number that cannot be kept exactly")
            size += 24
        else:
            size += len(_utf8(node))
        if size > MOST_BYTES:
            raise ValueError(f"is larger than {MOST_BYTES} bytes")
    return value


def check_text(value: str) -> str:
    """Return text that UTF-8 can encode. Raises ValueError for half a surrogate pair."""
    _utf8(value)
    return value


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ValueError("holds half a surrogate pair, which is no character") from None


def showable(value: Any, depth: int = 0) -> Any:
    """Return a client's value in a form that an error can show: valid JSON, and bounded."""
    if isinstance(value, bytes):
        value = value[:_SHOWN_TEXT].decode("utf-8", "replace")
    if isinstance(value, str):
        text = value if len(value) <= _SHOWN_TEXT else value[:_SHOWN_TEXT] + "…"
        return text.encode("utf-8", "replace").decode()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -(10**18) < value < 10**18 else "a number with too many digits to show"
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if depth >= _SHOWN_DEPTH:
        return "…"
    if isinstance(value, dict):
        items = list(value.items())[:_SHOWN_ITEMS]
        return {str(showable(str(key))): showable(child, depth + 1) for key, child in items}
    if isinstance(value, list | tuple):
        return [showable(child, depth + 1) for child in value[:_SHOWN_ITEMS]]
    return str(showable(str(value)))
