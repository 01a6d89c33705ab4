"""The newest events in the format of the legacy Event Stream, for single requests and for sending to all clients.
Pure."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any

from tron_client.models import Event

from gateway_http.legacy.broadcasts import Envelope, Translator, flat
from gateway_http.replica.reader import Gap, Reader
from gateway_http.replica.replica import Replica
from gateway_http.replica.tail import KEPT

HISTORY = 100
"""Number of events that a new Socket.IO client receives, as in the legacy service."""


class EventBuffer:
    """The newest events of the replica, converted to the format of the legacy Event Stream. Call `catch_up` before each
    use."""

    def __init__(self, replica: Replica, on_failure: Callable[[Event, Exception], None] | None = None) -> None:
        """`on_failure` is called with each event that cannot be converted, and the error. Such an event has no
        messages, and the events behind it are converted nevertheless."""
        self._replica = replica
        self._on_failure = on_failure
        self._reader = Reader(replica)
        self._translator = Translator(replica.mirror.last_seen)
        self._loaded = 0
        self._translated: OrderedDict[int, list[Envelope]] = OrderedDict()
        self._history: deque[Envelope] = deque(maxlen=HISTORY)
        # Overflow rule: the oldest is dropped; clients see it in the history. Each turn of the pump empties it.
        self._pending: deque[Envelope] = deque(maxlen=KEPT)

    def catch_up(self) -> None:
        """Convert the events that arrived since the last call, and queue their messages for all clients."""
        tail = self._replica.tail
        if tail.epoch and not self._loaded:
            self._loaded = tail.epoch
            self._reader.events()
            for known in tail.newest(KEPT):
                self._translate(known)
            self._pending.clear()
            return
        for event in self._reader.events():
            if not isinstance(event, Gap):
                self._translate(event)

    @property
    def history(self) -> list[Envelope]:
        """Return the messages that a new Socket.IO client receives, oldest first."""
        return list(self._history)

    def recent(self, limit: int) -> list[dict[str, Any]]:
        """Return at most `limit` of the newest messages in the format of /events/recent, oldest first."""
        return [flat(each) for envelopes in self._translated.values() for each in envelopes][-limit:]

    def envelopes_of(self, event: Event) -> list[Envelope]:
        """Return the messages of the legacy Event Stream for an event; an empty list if the event is no longer
        buffered."""
        return self._translated.get(event.sequence, [])

    def next_pending(self) -> Envelope | None:
        """Remove and return the next message that must be sent to all clients; None if no message is waiting."""
        return self._pending.popleft() if self._pending else None

    async def wait(self) -> None:
        """Wait until a new event may have arrived."""
        await self._reader.wait()

    def _translate(self, event: Event) -> None:
        envelopes = self._envelopes(event)
        self._translated[event.sequence] = envelopes
        if len(self._translated) > KEPT:
            self._translated.popitem(last=False)
        self._history.extend(envelopes)
        self._pending.extend(envelopes)

    def _envelopes(self, event: Event) -> list[Envelope]:
        try:
            return self._translator.envelopes(event)
        except Exception as error:
            if self._on_failure is not None:
                self._on_failure(event, error)
            return []
