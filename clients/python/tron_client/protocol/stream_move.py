"""Opens the next stream of agents before the present one ends: waits for the renewed credential and for the connection,
in a thread of its own. `Handover` decides which agents move, and when."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING, Protocol

from tron_client.protocol import stream_log
from tron_client.protocol.handover import REGISTERED_WITHIN, Handover
from tron_client.schedule import Backoff

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tron_client.address import Address
    from tron_client.protocol.session import AgentSession
    from tron_client.protocol.shared_stream import Renewal, SharedStream

CONNECT_WITHIN = 10.0
"""Seconds within which the connection of the next stream must be open."""

LONGEST_WAIT = 5.0
"""The greatest number of seconds between two attempts, or between two checks for a renewed credential."""

_LOOK = 0.05
"""Seconds between two checks of the former stream, because its changes do not wake this thread."""


class MovingStream(Protocol):
    """A stream whose agents can be moved to another stream."""

    address: Address
    changed: threading.Condition
    stream: SharedStream

    def may_renew(self) -> bool:
        """Return whether the next stream may use another credential."""

    def following(self) -> MovingStream:
        """Create the next stream, on a new connection that is not open yet, and return it."""

    def connect(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for the connection; return whether it is open. If it is not, the channel is
        closed."""

    def start_beside(self, move: StreamMove) -> None:
        """Open this stream while the former stream is still open. When this stream ends, call `move.give_back` before
        the end is handled. The caller must hold the lock."""

    def pass_on(self, sessions: Iterable[AgentSession], to: MovingStream) -> None:
        """Transfer these agents, which the `SharedStream` has handed over, to the transport `to`. The caller must hold
        the lock."""

    def wind_up(self) -> None:
        """End the stream if it carries no agent. The caller must hold the lock."""


class StreamMove:
    """Moves the agents of one stream to the next one, in as many attempts as are needed, until `stop` is called."""

    def __init__(self, former: MovingStream, renewal: Renewal) -> None:
        self._former, self._renewal = former, renewal
        self._following: MovingStream | None = None
        self._handover: Handover | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tron-next-stream", daemon=True)

    @property
    def running(self) -> bool:
        """Whether the thread that moves agents still runs, so that it may still move agents."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread that moves the agents."""
        stream_log.asked_to_move(
            self._former.address, self._renewal.ends_at - time.monotonic(), renews=self._renewal.renews
        )
        self._thread.start()

    def stop(self) -> None:
        """Make no further attempt, because the former stream has ended."""
        self._stopped.set()

    def give_back(self) -> None:
        """End the attempt: agents that are not registered on the next stream return to the former one. The caller must
        hold the lock."""
        handover, self._handover = self._handover, None
        if handover is not None and self._following is not None:
            self._following.pass_on(handover.give_back(), self._former)

    def _run(self) -> None:
        backoff, delay = Backoff(cap=LONGEST_WAIT), 0.0
        while not self._stopped.wait(delay):
            if (not self._renewal.renews or self._former.may_renew()) and self._attempt():
                return
            delay = backoff.next_delay(random.random())

    def _attempt(self) -> bool:
        """Try once; return whether the agents have moved."""
        former, following = self._former, self._former.following()
        if not following.connect(CONNECT_WITHIN):
            stream_log.not_moved(former.address, "the connection could not be opened")
            return False
        with following.changed:
            if not self._stopped.is_set():
                self._hand_over(former, following)
            moved = self._handover is not None and self._handover.complete
            if moved and self._handover is not None:
                self._handover.finish()
                self._handover = None
            self.give_back()
            former.wind_up()
            following.wind_up()
        if moved:
            stream_log.moved(former.address, len(following.stream))
        else:
            stream_log.not_moved(former.address, "not every agent was registered in time")
        return moved

    def _hand_over(self, former: MovingStream, following: MovingStream) -> None:
        """Move the agents, until all of them have moved or the time is over."""
        handover = Handover(former.stream, following.stream)
        self._following, self._handover = following, handover
        former.pass_on(handover.begin(), following)
        if not len(following.stream):
            return
        following.start_beside(self)
        deadline = time.monotonic() + REGISTERED_WITHIN
        while self._handover is handover and not handover.complete and time.monotonic() < deadline:
            following.changed.wait(_LOOK)
            if self._handover is handover:
                former.pass_on(handover.advance(), following)
