"""Operator sinks, which notify people of alerts that no agent acknowledged. A failing sink never delays its caller.

This package does not depend on TRON or the registry. Each of them has a `Dispatcher`, to which it submits notices.
This file defines the interface of a sink.

- `notice`                     a notice to operators. Pure.
- `backlog`, `retry`           the queue of one sink, and the times of retries. Pure.
- `journal`                    the queues on disk.
- `sink_worker`, `dispatcher`  one sink with its queue; all sinks of a program.
- `log`, `webhook`, `apprise_sink`, `alertmanager`, `dead_man`: the destinations.
- `http_client`, `signature`   the parts that the sinks over HTTP share.
- `firing`                     the alerts that are firing at an Alertmanager. Pure.
- `config`, `build`            the settings, and a dispatcher made of them.
"""

from __future__ import annotations

from typing import Protocol

from grid_hosting.sinks.notice import OperatorNotice


class SinkUnavailable(Exception):
    """A notice could not be delivered now; it is tried again. `retry_after` is the pause in seconds that the receiver
    asked for; None if it did not ask for one."""

    def __init__(self, why: str, retry_after: float | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(why)


class SinkRefused(Exception):
    """The receiver will never accept this notice. It is logged, counted, and not tried again."""


class Sink(Protocol):
    """One destination for notices to operators."""

    @property
    def name(self) -> str:
        """The name of the sink's queue, on disk and in the log; it does not change between starts."""
        ...

    async def deliver(self, notice: OperatorNotice) -> None:
        """Deliver a notice; return once the receiver has it. Raises SinkUnavailable or SinkRefused. May be cancelled at
        any await. The same notice may be delivered again, with the same `alert_id`."""
        ...


class BackgroundTask(Protocol):
    """A task of a sink that runs beside the deliveries, as long as the dispatcher runs."""

    async def run(self) -> None:
        """Run until cancelled."""
        ...
