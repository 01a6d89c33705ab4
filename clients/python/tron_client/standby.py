"""Runs one agent in several processes of a machine: one process holds the service id, the others wait and send nothing.

If the holder dies, the kernel releases its lock, and a process on standby takes the lock and registers. A holder that
leaves in good order first lets a process on standby take over, and keeps sending heartbeats until that process has
registered; if no process waits, the holder sends a goodbye. So the service stays registered, without an alert, as long
as one of the processes runs.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from tron_client import forks, leaving
from tron_client.id_lock import IdLock, LockUnavailable
from tron_client.signals import FAREWELLS

if TYPE_CHECKING:
    from tron_client.protocol.agent_transport import AgentTransport

_log = logging.getLogger("tron_client")

_LOOK_EVERY = 0.1
"""Seconds between two attempts to get the service id: much less than the reconnect grace, so that no alert is
issued."""
_LOOK_FOR_SUCCESSOR = 0.03
_TOUCH_EVERY = 3600.0
"""Seconds after which the files are touched, so that cleaners of temporary directories leave them alone."""
_GOODBYE = 0.5
"""Seconds that are kept for a goodbye if no process takes over in time."""


class Standby:
    """Starts the agent's transport once this process holds the service id, and lets another process take over when this
    process leaves. Thread-safe."""

    def __init__(self, transport: AgentTransport, registry: str, service_id: str) -> None:
        self._transport = transport
        self._registry = registry
        self._service_id = service_id
        self._lock: IdLock | None = None
        self._waiting = False
        self._asked = threading.Event()
        self._abandoned = False
        self._reason = ""
        self._unseen = False
        self._deadline = 0.0
        self._thread = threading.Thread(target=self._run, name=f"tron-standby-{service_id}", daemon=True)
        forks.watch(self)

    @property
    def waiting(self) -> bool:
        """Whether this process waits because another process holds the service id."""
        return self._waiting

    def start(self) -> None:
        """Take the service id and start the transport, or wait until the id is free. If this machine offers no locks,
        start the transport anyway."""
        self._transport.reserve()
        try:
            self._lock = IdLock(self._registry, self._service_id)
            held = self._lock.acquire()
            if not held:  # before `start` returns, or the holder might leave without seeing us
                self._lock.wait_in_line()
        except LockUnavailable as error:
            _log.error("standby_unavailable service_id=%s why=%s", self._service_id, error)
            self._lock = None
            self._transport.start()
            return
        self._waiting = not held
        if held:
            self._transport.start()
        else:
            _log.info("standing_by service_id=%s registry=%s", self._service_id, self._registry)
        leaving.left(self._transport)
        leaving.expect(self)
        self._thread.start()

    def say_goodbye(self, reason: str, *, unseen: bool = False, timeout: float = leaving.PATIENCE) -> None:
        """Begin to leave: let another process take over within `timeout` seconds, or send a goodbye.

        `unseen` means that a signal is about to end the program. The program must then not notice that the agent ends;
        otherwise it might exit before the signal ends it.
        """
        if self._lock is None:
            self._transport.say_goodbye(reason, unseen=unseen)
            return
        self._unseen = unseen
        self._reason, self._deadline = reason, time.monotonic() + max(0.0, timeout - _GOODBYE)
        self._asked.set()

    def join(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds until the agent has left; return whether it has."""
        if self._thread.ident is None:
            return self._transport.join(timeout)
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def abandon(self) -> None:
        """End the agent without a goodbye; a process on standby takes over."""
        self._abandoned = True
        self._asked.set()
        self._transport.abandon()
        self.join(1.0)
        FAREWELLS.left(self)

    def after_fork(self) -> None:
        """Close the inherited locks in a forked child without releasing them, because they belong to the parent
        process."""
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.close()
        self._asked, self._waiting = threading.Event(), False

    def _run(self) -> None:
        lock = self._lock
        if lock is None:
            return
        try:
            if not lock.held and not self._wait_for_turn(lock):
                self._transport.hand_over(unseen=self._unseen)
                self._transport.abandon()
                return
            touched = time.monotonic()
            while not self._asked.wait(_LOOK_EVERY) and not self._transport.over:
                if time.monotonic() - touched > _TOUCH_EVERY:
                    lock.touch()
                    touched = time.monotonic()
            if self._asked.is_set() and not self._abandoned:
                self._hand_over(lock)
            elif self._transport.state == "superseded":
                lock.say_superseded(self._transport.superseded_by)
        except LockUnavailable as error:
            _log.error("standby_unavailable service_id=%s why=%s", self._service_id, error)
            self._transport.say_goodbye(self._reason)
        finally:
            self._waiting = False
            lock.close()
            leaving.left(self)
            FAREWELLS.left(self)

    def _wait_for_turn(self, lock: IdLock) -> bool:
        """Wait for the id; return whether this process got it and started the transport."""
        touched = time.monotonic()
        while not self._asked.is_set():
            if lock.acquire():
                lock.leave_line()
                taken_by = lock.superseded_by()
                if taken_by is not None:
                    self._transport.step_aside(taken_by)
                    return True
                _log.info("taking_over service_id=%s", self._service_id)
                self._waiting = False
                self._transport.start()
                leaving.left(self._transport)
                return True
            lock.wait_in_line()
            if time.monotonic() - touched > _TOUCH_EVERY:
                lock.touch()
                touched = time.monotonic()
            self._asked.wait(_LOOK_EVERY)
        return False

    def _hand_over(self, lock: IdLock) -> None:
        transport = self._transport
        transport.hand_over(unseen=self._unseen)
        while not transport.over:
            # In this order: while we hold the id, no process can take it between our look and our goodbye.
            if lock.acquire():
                if not lock.someone_waits():
                    break
                lock.release()
            if time.monotonic() >= self._deadline:
                # No process took over in time. A later one is a new incarnation, which this goodbye cannot remove.
                break
            transport.wait_over(_LOOK_FOR_SUCCESSOR)
        if not transport.over:
            transport.say_goodbye(self._reason)
        transport.join(max(_GOODBYE, self._deadline + _GOODBYE - time.monotonic()))
        transport.abandon()
