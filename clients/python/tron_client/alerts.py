"""Passes alerts from the stream to the program: a bounded inbox, and the calls of the program's callback."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from tron_client.callback_pool import Lane
    from tron_client.callbacks import Callbacks
    from tron_client.models import Event

_log = logging.getLogger("tron_client")

CAPACITY = 1000
"""The greatest number of alerts that wait for the program. Overflow rule: a further alert is dropped, and not
acknowledged. Once the program has emptied the inbox, the agent registers again on the same stream, and the registry
then sends all unacknowledged alerts again. So the memory is bounded, the stream is never blocked, and nothing is
lost."""


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert that is addressed to this agent."""

    event: Event
    received_at: float
    """The time at which the stream's thread received the alert: time.monotonic(), in seconds."""
    _acknowledge: Callable[[str], None] = field(repr=False, compare=False)

    def acknowledge(self) -> None:
        """Acknowledge the alert, so that it is neither sent again nor escalated. Never blocks."""
        self._acknowledge(self.event.alert_id)

    @property
    def type(self) -> str:
        """The type of the event, for example `service_down`."""
        return self.event.type

    @property
    def severity(self) -> str:
        """The severity: INFO, WARNING or CRITICAL."""
        return self.event.severity

    @property
    def service_id(self) -> str:
        """The id of the service that the alert is about."""
        return self.event.service_id

    @property
    def service_name(self) -> str:
        """The name of the service that the alert is about."""
        return self.event.service_name

    @property
    def cause(self) -> str:
        """The cause: DISCONNECTED, SILENT or STALLED; empty if the alert has none."""
        return self.event.cause

    @property
    def alert_id(self) -> str:
        """The id of the alert, which is the same for every delivery and every copy."""
        return self.event.alert_id

    @property
    def message(self) -> str:
        """The text of the alert for people."""
        return self.event.message

    @property
    def occurred_at(self) -> datetime | None:
        """The time at which the reported event occurred."""
        return self.event.occurred_at


Reception = Literal["taken", "open", "acknowledged", "full"]


