"""Opens the next stream of agents before the present one ends: waits for the renewed credential and for the connection,
in a thread of its own. `Handover` decides which agents move when.
"""

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
"""Seconds for the connection of the next stream."""

LONGEST_WAIT = 5.0
"""Seconds between two attempts, or two looks for a renewed credential, at most."""

_LOOK = 0.05
"""Seconds after which the former stream is looked at, whose changes do not wake this thread."""


class MovingStream(Protocol):
    """A stream that can pass its agents on."""

    address: Address
    changed: threading.Condition
    stream: SharedStream

    def may_renew(self) -> bool:
        """Return whether the next stream may present another credential."""

    def following(self) -> MovingStream:
        """Return the next stream, on a new connection that is not open yet."""

    def connect(self, timeout: float) -> bool:
        """Wait for the connection; return whether it is open. If not, it is closed."""

    def start_beside(self, move: StreamMove) -> None:
        """Open the stream. It calls `move.give_back` before it handles its end. Called with the lock held."""

    def pass_on(self, sessions: Iterable[AgentSession], to: MovingStream) -> None:
        """Let the other stream carry these agents, which the `SharedStream` has handed over. Called with the lock
        held."""

    def wind_up(self) -> None:
        """End the stream if it carries no agent. Called with the lock held."""


class StreamMove:
    """Moves the agents of one stream; it is tried until that succeeds or `stop` is called."""

    def __init__(self, former: MovingStream, renewal: Renewal) -> None:
        self._former, self._renewal = former, renewal
        self._following: MovingStream | None = None
        self._handover: Handover | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tron-next-stream", daemon=True)

    @property
    def running(self) -> bool:
        """Whether it may still move agents."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin."""
        stream_log.asked_to_move(
            self._former.address, self._renewal.ends_at - time.monotonic(), renews=self._renewal.renews
        )
        self._thread.start()

    def stop(self) -> None:
        """Begin no other attempt: the former stream has ended."""
        self._stopped.set()

    def give_back(self) -> None:
        """End the attempt: agents that are not registered on the next stream return to the former one. Called with the
        lock held."""
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
            stream_log.not_moved(former.address, "there was no connection")
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
            stream_log.not_moved(former.address, "it was not registered in time")
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
