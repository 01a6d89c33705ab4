"""The newest events in the format of the legacy Event Stream: for requests of a client, and for all clients. Pure."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Any

from tron_client.models import Event

from gateway_http.legacy.broadcasts import Envelope, Translator, flat
from gateway_http.replica.reader import Gap, Reader
from gateway_http.replica.replica import Replica
from gateway_http.replica.tail import KEPT

HISTORY = 100
"""Events that a new Socket.IO client gets, as the legacy buffer held."""


class EventBuffer:
    """Follows the event log by its own cursor; call `catch_up` before each use."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._reader = Reader(replica)
        self._translator = Translator(replica.mirror.last_seen)
        self._loaded = 0
        self._translated: OrderedDict[int, list[Envelope]] = OrderedDict()
        self._history: deque[Envelope] = deque(maxlen=HISTORY)
        # Overflow rule: the oldest is dropped; clients see it in the history. Each turn of the pump empties it.
        self._pending: deque[Envelope] = deque(maxlen=KEPT)

    def catch_up(self) -> None:
        """Translate the events that arrived since the last call."""
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
        """Return the events that a new client receives, oldest first."""
        return list(self._history)

    def recent(self, limit: int) -> list[dict[str, Any]]:
        """Return the newest events in the flat format, oldest first."""
        return [flat(each) for envelopes in self._translated.values() for each in envelopes][-limit:]

    def envelopes_of(self, event: Event) -> list[Envelope]:
        """Return an event in the format of the legacy Event Stream; empty if it is no longer kept."""
        return self._translated.get(event.sequence, [])

    def next_pending(self) -> Envelope | None:
        """Return the next event to be sent to all clients; None if there is none."""
        return self._pending.popleft() if self._pending else None

    async def wait(self) -> None:
        """Wait until there may be a new event."""
        await self._reader.wait()

    def _translate(self, event: Event) -> None:
        envelopes = self._translator.envelopes(event)
        self._translated[event.sequence] = envelopes
        if len(self._translated) > KEPT:
            self._translated.popitem(last=False)
        self._history.extend(envelopes)
        self._pending.extend(envelopes)
