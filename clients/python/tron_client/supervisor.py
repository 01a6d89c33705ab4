"""Restarts the failed children of an agent, and escalates if the restarts fail. This module carries out the decisions
of supervision.py.

One thread decides and never waits for another; each restart and each escalation has a short-lived thread of its own, at
most `concurrency` of each.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from grid_model import event_details
from grid_model.event_types import FAILURES

from tron_client import arguments, forks
from tron_client.agent import Agent
from tron_client.alerts import AlertInbox, dispatch
from tron_client.callbacks import Callbacks
from tron_client.client import RegistryClient
from tron_client.errors import TronError
from tron_client.restart_history import RestartLimits
from tron_client.restart_log import RestartLog
from tron_client.restarter import Restarter, incarnation_of
from tron_client.supervision import Acknowledge, Decision, Escalate, EscalationOutcome, Restart, Supervision

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from tron_client.alerts import Alert
    from tron_client.restart_log import FailedChild

_log = logging.getLogger("tron_client")

Report = Callable[[float], list[Decision]]
"""A function that reports the end of a restart or an escalation to `Supervision`; its argument is `now`, and it returns
the next decisions."""


class Supervisor:
    """Handles the alerts of an agent about its children, for the length of the `with` block, or from `start` to `stop`.

    The supervisor restarts a failed child by calling `restart`: at once for the first time, then after growing pauses.
    After `max_restarts` within `window` seconds it escalates the failure to the agent's own parent. It acknowledges an
    alert once the child is alive again or the failure was escalated. If the supervisor dies before, the alert
    escalates. All methods are thread-safe. A Supervisor can be started only once.
    """

    def __init__(
        self,
        agent: Agent,
        restart: Callable[[FailedChild], object],
        *,
        max_restarts: int = 3,
        window: float = 300.0,
        first_delay: float = 1.0,
        longest_delay: float = 30.0,
        restart_timeout: float = 20.0,
        concurrency: int = 4,
        types: Iterable[str] = FAILURES,
        on_alert: Callable[[Alert], object] | None = None,
    ) -> None:
        """Take over the alerts of `agent`; nothing is done before `start`.

        `restart` may be a function, which runs in a thread of its own, or a coroutine function, which runs in the event
        loop that was running at the start. It must return once the child was started, and raise if the start failed.
        The child must be alive `restart_timeout` seconds after the restart began. `types` are the types of alert that
        cause a restart. `on_alert` is called with every other alert, and with alerts that escalated from another
        parent; an alert is acknowledged when `on_alert` returns. Without `on_alert`, alerts that are not CRITICAL are
        acknowledged, and CRITICAL alerts escalate. Intervals are in seconds. Raises InvalidRequest, with the name of
        the field, for an invalid argument, and ValueError if the agent has an `on_alert` of its own.
        """
        if not isinstance(agent, Agent):
            arguments.wrong_type("agent", "an Agent", agent)
        if restart is None:
            arguments.wrong_type("restart", "a function or a coroutine function", restart)
        limits = RestartLimits(
            arguments.whole("max_restarts", max_restarts, at_least=1),
            arguments.seconds("window", window),
            arguments.seconds("first_delay", first_delay, positive=False),
            arguments.seconds("longest_delay", longest_delay, positive=False),
            arguments.seconds("restart_timeout", restart_timeout),
            arguments.whole("concurrency", concurrency, at_least=1),
        )
        arguments.callback("restart", restart)
        self._types = frozenset(arguments.texts("types", types))
        self._on_alert = arguments.callback("on_alert", on_alert)
        self._agent = agent
        self._inbox = agent.take_over_alerts()
        self._core = Supervision(limits)
        self._client = RegistryClient(agent.registry)
        self._journal = RestartLog(agent, self._client, limits)
        self._callbacks = Callbacks()
        self._restarter = Restarter(self._client, self._journal, limits, restart, self._callbacks)
        self._alerts: dict[str, Alert] = {}  # those that the core has open; what was sent and not acknowledged, so 256
        self._reports: deque[Report] = deque()  # at most one of each thread that runs
        # What on_alert has yet to hear. Beyond the inbox's capacity, which is above what the registry sends
        # unacknowledged, an alert is not taken, and comes again with the next registration.
        self._others = AlertInbox(lambda: None)
        self._woken = threading.Event()
        self._over = threading.Event()
        self._recalled = False
        self._lock = threading.Lock()
        self._inherited = False
        forks.watch(self)
        self._thread = threading.Thread(target=self._run, name=f"tron-supervisor-{agent.service_id}", daemon=True)

    def after_fork(self) -> None:
        """End the supervisor in a forked child process, because the supervisor runs in the parent process. The child
        process may start a new supervisor."""
        self._inherited = self._thread.ident is not None
        was_over = self._over.is_set()
        self._lock, self._woken, self._over = threading.Lock(), threading.Event(), threading.Event()
        if was_over or self._inherited:
            self._over.set()
        self._callbacks.after_fork()
        self._others.after_fork(ended=self._inherited)

    def start(self) -> None:
        """Begin to handle alerts, including those that already wait; do nothing if the supervisor was started
        before."""
        with self._lock:
            if self._thread.ident is not None or self._over.is_set():
                return
            self._callbacks.attach_running_loop()
            if self._on_alert is not None:
                name = f"tron-alerts-{self._agent.service_id}"
                hear = partial(self._callbacks.call, self._on_alert)
                threading.Thread(target=dispatch, args=(self._others, hear), name=name, daemon=True).start()
            self._thread.start()

    def stop(self, timeout: float = 2.0) -> None:
        """End within `timeout` seconds; do nothing if the supervisor has ended. Alerts that were not handled stay
        unacknowledged.

        A coroutine that restarts a child is cancelled; a function that restarts a child continues to run.
        """
        arguments.seconds("timeout", timeout, positive=False)
        if self._inherited:
            return
        with self._lock:
            self._over.set()
        self._woken.set()
        self._restarter.close()
        if self._thread.ident is None:
            self._end()
        elif threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._inherited:  # the loop's threads are not in a forked child either
            await asyncio.to_thread(self.stop)

    def _run(self) -> None:
        try:
            with self._inbox.listening(self._woken.set):
                while not (self._over.is_set() or self._inbox.closed):
                    self._woken.clear()
                    while self._reports:
                        self._carry_out(self._reports.popleft()(time.monotonic()))
                    while (alert := self._inbox.take()) is not None:
                        self._handle(alert)
                    now = time.monotonic()
                    self._carry_out(self._core.tick(now))
                    if not (self._over.is_set() or self._inbox.closed):
                        self._woken.wait(self._core.due_in(now))
        finally:
            self._end()

    def _end(self) -> None:
        self._over.set()
        self._restarter.close()
        self._others.close()
        for alert_id in self._alerts:
            self._inbox.handled(alert_id)
        self._client.close()

    def _handle(self, alert: Alert) -> None:
        self._restarter.look_now(alert.service_id)
        # An escalated alert is about the child of another parent, which acts on it when it is back.
        escalated = bool(event_details.texts_in(alert.event.details, "escalated_from"))
        if alert.type in self._types and alert.severity != "INFO" and alert.service_id and not escalated:
            self._recall()
            self._alerts[alert.alert_id] = alert
            incarnation = incarnation_of(alert)
            self._carry_out(self._core.alerted(alert.service_id, alert.alert_id, incarnation, time.monotonic()))
            return
        if alert.type == "heartbeat_restored":
            self._carry_out(self._core.recovered(alert.service_id, time.monotonic()))
        self._pass_on(alert)

    def _recall(self) -> None:
        """Read the earlier restarts from the event log, once, before the first decision, so that a supervisor that is
        itself restarted keeps its counts."""
        if self._recalled:
            return
        try:
            for child, started, incident in self._journal.recall():
                self._core.recall(child, started, incident)
        except TronError as error:
            _log.warning("restarts_not_recalled service_id=%s error=%r", self._agent.service_id, error)
        self._recalled = True

    def _pass_on(self, alert: Alert) -> None:
        if self._on_alert is not None:
            self._others.offer(alert)
        elif alert.severity != "CRITICAL":
            alert.acknowledge()
        self._inbox.handled(alert.alert_id)

    def _carry_out(self, decisions: list[Decision]) -> None:
        for decision in decisions:
            match decision:
                case Restart():
                    self._begin(self._restart, decision, self._alerts[decision.alert_id])
                case Escalate():
                    self._begin(self._escalate, decision, self._alerts[decision.alert_id])
                case Acknowledge():
                    for alert_id in decision.alert_ids:
                        self._alerts.pop(alert_id).acknowledge()
                        self._inbox.handled(alert_id)

    def _begin(self, act: Callable[[Any, Alert], Report], decision: Restart | Escalate, alert: Alert) -> None:
        def run() -> None:
            self._reports.append(act(decision, alert))
            self._woken.set()

        threading.Thread(target=run, name=f"tron-child-{decision.child}", daemon=True).start()

    def _restart(self, decision: Restart, alert: Alert) -> Report:
        return partial(self._core.ended, decision.child, self._restarter.carry_out(decision, alert))

    def _escalate(self, decision: Escalate, alert: Alert) -> Report:
        ended: EscalationOutcome = "failed"
        try:
            if self._restarter.still_fails(alert, decision.incarnation):
                self._journal.escalate(decision, alert)
                ended = "recorded"
            else:
                ended = "not_needed"
        except Exception as error:
            if not self._over.is_set():
                _log.warning("not_escalated service_id=%s error=%r", decision.child, error)
        return partial(self._core.escalated, decision.child, ended)
