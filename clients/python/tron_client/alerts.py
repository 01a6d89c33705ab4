"""Alerts on their way from the stream to the program: a bounded inbox, and one thread that calls back."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from tron_client.models import Event

_log = logging.getLogger("tron_client")

CAPACITY = 1000
"""Alerts that wait for the program. Overflow rule: the alert is not taken and not acknowledged; once the inbox was
emptied the agent re-attaches on the same stream, upon which the registry sends everything unacknowledged again. So the
memory is bounded, the stream is never blocked, and nothing is lost."""


@dataclass(frozen=True, slots=True)
class Alert:
    """An event that this agent must be told."""

    event: Event
    received_at: float
    """When the stream's thread got it: time.monotonic(), seconds."""
    _acknowledge: Callable[[str], None] = field(repr=False, compare=False)

    def acknowledge(self) -> None:
        """Say that it was heard, so that it is not sent again and does not climb. Never blocks."""
        self._acknowledge(self.event.alert_id)

    @property
    def type(self) -> str:
        """What happened, for example `service_down`."""
        return self.event.type

    @property
    def severity(self) -> str:
        """INFO, WARNING or CRITICAL."""
        return self.event.severity

    @property
    def service_id(self) -> str:
        """Whom it is about."""
        return self.event.service_id

    @property
    def service_name(self) -> str:
        """The name of whom it is about."""
        return self.event.service_name

    @property
    def cause(self) -> str:
        """DISCONNECTED, SILENT, STALLED or empty."""
        return self.event.cause

    @property
    def alert_id(self) -> str:
        """The same for every delivery of one alert."""
        return self.event.alert_id

    @property
    def message(self) -> str:
        """The text for people."""
        return self.event.message

    @property
    def occurred_at(self) -> datetime | None:
        """When it became true."""
        return self.event.occurred_at


Reception = Literal["taken", "open", "acknowledged", "full"]


class AlertInbox:
    """A bounded queue that holds each alert once. Safe from any thread.

    An alert that comes again while it waits or is being handled is `open` and dropped; one that was acknowledged just
    now is `acknowledged`: the acknowledgement was lost on the way and must be said again, not acted upon again.
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
        """Whether no alert will come any more."""
        return self._closed

    def offer(self, alert: Alert) -> Reception:
        """Take an alert from the stream, unless it is known or there is no room."""
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
        """The oldest alert; None where none came within `timeout` seconds (None: forever) or the inbox was closed."""
        with self._changed:
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
        """It was acknowledged; remember the newest of these."""
        with self._changed:
            self._acknowledged[alert_id] = None
            self._acknowledged.move_to_end(alert_id)
            while len(self._acknowledged) > CAPACITY:
                self._acknowledged.popitem(last=False)

    def is_acknowledged(self, alert_id: str) -> bool:
        """Whether it was acknowledged just now."""
        with self._changed:
            return alert_id in self._acknowledged

    def handled(self, alert_id: str) -> None:
        """Nobody handles it any more; where it was not acknowledged it may come again."""
        with self._changed:
            self._open.discard(alert_id)

    @contextlib.contextmanager
    def listening(self, wake: Callable[[], None]) -> Iterator[None]:
        """Call `wake` from the stream's thread whenever an alert came, or the inbox was closed."""
        with self._changed:
            self._listeners.append(wake)
        try:
            yield
        finally:
            with self._changed:
                if wake in self._listeners:
                    self._listeners.remove(wake)

    def after_fork(self, *, ended: bool) -> None:
        """In a forked child; `ended`: the alerts are the parent's, so none comes any more."""
        self._changed = threading.Condition()
        self._closed = self._closed or ended
        if ended:
            self._waiting.clear()
            self._listeners.clear()

    def close(self) -> None:
        """No alert comes any more; whoever waits is woken. What waits stays unacknowledged."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()
            listeners = tuple(self._listeners)
        for wake in listeners:
            wake()


def dispatch(inbox: AlertInbox, on_alert: Callable[[Alert], object]) -> None:
    """Call back for each alert until the inbox is closed; acknowledge what the program heard without an exception.

    What a callback raises is logged, and ends nothing: the next alert is called back all the same.
    """
    while (alert := inbox.take(None)) is not None:
        try:
            on_alert(alert)
        except Exception:
            _log.exception("alert_callback_failed alert_id=%s type=%s", alert.alert_id, alert.type)
        else:
            if not inbox.is_acknowledged(alert.alert_id):
                alert.acknowledge()
        finally:
            inbox.handled(alert.alert_id)
