"""An agent: a service that registers, sends heartbeats automatically, and receives alerts about its children."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from typing import TYPE_CHECKING, Self

from grid_model.declaration import DEFAULT_INTERVAL

from tron_client import arguments, forks
from tron_client.alerts import Alert, AlertCalls, AlertInbox
from tron_client.callbacks import Callbacks
from tron_client.channel import resolve_address
from tron_client.declaring import declare, declares
from tron_client.loop_lag import LoopLag
from tron_client.monkey_patches import require_usable
from tron_client.protocol.agent_transport import AgentTransport
from tron_client.protocol.connection import connection_to
from tron_client.protocol.hooks import Hooks
from tron_client.reporting import checked_figures, checked_status
from tron_client.signals import FAREWELLS
from tron_client.standby import Standby

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from types import TracebackType
    from typing import Unpack

    from grid_model.declaration import Declared

    from tron_client.endpoint import Endpoint
    from tron_client.models import Event, Service

__all__ = ["Agent", "Alert"]

_log = logging.getLogger("tron_client")


class Agent:
    """A service that is registered from `start` to `stop`, or for the length of a `with` block.

    Agents of a process with equal endpoints share one stream. Threads send the heartbeats, so neither a blocked event
    loop nor a slow callback stops the heartbeats of a healthy agent. Each heartbeat reports how late the event loop
    runs, and how often `advance` was called, so that a hung agent is detected. All methods are thread-safe. An Agent
    can be started only once.
    """

    @declares(heartbeat_interval=DEFAULT_INTERVAL)
    def __init__(
        self,
        service_id: str,
        *,
        name: str = "",
        registry: Endpoint | str | None = None,
        status: str = "ok",
        on_alert: Callable[[Alert], object] | None = None,
        on_superseded: Callable[[int], object] | None = None,
        on_declared_down: Callable[[Event], object] | None = None,
        register_timeout: float = 5.0,
        handle_sigterm: bool = True,
        standby: bool = False,
        own_stream: bool = False,
        **declared: Unpack[Declared],
    ) -> None:
        """Describe the service; nothing is sent before `start`.

        Intervals are in seconds. A callback is a function, which runs in a thread, or a coroutine function, which runs
        in the event loop that runs at the start (if no loop runs then, each call runs in a loop of its own). `on_alert`
        is called with one alert at a time, and acknowledges the alert by returning without an exception.
        `on_superseded` is called with the incarnation that took over, `on_declared_down` with the event that reports
        the service as down. `standby` means that other processes of this machine and user run the same agent: one
        process holds the id, the others wait, and one of them takes over when the holder leaves or dies. With
        `own_stream`, the agent shares its stream with no other agent of this process. Raises InvalidRequest, with the
        name of the field, for an argument out of range; its subclass WrongType (also a TypeError) for an argument of a
        wrong type; ValueError for a `registry` (or TRON_REGISTRY) that is not an address.

        With `handle_sigterm`, if the program handles neither SIGTERM nor SIGHUP, the agent sends a goodbye before one
        of these signals ends the program.
        """
        interval = arguments.seconds("heartbeat_interval", declared.get("heartbeat_interval", DEFAULT_INTERVAL))
        declared["heartbeat_interval"] = interval
        message = declare(service_id, name or service_id, **declared)
        first_status = checked_status(status)
        self._lag = LoopLag()
        self._register_timeout = arguments.seconds("register_timeout", register_timeout, positive=False)
        self._hearing, self._notices = Callbacks(), Callbacks()
        self._on_alert = arguments.callback("on_alert", on_alert)
        self._address = resolve_address(arguments.optional_address("registry", registry))
        connection = connection_to(self._address, own_stream=arguments.flag("own_stream", own_stream))
        self._lanes = (connection.lane(), connection.lane())
        hooks = Hooks(
            arguments.callback("on_superseded", on_superseded),
            arguments.callback("on_declared_down", on_declared_down),
            self._notices,
            self._lanes[0],
        )
        self._transport = AgentTransport(message, interval, connection, first_status, self._lag, hooks)
        self._standby: Standby | None = None
        if arguments.flag("standby", standby):
            held_as = arguments.text("service_id", service_id, empty=False)
            self._standby = Standby(self._transport, self._address.text, held_as)
        self._alert_calls: AlertCalls | None = None
        forks.watch(self)
        self._lock = threading.Lock()
        self._started = False
        self._handle_sigterm = arguments.flag("handle_sigterm", handle_sigterm)

    def after_fork(self) -> None:
        """Detach the agent in a forked child, because the agent runs in the parent process. If the agent was started
        before the fork, it is `stopped` in the child; otherwise it may be started in the child."""
        self._lock, self._alert_calls = threading.Lock(), None
        for lane in self._lanes:
            lane.after_fork()
        self._hearing.after_fork()
        self._notices.after_fork()

    def start(self) -> None:
        """Register the service and begin to send heartbeats; do nothing if the agent was started before.

        Waits up to `register_timeout` seconds. If the registry does not answer, the agent logs a warning, returns, and
        keeps trying in the background. Raises InvalidRequest if the registry refuses the registration, and RuntimeError
        in a process that gevent or eventlet has patched in a way that gRPC cannot work with.
        """
        self._attach_running_loop()
        self._launch()

    def stop(self, reason: str = "", timeout: float = 2.0) -> None:
        """Send a goodbye and end, within `timeout` seconds. The registry removes the service without an alert.

        Does nothing if the agent was not started or has ended. Without a connection the agent tries to send the goodbye
        until `timeout` has passed. If it cannot, the registry receives no goodbye, and the end of the agent is detected
        as a failure.
        """
        arguments.text("reason", reason)
        arguments.seconds("timeout", timeout, positive=False)
        if not self._started or self._transport.inherited:
            return
        deadline = time.monotonic() + timeout
        if self._standby is None:
            self._transport.say_goodbye(reason)
            self._transport.join(timeout)
        else:
            self._standby.say_goodbye(reason, timeout=timeout)
            self._standby.join(timeout)
        self._end(deadline - time.monotonic())

    def abandon(self) -> None:
        """End the agent without a goodbye; to the registry this looks like a crash."""
        if self._started and not self._transport.inherited:
            self._end(1.0)

    def report(
        self,
        status: str | None = None,
        *,
        p95_ms: float | None = None,
        queue_depth: int | None = None,
        load: float | None = None,
        message: str | None = None,
        progress: float | None = None,
        busy_for: float | None = None,
    ) -> None:
        """Report status and load; None leaves a value unchanged. A new status or message is sent at once, other values
        with the next heartbeat. `progress` is 0 to 1; `busy_for` declares that no progress is expected for this many
        seconds. Raises InvalidRequest, with the name of the field, for a value that a heartbeat cannot carry; no value
        is changed then."""
        figures = checked_figures(status, p95_ms, queue_depth, load, message, progress)
        self._transport.report(figures, arguments.optional_seconds("busy_for", busy_for, positive=False))

    def advance(self, n: int = 1) -> None:
        """Raise the activity counter by `n`, to show that the work makes progress. TRON uses the counter if the agent
        declared `stall_after`."""
        self._transport.advance(arguments.whole("n", n))

    def attach_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Report how late this event loop runs, and run the callbacks that are coroutine functions in this event loop.

        An agent that is started inside a running loop attaches that loop automatically.
        """
        if not isinstance(loop, asyncio.AbstractEventLoop):
            arguments.wrong_type("loop", "an event loop", loop)
        self._lag.attach(loop)
        self._hearing.loop = self._notices.loop = loop

    async def alerts(self) -> AsyncIterator[Alert]:
        """Yield alerts as they arrive, including those that arrived before the call, until the agent ends. Acknowledge
        each alert.

        An alert that is not acknowledged when the next one is requested may be delivered again.
        """
        inbox, loop, came = self._transport.inbox, asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed, so nobody iterates any more
                loop.call_soon_threadsafe(came.set)

        with inbox.listening(wake):
            while not inbox.closed:
                came.clear()
                alert = inbox.take()
                if alert is None:
                    if not inbox.closed:
                        await came.wait()
                    continue
                try:
                    yield alert
                finally:
                    inbox.handled(alert.alert_id)

    def alerts_blocking(self) -> Iterator[Alert]:
        """Yield alerts as `alerts` does, for programs without an event loop."""
        inbox = self._transport.inbox
        while (alert := inbox.take(None)) is not None:
            try:
                yield alert
            finally:
                inbox.handled(alert.alert_id)

    def take_alert(self, timeout: float | None = None) -> Alert | None:
        """Return the oldest waiting alert, or wait for the next one: up to `timeout` seconds, or without a limit if
        `timeout` is None. Return None if no alert arrived.

        An alert that is not acknowledged may be delivered again.
        """
        alert = self._transport.inbox.take(arguments.optional_seconds("timeout", timeout, positive=False))
        if alert is not None:
            self._transport.inbox.handled(alert.alert_id)
        return alert

    def take_over_alerts(self) -> AlertInbox:
        """Return the inbox of the agent's alerts. The caller, such as a Supervisor, then handles the alerts in place of
        `on_alert` and `alerts`.

        Raises ValueError if the agent was given an `on_alert`, because each alert has only one handler.
        """
        if self._on_alert is not None:
            raise ValueError("the agent was created with on_alert; pass on_alert to the Supervisor instead")
        return self._transport.inbox

    def wait_registered(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds until the agent is registered on a stream; return whether it is. Raises
        InvalidRequest as `start` does."""
        return self._transport.wait_registered(arguments.seconds("timeout", timeout, positive=False))

    @property
    def state(self) -> str:
        """The agent's state: `starting`, `connected`, `cut_off` (the registry does not answer), `superseded` (another
        process took over: stop), `stopped`, or `standby` (another process of this machine holds the id)."""
        waits = self._standby is not None and self._standby.waiting
        return "standby" if waits else self._transport.state

    @property
    def healthy(self) -> bool:
        """Whether the registry receives the agent's heartbeats."""
        return self.state == "connected"

    @property
    def registry(self) -> str:
        """The address of the agent's registry, usually `host:port`."""
        return self._address.text

    @property
    def last_error(self) -> str:
        """The last reason why the agent was not registered, for example what answered at the address, or why the stream
        ended. Empty while the agent is connected, or while no reason is known. The text is for people; programs should
        look at `state`."""
        return self._transport.last_error

    @property
    def service_id(self) -> str:
        """The service id that the program declared, or that the registry assigned."""
        return self._transport.service_id

    @property
    def service(self) -> Service | None:
        """The service record that the registry sent at the last registration."""
        return self._transport.service

    @property
    def incarnation(self) -> int:
        """The incarnation that the agent holds; 0 before the first registration."""
        return self._transport.incarnation

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        self._attach_running_loop()
        await asyncio.to_thread(self._launch)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._transport.inherited:  # the loop's threads are not in a forked child either
            await asyncio.to_thread(self.stop)

    def _attach_running_loop(self) -> None:
        with contextlib.suppress(RuntimeError):
            self.attach_loop(asyncio.get_running_loop())

    def _launch(self) -> None:
        require_usable()
        with self._lock:
            if self._started:
                return
            self._started = True
            if self._on_alert is not None:
                inbox = self._transport.inbox
                self._alert_calls = AlertCalls(inbox, self._on_alert, self._hearing, self._lanes[1])
            leaver = self._standby or self._transport
            if self._handle_sigterm:
                FAREWELLS.expect(leaver)
            leaver.start()
        if self.state == "standby":
            return
        if not self._transport.wait_registered(self._register_timeout) and self.state == "starting":
            why = self.last_error or "no answer yet"
            _log.warning("not_registered_yet service_id=%s registry=%s why=%s", self.service_id, self._address, why)

    def _end(self, timeout: float) -> None:
        (self._standby or self._transport).abandon()
        self._transport.join(max(timeout, 0.5))
        if self._alert_calls is None or self._hearing.is_calling:
            return  # nothing to wait for, or the callback itself ends the agent
        if self._hearing.can_be_awaited:
            self._alert_calls.wait_idle(max(0.0, timeout))
        self._hearing.cancel()
