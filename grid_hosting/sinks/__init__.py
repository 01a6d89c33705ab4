"""Operator sinks: where people are told what no agent could be told. A sick sink never delays its caller.

Read in this order: `notice` (what is told), this file (the port), `backlog` and `retry` (every decision), `journal`
(the disk), `outlet` (one sink and its queue), `dispatcher` (all of them), then a sink, then `config` and `build`.
It knows neither TRON nor the registry; both hold a `Dispatcher`, submit to it, and run it.
"""

from __future__ import annotations

from typing import Protocol

from grid_hosting.sinks.notice import Notice


class SinkUnavailable(Exception):
    """Not delivered now; it is tried again. `retry_after` is the pause in seconds that the receiver asked for."""

    def __init__(self, why: str, retry_after: float | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(why)


class SinkRefused(Exception):
    """The receiver will never take this notice: it is logged, counted, and not tried again."""


class Sink(Protocol):
    """One way to reach operators."""

    @property
    def name(self) -> str:
        """Whose queue it is, on disk and in the log: the same from start to start."""
        ...

    async def deliver(self, notice: Notice) -> None:
        """Return once the receiver has it. Raises SinkUnavailable or SinkRefused. May be cancelled at any await.

        The same notice may come again, with the same `alert_id`.
        """
        ...


class Chore(Protocol):
    """Work beside the deliveries, for as long as the dispatcher runs."""

    async def run(self) -> None:
        """Work until cancelled."""
        ...
