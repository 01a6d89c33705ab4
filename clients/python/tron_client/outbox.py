"""What goes up the Heartbeat stream, in which order, and when: the scheduler of beats.

grpc pulls from `messages` in a thread of its own, so beats leave whatever the program does. There is no queue to
overflow: at most one registration and one goodbye wait, beats are made when they are due, and acknowledgements that
wait are ids of alerts that came on the stream before, which the inbox bounds.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from grid.registry.v1 import heartbeat_pb2

from tron_client.schedule import BeatSchedule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ANSWER_PATIENCE = 30.0
"""Seconds from when a registration has left until the stream is given up unanswered. Keepalive finds a dead connection
sooner; a registry under load may need many seconds, and trying again then would only add to it."""

_STOPPED = 1.0
"""Seconds beyond ANSWER_PATIENCE after which its end was noticed late, because this process was stopped."""


class Outbox:
    """The next message of the stream that is open now. Safe from any thread."""

    def __init__(
        self,
        interval: float,
        compose_beat: Callable[[float], heartbeat_pb2.HeartbeatRequest | None],
        on_unanswered: Callable[[], None],
    ) -> None:
        """`compose_beat(now)` makes a beat, or None to end the stream; `on_unanswered`: nobody answered us."""
        self._changed = threading.Condition()
        self._compose_beat = compose_beat
        self._on_unanswered = on_unanswered
        self._schedule = BeatSchedule(interval)
        self._streams = 0
        self._open = False
        self._registration: heartbeat_pb2.Register | None = None
        self._handed_at: float | None = None
        self._announced_at: float | None = None
        self._leaving = False
        self._sent_registration = False
        self._registered = False
        self._beat_now = False
        self._acks: dict[str, None] = {}  # a set that keeps the order
        self._goodbye: heartbeat_pb2.Goodbye | None = None
        self._said_goodbye = False

    @property
    def said_goodbye(self) -> bool:
        """Whether the goodbye went out on a stream."""
        return self._said_goodbye

    def withdraw(self) -> bool:
        """Send no registration on the stream that is open; False if one has gone out already."""
        with self._changed:
            if self._open and self._sent_registration:
                return False
            self._open = False
            self._changed.notify_all()
            return True

    def open(self, registration: heartbeat_pb2.Register) -> Iterator[heartbeat_pb2.HeartbeatRequest]:
        """The messages of a new stream, the registration first; those of the stream before end."""
        with self._changed:
            self._streams += 1
            self._open = True
            self._registration, self._handed_at, self._announced_at = registration, None, None
            self._registered = self._sent_registration = self._leaving = False
            self._schedule.stop()
            self._changed.notify_all()
            stream = self._streams
        return self._messages(stream)

    def close(self) -> None:
        """The stream ended: its messages end, and the thread of grpc that waits for the next one is let go."""
        with self._changed:
            self._open = False
            self._schedule.stop()
            self._changed.notify_all()

    def announce(self, registration: heartbeat_pb2.Register, *, pause_beats: bool) -> None:
        """Register on the stream that is open; a service that is unknown there should not beat until it is known."""
        with self._changed:
            self._registration = registration
            if pause_beats:
                self._registered = False
                self._schedule.stop()
            self._changed.notify_all()

    def registered(self, *, beat_now: bool) -> None:
        """The registry answered: beats and acknowledgements may go.

        The first beat is due one interval after we handed the registration over, not after the answer: the registry
        counts from when it answered, and in a crowd the answer may be as long on its way as we may be silent.
        """
        with self._changed:
            if self._open and not self._schedule.running:
                self._schedule.start(time.monotonic() if self._handed_at is None else self._handed_at)
            self._registered, self._announced_at, self._leaving = True, None, False
            self._beat_now = self._beat_now or beat_now
            self._changed.notify_all()

    def after_fork(self) -> None:
        """In a forked child: the stream is the parent's, so nothing more goes out here."""
        self._changed = threading.Condition()
        self._open = False
        self._schedule.stop()
        self._acks.clear()

    def beat_now(self) -> None:
        """Beat at once beside the schedule, or as soon as registered."""
        with self._changed:
            self._beat_now = True
            self._changed.notify_all()

    def acknowledge(self, alert_id: str) -> None:
        """Send the acknowledgement of an alert; it waits where no stream is open."""
        with self._changed:
            self._acks[alert_id] = None
            self._changed.notify_all()

    def say_goodbye(self, goodbye: heartbeat_pb2.Goodbye) -> None:
        """Send the goodbye after everything that waits, then half-close."""
        with self._changed:
            self._goodbye = goodbye
            self._changed.notify_all()

    def _messages(self, stream: int) -> Iterator[heartbeat_pb2.HeartbeatRequest]:
        while (message := self._next(stream)) is not None:
            yield message

    def _next(self, stream: int) -> heartbeat_pb2.HeartbeatRequest | None:
        with self._changed:
            if self._leaving and stream == self._streams:
                # grpc asks for the next message when the one before has left, which may be long after it was handed
                # over: a stream waits for its connection. Patience is for an answer, not for the connection.
                self._leaving, self._announced_at = False, time.monotonic()
            while self._open and stream == self._streams:
                now = time.monotonic()
                message = self._waiting_message(now)
                if message is not None:
                    return message
                due_in = self._schedule.due_in(now)
                if due_in == 0.0 or (self._beat_now and due_in is not None):
                    self._beat_now = False
                    self._schedule.beaten(now)
                    break
                patience = None if self._announced_at is None else self._announced_at + ANSWER_PATIENCE - now
                if patience is not None and patience < -_STOPPED:
                    self._announced_at = now  # this process was stopped: the answer may be there, and was not read yet
                    continue
                if patience is not None and patience <= 0:
                    due_in = None
                    break
                self._changed.wait(min((each for each in (due_in, patience) if each is not None), default=None))
            else:
                return None
        # Outside the lock: these take the agent's lock, under which others may call us.
        if due_in is not None:
            return self._compose_beat(now)
        self._on_unanswered()
        return None

    def _waiting_message(self, now: float) -> heartbeat_pb2.HeartbeatRequest | None:
        if self._registration is not None:
            registration, self._registration = self._registration, None
            self._handed_at, self._announced_at = now, None
            self._leaving = self._sent_registration = True
            return heartbeat_pb2.HeartbeatRequest(register=registration)
        if self._acks and self._registered:
            ack = heartbeat_pb2.AlertAck(alert_ids=self._acks)
            self._acks.clear()
            return heartbeat_pb2.HeartbeatRequest(ack=ack)
        if self._goodbye is not None:
            self._open, self._said_goodbye = False, True
            return heartbeat_pb2.HeartbeatRequest(goodbye=self._goodbye)
        return None
