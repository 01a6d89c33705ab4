"""Decides what an agent sends on its heartbeat stream, in which order, and when. This module reads no clock and takes
no locks.

Nothing here can overflow. At most one registration and one goodbye wait, and beats are created when they are due. The
waiting acknowledgements are ids of alerts, and the inbox limits the number of alerts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tron_client.protocol.messages import AlertAck
from tron_client.schedule import BeatSchedule

if TYPE_CHECKING:
    from tron_client.protocol.messages import Goodbye, Register

ANSWER_PATIENCE = 30.0
"""Seconds that a sent registration may stay unanswered before the stream is abandoned. Keepalive detects a dead
connection sooner; a registry under load may need many seconds, and another attempt would only add to the load."""

_STOPPED = 1.0
"""If the end of ANSWER_PATIENCE is noticed later than this many seconds, this process itself was stopped."""


class SendQueue:
    """Provides the next message of an agent for the open stream."""

    def __init__(self, interval: float) -> None:
        self._schedule = BeatSchedule(interval)
        self.open = False
        """Whether more may be sent on this stream."""
        self.confirmed = False
        """Whether the registry answered the registration on this stream, so that beats and acknowledgements may be
        sent."""
        self.goodbye_sent = False
        """Whether the goodbye was sent on a stream."""
        self.goodbye_waits_for_answer = False
        """Whether the goodbye must contain an incarnation, and so is sent only after the registry has answered the
        registration."""
        self._registration: Register | None = None
        self._registration_due = 0.0
        self.registration_sent = False
        """Whether the registration was sent on this stream."""
        self._handed_at: float | None = None
        self._leaving = False
        self._unanswered_since: float | None = None
        self._beat_at_once = False
        self._acks: dict[str, None] = {}  # a set that keeps the order
        self._goodbye: Goodbye | None = None

    def start(self, registration: Register) -> None:
        """Begin a new stream, whose first message is the registration."""
        self.open = True
        self._registration, self._handed_at, self._unanswered_since = registration, None, None
        self._registration_due = float("-inf")
        self.confirmed = self.registration_sent = self._leaving = self.goodbye_sent = False
        self._schedule.stop()

    def close(self) -> None:
        """Send nothing more on this stream."""
        self.open = False
        self._schedule.stop()

    def announce(self, registration: Register, *, pause_beats: bool) -> None:
        """Register again on the open stream. With `pause_beats`, no heartbeat is sent until the registry confirms the
        registration."""
        self._registration, self._registration_due = registration, float("-inf")
        if pause_beats:
            self.confirmed = False
            self._schedule.stop()

    def announce_later(self, registration: Register, due: float) -> None:
        """Register again on the open stream at the time `due`; nothing else is sent before."""
        self.announce(registration, pause_beats=True)
        self._registration_due, self._leaving, self._unanswered_since = due, False, None

    def confirm(self, now: float, *, beat_at_once: bool) -> None:
        """Record that the registry confirmed the registration.

        The first heartbeat is due one interval after the registration was sent, and not one interval after the answer
        arrived. The registry measures silence from the moment when it sent the answer, and the answer may arrive late.
        """
        if self.open and not self._schedule.running:
            self._schedule.start(now if self._handed_at is None else self._handed_at)
        self.confirmed, self._unanswered_since, self._leaving = True, None, False
        self._beat_at_once = self._beat_at_once or beat_at_once

    def beat_at_once(self) -> None:
        """Send one more heartbeat at once, or as soon as the agent is registered."""
        self._beat_at_once = True

    def acknowledge(self, alert_id: str) -> None:
        """Send the acknowledgement of an alert. While no stream carries the service, the acknowledgement waits."""
        self._acks[alert_id] = None

    def say_goodbye(self, goodbye: Goodbye) -> None:
        """Send the goodbye after all waiting messages, then close the stream."""
        self._goodbye = goodbye

    @property
    def awaits_answer(self) -> bool:
        """Whether a registration was sent on this stream and is not answered yet."""
        return self._leaving or self._unanswered_since is not None

    @property
    def leaving(self) -> bool:
        """Whether a goodbye waits or has been sent."""
        return self._goodbye is not None

    def withdraw(self) -> bool:
        """Cancel the registration that waits for the open stream; return False if it was already sent."""
        if self.open and self.registration_sent:
            return False
        self.open = False
        return True

    def forget(self) -> None:
        """Close the stream, and drop the waiting acknowledgements."""
        self.close()
        self._acks.clear()

    def next_message(self, now: float) -> Register | AlertAck | Goodbye | None:
        """Return the next waiting message, or None. The transport must call this only after it has sent the previous
        message.

        While a stream waits for its connection, the transport fetches the registration long before it can send it. So
        the time limit for the answer to the registration begins at the next call, and does not include the wait for the
        connection.
        """
        if self._leaving:
            self._leaving, self._unanswered_since = False, now
        if not self.open:
            return None
        if self._registration is not None and now >= self._registration_due:
            registration, self._registration = self._registration, None
            self._handed_at, self._unanswered_since = now, None
            self._leaving = self.registration_sent = True
            return registration
        if self._acks and self.confirmed:
            ack = AlertAck(tuple(self._acks))
            self._acks.clear()
            return ack
        if self._goodbye is not None and self._goodbye_may_go:
            self.open, self.goodbye_sent = False, True
            return self._goodbye
        return None

    def beat_due(self, now: float) -> bool:
        """Return whether a heartbeat is due."""
        due_in = self._schedule.due_in(now) if self.open else None
        return due_in == 0.0 or (self._beat_at_once and due_in is not None)

    def beat_taken(self, now: float) -> None:
        """Record that the heartbeat that was due is being sent."""
        self._beat_at_once = False
        self._schedule.beaten(now)

    def unanswered(self, now: float) -> bool:
        """Return whether the registration has waited too long for its answer.

        If this process notices the end of the time limit much too late, the process itself was stopped. The answer may
        have arrived meanwhile and not have been read, so the wait begins again.
        """
        if not self.open or self._unanswered_since is None:
            return False
        late = now - self._unanswered_since - ANSWER_PATIENCE
        if late > _STOPPED:
            self._unanswered_since = now
        return 0.0 <= late <= _STOPPED

    def deadline(self, now: float) -> float | None:
        """Return when to call `next_message` again, as a time of the same clock as `now`. Return None if there is
        nothing to send until another method is called."""
        if not self.open:
            return None
        if (self._goodbye is not None and self._goodbye_may_go) or (self._acks and self.confirmed):
            return now
        if self._registration is not None:
            return max(now, self._registration_due)
        due = self._schedule.due
        if due is not None and self._beat_at_once:
            return now
        if self._unanswered_since is None:
            return due
        patience = self._unanswered_since + ANSWER_PATIENCE
        return patience if due is None else min(due, patience)

    @property
    def _goodbye_may_go(self) -> bool:
        return self.confirmed or not self.goodbye_waits_for_answer
