"""Carries out one restart of a child: checks whether the restart is still needed, calls the program, and waits until
the child is alive. Blocks the calling thread."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import TYPE_CHECKING

from grid_model import event_details
from grid_model.event_types import FAILURES

from tron_client.errors import ServiceNotFound, TronError
from tron_client.restart_log import FailedChild
from tron_client.supervision import died_again, lives, needs_restart

if TYPE_CHECKING:
    from collections.abc import Callable

    from tron_client.alerts import Alert
    from tron_client.callbacks import Callbacks
    from tron_client.client import RegistryClient
    from tron_client.models import Service
    from tron_client.restart_history import RestartLimits
    from tron_client.restart_log import RestartLog
    from tron_client.supervision import Outcome, Restart

_log = logging.getLogger("tron_client")

_LOOK_EVERY = 0.25
"""Seconds between two checks of a child. An alert about the child causes a check at once."""
_FAREWELL = 5.0
"""Seconds to wait until the registry shows a failure that the child's own wrapper, such as `tron run`, reported."""


class Restarter:
    """Restarts the children of one agent, several at the same time. Thread-safe."""

    def __init__(
        self,
        client: RegistryClient,
        journal: RestartLog,
        limits: RestartLimits,
        restart: Callable[[FailedChild], object],
        callbacks: Callbacks,
    ) -> None:
        self._client = client
        self._journal = journal
        self._limits = limits
        self._restart = restart
        self._callbacks = callbacks
        self._over = False
        self._news: dict[str, threading.Event] = {}  # for each child that is being restarted

    def look_now(self, child: str) -> None:
        """Check the state of this child at once, because an alert about it arrived."""
        news = self._news.get(child)
        if news is not None:
            news.set()

    def close(self) -> None:
        """Stop the current restarts as far as possible; their results no longer matter."""
        self._over = True
        self._callbacks.cancel()
        for news in tuple(self._news.values()):
            news.set()

    def carry_out(self, decision: Restart, alert: Alert) -> Outcome:
        """Restart the child; return how the restart ended. Never raises an exception."""
        self._news[decision.child] = threading.Event()
        try:
            failed = FailedChild(alert, decision.attempt, self._limits.max_restarts, decision.incident)
            return self._try(failed, decision.incarnation)
        except Exception:
            if not self._over:
                _log.exception("restart_broke_off service_id=%s", decision.child)
            return "failed"
        finally:
            self._news.pop(decision.child, None)

    def still_fails(self, alert: Alert, incarnation: int) -> bool:
        """Return whether the child that an alert reports as failed still needs help: it has not come back since
        `incarnation` failed. Raises TronError if the registry does not answer."""
        return needs_restart(self._state_at_alert(alert, incarnation), incarnation)

    def _try(self, failed: FailedChild, incarnation: int) -> Outcome:
        deadline = time.monotonic() + self._limits.restart_timeout
        try:
            before = self._state_at_alert(failed.alert, incarnation)
        except TronError:
            return "postponed"  # nobody can say whether it came back: do nothing blindly
        if not needs_restart(before, incarnation):
            return "not_needed"
        self._journal.started(failed)
        why = ""
        try:
            self._callbacks.call(self._restart, failed, self._limits.restart_timeout)
        except Exception as error:
            why = str(error) or type(error).__name__
            _log.warning("restart_failed service_id=%s error=%r", failed.service_id, error)
        why = why or self._why_not_alive(failed, before, incarnation, deadline)
        if self._over:
            return "postponed"
        if why:
            self._journal.failed(failed, why)
            return "failed"
        self._journal.succeeded(failed)
        return "up"

    def _state_at_alert(self, alert: Alert, incarnation: int) -> Service | None:
        """Return the record of a child that failed. TRON stores its alerts together with the record; an alert of
        another program may arrive before the record shows the failure."""
        deadline = time.monotonic() + (0.0 if alert.type in FAILURES else _FAREWELL)
        news = self._news.get(alert.service_id) or threading.Event()
        while True:
            found = self._look(alert.service_id)
            left = deadline - time.monotonic()
            if left <= 0 or self._over or needs_restart(found, incarnation):
                return found
            news.wait(min(_LOOK_EVERY, left))

    def _why_not_alive(self, failed: FailedChild, before: Service | None, incarnation: int, deadline: float) -> str:
        """Wait until the child is alive; return why it is not, empty if it is."""
        child, news = failed.service_id, self._news[failed.service_id]
        incarnation = max(incarnation, 0 if before is None else before.incarnation)
        moments = (failed.alert.occurred_at, None if before is None else before.liveness_since)
        since = max((moment for moment in moments if moment is not None), default=None)
        while not self._over:
            with contextlib.suppress(TronError):
                found = self._look(child)
                if lives(found, incarnation):
                    return ""
                if died_again(found, since):
                    return "the child died again"
            left = deadline - time.monotonic()
            if left <= 0:
                break
            if news.wait(min(_LOOK_EVERY, left)) and not self._over:
                news.clear()
        return f"not alive within {self._limits.restart_timeout:g} s"

    def _look(self, child: str) -> Service | None:
        """Return the child's record, or None if it is not registered. Raises TronError if the registry does not
        answer."""
        try:
            return self._client.get_service(child)
        except ServiceNotFound:
            return None


def incarnation_of(alert: Alert) -> int:
    """Return the incarnation that failed, as the alert reports it; 0 if the alert does not contain it."""
    return event_details.count_in(alert.event.details, "incarnation")
