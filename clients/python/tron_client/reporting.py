"""Checks the values that a program reports before they are put into a heartbeat, because one invalid value would stop
the heartbeats."""

from __future__ import annotations

from tron_client import arguments, words
from tron_client.protocol.report import Figures


def checked_status(status: str) -> str:
    """Return the status in lower case. Raises InvalidRequest, with the name of the field, for an unknown status."""
    return words.STATUSES.word(words.STATUSES.number(status))


def checked_figures(
    status: str | None,
    p95_ms: float | None,
    queue_depth: int | None,
    load: float | None,
    message: str | None,
    progress: float | None,
) -> Figures:
    """Return the given values as Figures. Raises InvalidRequest, with the name of the field, for a value that a
    heartbeat cannot carry."""
    return Figures(
        status=None if status is None else checked_status(status),
        p95_ms=None if p95_ms is None else arguments.number("p95_ms", p95_ms),
        queue_depth=None if queue_depth is None else arguments.whole("queue_depth", queue_depth),
        load=None if load is None else arguments.number("load", load),
        message=arguments.optional_text("message", message),
        progress=None if progress is None else arguments.number("progress", progress, at_most=1.0),
    )
