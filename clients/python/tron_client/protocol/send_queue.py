"""What goes up a heartbeat stream, in which order, and when. Decisions only: no clock, no locks.

Nothing here can overflow: at most one registration and one goodbye wait, beats are made when they are due, and
acknowledgements that wait are ids of alerts that came on the stream before, which the inbox bounds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tron_client.protocol.messages import AlertAck
from tron_client.schedule import BeatSchedule

if TYPE_CHECKING:
    from tron_client.protocol.messages import Goodbye, Register

ANSWER_PATIENCE = 30.0
"""Seconds from when a registration has left until the stream is abandoned unanswered. Keepalive finds a dead connection
sooner; a registry under load may need many seconds, and trying again then would only add to it."""

_STOPPED = 1.0
"""Seconds beyond ANSWER_PATIENCE after which its end was noticed late, because this process was stopped."""


class SendQueue:
    """The next message of the stream that is open now."""

    def __init__(self, interval: float) -> None:
        self._schedule = BeatSchedule(interval)
        self.open = False
        """Whether more may be sent on this stream."""
        self.confirmed = False
        """Whether the registry answered the registration on this stream: beats and acknowledgements may go."""
        self.goodbye_sent = False
        """Whether the goodbye went out on a stream."""
        self.goodbye_waits_for_answer = False
        """Whether the goodbye must name an incarnation, and so waits for the registry to answer the registration."""
        self._registration: Register | None = None
        self._registration_due = 0.0
        self.registration_sent = False
        """Whether the registration went out on this stream."""
        self._handed_at: float | None = None
        self._leaving = False
        self._unanswered_since: float | None = None
        self._beat_at_once = False
        self._acks: dict[str, None] = {}  # a set that keeps the order
        self._goodbye: Goodbye | None = None

    def start(self, registration: Register) -> None:
        """A new stream is open; the registration is its first message."""
        self.open = True
        self._registration, self._handed_at, self._unanswered_since = registration, None, None
        self._registration_due = float("-inf")
        self.confirmed = self.registration_sent = self._leaving = self.goodbye_sent = False
        self._schedule.stop()

    def close(self) -> None:
        """Nothing more is sent on this stream."""
        self.open = False
        self._schedule.stop()

    def announce(self, registration: Register, *, pause_beats: bool) -> None:
        """Register on the stream that is open; a service that is unknown there must not beat until it is known."""
        self._registration, self._registration_due = registration, float("-inf")
        if pause_beats:
            self.confirmed = False
            self._schedule.stop()

    def announce_later(self, registration: Register, due: float) -> None:
        """Register once more on the stream that is open, at `due`; nothing else is sent before."""
        self.announce(registration, pause_beats=True)
        self._registration_due, self._leaving, self._unanswered_since = due, False, None

    def confirm(self, now: float, *, beat_at_once: bool) -> None:
        """The registry answered the registration.

        The first beat is due one interval after the registration was handed over, not after the answer: the registry
        counts from its answer, which may be on its way for as long as the agent may be silent.
        """
        if self.open and not self._schedule.running:
            self._schedule.start(now if self._handed_at is None else self._handed_at)
        self.confirmed, self._unanswered_since, self._leaving = True, None, False
        self._beat_at_once = self._beat_at_once or beat_at_once

    def beat_at_once(self) -> None:
        """Beat at once beside the schedule, or as soon as registered."""
        self._beat_at_once = True

    def acknowledge(self, alert_id: str) -> None:
        """Send the acknowledgement of an alert; it waits while no stream carries the service."""
        self._acks[alert_id] = None

    def say_goodbye(self, goodbye: Goodbye) -> None:
        """Send the goodbye after all that waits, then close."""
        self._goodbye = goodbye

    @property
    def leaving(self) -> bool:
        """Whether a goodbye waits, or went out."""
        return self._goodbye is not None

    def withdraw(self) -> bool:
        """Send no registration on the stream that is open; returns False if one has gone out already."""
        if self.open and self.registration_sent:
            return False
        self.open = False
        return True

    def forget(self) -> None:
        """Close, and drop the acknowledgements that wait."""
        self.close()
        self._acks.clear()

    def next_message(self, now: float) -> Register | AlertAck | Goodbye | None:
        """The message that waits, if one does. Asking for it means that the message before has left.

        A transport hands a message over long before it leaves if the stream waits for its connection. Patience is for
        an answer, not for the connection.
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
        """Whether a beat is due."""
        due_in = self._schedule.due_in(now) if self.open else None
        return due_in == 0.0 or (self._beat_at_once and due_in is not None)

    def beat_taken(self, now: float) -> None:
        """The beat that is due is sent."""
        self._beat_at_once = False
        self._schedule.beaten(now)

    def unanswered(self, now: float) -> bool:
        """Whether the registration has waited too long for its answer.

        If the end of the patience is noticed much too late, this process was stopped: the answer may be there, unread,
        and patience begins again.
        """
        if not self.open or self._unanswered_since is None:
            return False
        late = now - self._unanswered_since - ANSWER_PATIENCE
        if late > _STOPPED:
            self._unanswered_since = now
        return 0.0 <= late <= _STOPPED

    def deadline(self, now: float) -> float | None:
        """When to ask again, on the clock of `now`; None: not before something else happens."""
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
