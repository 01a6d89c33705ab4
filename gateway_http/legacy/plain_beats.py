"""Parses ordinary heartbeats without a pydantic model, because they are very frequent. Pure."""

from __future__ import annotations

import json
import sys

from gateway_http.legacy.rows import STATUSES
from gateway_http.replica.entry import Reported

MOST_MESSAGE = 1000
"""Maximum length of a heartbeat's message that the registry accepts, in characters; the rest is cut off."""

_MOST = sys.float_info.max
_KNOWN_STATUSES = frozenset(STATUSES)


def plain_beat(body: bytes) -> tuple[str, Reported] | None:
    """Return the service id and the reported values of an ordinary heartbeat; None for a body that the model
    `bodies.Heartbeat` must check."""
    try:
        document = json.loads(body)
        service_id = document["service_id"]
        get = document.get
        status = get("status", "ok")
        p95, queue, load, message = get("p95_ms"), get("queue_depth"), get("load"), get("message")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if type(service_id) is not str or type(status) is not str or status not in _KNOWN_STATUSES:
        return None
    if not (service_id.isascii() or _is_text(service_id)):
        return None
    for figure in (p95, load):
        if figure is not None and (type(figure) not in (int, float) or not -_MOST <= figure <= _MOST):
            return None
    if queue is not None and (type(queue) is not int or not -(2**63) <= queue < 2**63):
        return None
    if message is not None and (type(message) is not str or len(message) > MOST_MESSAGE or not _is_text(message)):
        return None
    return service_id, Reported(
        status, None if p95 is None else float(p95), queue, None if load is None else float(load), message
    )


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
