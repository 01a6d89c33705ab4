"""Operator sinks: how people are notified of what no agent acknowledged. A failing sink never delays its caller.

It knows neither TRON nor the registry; both hold a `Dispatcher`, submit to it, and run it. This file is the port.

- `notice`                     what operators are notified of. Pure.
- `backlog`, `retry`           what waits for one sink, and when to try again. Pure.
- `journal`                    the queues on disk.
- `sink_worker`, `dispatcher`  one sink with its queue; all of them.
- `log`, `webhook`, `apprise_sink`, `alertmanager`, `dead_man`
- `http_client`, `signature`   what the sinks over HTTP share.
- `firing`                     which alerts are active at an Alertmanager. Pure.
- `config`, `build`            the settings, and a dispatcher made of them.
"""

from __future__ import annotations

from typing import Protocol

from grid_hosting.sinks.notice import OperatorNotice


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
        """The name of its queue, on disk and in the log: the same from start to start."""
        ...

    async def deliver(self, notice: OperatorNotice) -> None:
        """Return once the receiver has it. Raises SinkUnavailable or SinkRefused. May be cancelled at any await.

        The same notice may come again, with the same `alert_id`.
        """
        ...


class BackgroundTask(Protocol):
    """Work beside the deliveries, for as long as the dispatcher runs."""

    async def run(self) -> None:
        """Work until cancelled."""
        ...
