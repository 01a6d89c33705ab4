"""Limits the JSON values that clients send, so that protobuf can carry them and error responses can show them. Pure."""

from __future__ import annotations

import math
from typing import Any

MOST_DEPTH = 16
MOST_BYTES = 16 * 1024
MOST_VALUES = 1000
"""Maximum number of values at all levels together: values of objects, and elements of lists. It is the limit of the
registry."""

EXACT = 2**53
"""Integers up to this magnitude stay exact on the wire, where every number is a double."""

_SHOWN_DEPTH = 24
_SHOWN_TEXT = 1000
_SHOWN_ITEMS = 100


def check_object(value: dict[str, Any]) -> dict[str, Any]:
    """Return the object if the registry can store it unchanged. Raises ValueError if it is nested too deeply, is too
    large, has too many values, or contains a number or text that cannot be stored exactly."""
    size = count = 0
    todo: list[tuple[Any, int]] = [(value, 1)]
    while todo:
        node, depth = todo.pop()
        if depth > MOST_DEPTH:
            raise ValueError(f"the value is nested deeper than {MOST_DEPTH} levels")
        if isinstance(node, dict | list):
            count += len(node)
            if count > MOST_VALUES:
                raise ValueError(f"the value has more than {MOST_VALUES} values, counted at all levels")
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
                raise ValueError("the value contains a number that cannot be stored exactly")
            size += 24
        else:
            size += len(_utf8(node))
        if size > MOST_BYTES:
            raise ValueError(f"the value is larger than {MOST_BYTES} bytes")
    return value


def check_text(value: str) -> str:
    """Return the text if UTF-8 can encode it. Raises ValueError if it contains half of a surrogate pair."""
    _utf8(value)
    return value


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ValueError("the text contains half of a surrogate pair, which is not a character") from None


def showable(value: Any, depth: int = 0) -> Any:
    """Convert a value from a client so that an error response can show it, and return the result: valid JSON of limited
    size."""
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