class AlertInbox:
    """A bounded queue that holds each alert once. Thread-safe.

    If an alert arrives again while it waits or is being handled, `offer` answers `open` and drops it. If an alert
    arrives again after it was acknowledged, `offer` answers `acknowledged`: the acknowledgement was lost on its way and
    must be sent again, but the program must not act again.
    """

    def __init__(self, on_emptied: Callable[[], None]) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[Alert] = deque()
        self._open: set[str] = set()
        self._acknowledged: OrderedDict[str, None] = OrderedDict()
        self._listeners: list[Callable[[], None]] = []
        self._overflowed = False
        self._closed = False
        self._on_emptied = on_emptied

    @property
    def closed(self) -> bool:
        """Whether the inbox is closed, so that no further alert arrives."""
        return self._closed

    def offer(self, alert: Alert) -> Reception:
        """Add an alert from the stream, and return `taken`. If the alert is not added, return the reason: `open` (it
        already waits or is being handled), `acknowledged` (it was acknowledged before), or `full` (the inbox is full or
        closed)."""
        with self._changed:
            if alert.alert_id in self._acknowledged:
                return "acknowledged"
            if alert.alert_id in self._open:
                return "open"
            if self._closed or len(self._waiting) >= CAPACITY:
                self._overflowed = True
                return "full"
            self._open.add(alert.alert_id)
            self._waiting.append(alert)
            self._changed.notify()
            listeners = tuple(self._listeners)
        for wake in listeners:
            wake()
        return "taken"

    def take(self, timeout: float | None = 0.0) -> Alert | None:
        """Remove and return the oldest alert. If there is none, wait up to `timeout` seconds, or without a limit if
        `timeout` is None; return None if no alert arrived or the inbox was closed."""
        with self._changed:
            if not self._waiting:
                self._changed.wait_for(lambda: self._waiting or self._closed, timeout)
            if self._closed or not self._waiting:
                return None
            alert = self._waiting.popleft()
            emptied = self._overflowed and not self._waiting
            if emptied:
                self._overflowed = False
        if emptied:
            self._on_emptied()
        return alert

    def acknowledged(self, alert_id: str) -> None:
        """Record that this alert was acknowledged. The inbox remembers only the alerts that were acknowledged most
        recently."""
        with self._changed:
            self._acknowledged[alert_id] = None
            self._acknowledged.move_to_end(alert_id)
            while len(self._acknowledged) > CAPACITY:
                self._acknowledged.popitem(last=False)

    def is_acknowledged(self, alert_id: str) -> bool:
        """Return whether this alert was acknowledged recently."""
        with self._changed:
            return alert_id in self._acknowledged

    def handled(self, alert_id: str) -> None:
        """Record that the program no longer handles this alert; if it was not acknowledged, it may be delivered
        again."""
        with self._changed:
            self._open.discard(alert_id)

    def listen(self, wake: Callable[[], None]) -> None:
        """Call `wake` from the stream's thread whenever an alert arrives, and when the inbox is closed."""
        with self._changed:
            self._listeners.append(wake)

    @contextlib.contextmanager
    def listening(self, wake: Callable[[], None]) -> Iterator[None]:
        """Call `wake` as `listen` does, for the length of the `with` block."""
        self.listen(wake)
        try:
            yield
        finally:
            with self._changed:
                if wake in self._listeners:
                    self._listeners.remove(wake)

    def after_fork(self, *, ended: bool) -> None:
        """Replace the locks in a forked child. With `ended`, also close the inbox and drop its waiting alerts, because
        the agent runs in the parent process."""
        self._changed = threading.Condition()
        self._closed = self._closed or ended
        if ended:
            self._waiting.clear()
            self._listeners.clear()

    def close(self) -> None:
        """Accept no further alert, and wake waiting callers. Waiting alerts stay unacknowledged."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()
            listeners = tuple(self._listeners)
        for wake in listeners:
            wake()


class AlertCalls:
    """Calls the program's callback for each alert of an inbox, one alert at a time, in the threads that run callbacks.
    The calls wait in a `Lane`.

    An alert is acknowledged once its callback has ended without an exception. An exception of the callback is logged,
    and the next alert is handled as usual.
    """

    def __init__(
        self, inbox: AlertInbox, on_alert: Callable[[Alert], object], callbacks: Callbacks, lane: Lane
    ) -> None:
        self._inbox = inbox
        self._on_alert = on_alert
        self._callbacks = callbacks
        self._lane = lane
        inbox.listen(self._came)

    def wait_idle(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds until no callback runs or waits to run; return whether this is the case."""
        return self._lane.wait_idle(timeout)

    def _came(self) -> None:
        self._lane.run(self._call_next)

    def _call_next(self, done: Callable[[], None]) -> None:
        alert = self._inbox.take()
        if alert is None:
            done()
        else:
            self._callbacks.begin(self._on_alert, alert, partial(self._ended, alert, done))

    def _ended(self, alert: Alert, done: Callable[[], None], error: Exception | None) -> None:
        _called_back(self._inbox, alert, error)
        done()


def dispatch(inbox: AlertInbox, on_alert: Callable[[Alert], object]) -> None:
    """Call the callback for each alert of an inbox until the inbox is closed. An alert is acknowledged if its callback
    returned without an exception.

    An exception of the callback is logged, and the next alert is handled as usual.
    """
    while (alert := inbox.take(None)) is not None:
        failed: Exception | None = None
        try:
            on_alert(alert)
        except Exception as error:
            failed = error
        _called_back(inbox, alert, failed)


def _called_back(inbox: AlertInbox, alert: Alert, error: Exception | None) -> None:
    if error is not None:
        _log.error("alert_callback_failed alert_id=%s type=%s", alert.alert_id, alert.type, exc_info=error)
    elif not inbox.is_acknowledged(alert.alert_id):
        alert.acknowledge()
    inbox.handled(alert.alert_id)
