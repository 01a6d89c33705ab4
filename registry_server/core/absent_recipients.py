"""Decides when alerts for recipients that are not registered are discarded. Pure.

A CRITICAL alert to a recipient that is not registered escalates at once: to the next live ancestor, or to the
operators. The copy for the recipient keeps waiting, because the recipient may only be restarting. A copy that has
waited `keep` seconds for an unregistered recipient is discarded. If the recipient was removed by a Deregister call, its
copies are discarded at once. A copy that must escalate is never discarded before it has escalated.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappop, heappush

from grid_model.event import Severity
from grid_model.event_types import NOT_ESCALATED
from grid_model.observation import Delivery

KEEP_ALERTS = 300.0
LOOK_AGAIN = 1.0
"""Attentive seconds after which a copy that must escalate before it may be discarded is checked again."""

MAX_REMOVED = 10_000
"""Maximum number of removed recipients that are remembered. Overflow rule: the oldest is forgotten, so alerts for it
wait `keep` seconds."""


class AbsentRecipients:
    """Holds, for each unregistered recipient, the next time at which its alert copies are checked. The number of these
    times is bounded by the number of recipients with waiting alerts."""

    def __init__(self, keep: float = KEEP_ALERTS) -> None:
        self.keep = keep
        self._removed: dict[str, None] = {}
        self._at: dict[str, float] = {}
        self._looks: list[tuple[float, str]] = []

    def alert_waits(self, recipient: str, now: float) -> None:
        """Record that an alert waits for a recipient that is not registered."""
        self._look_at(recipient, now if recipient in self._removed else now + self.keep)

    def removed(self, recipient: str, now: float) -> None:
        """Record that a Deregister call removed a recipient, so that the alerts for it are discarded and do not wait
        for its return."""
        self._removed[recipient] = None
        if len(self._removed) > MAX_REMOVED:
            del self._removed[next(iter(self._removed))]
        self._look_at(recipient, now)

    def returned(self, recipient: str) -> None:
        """Record that a recipient is registered, so that its alerts no longer wait for an absent recipient."""
        self._removed.pop(recipient, None)
        self._at.pop(recipient, None)

    def due(self, now: float) -> list[str]:
        """Return the recipients whose alert copies must be checked now, each once."""
        found: list[str] = []
        while self._looks and self._looks[0][0] <= now:
            at, recipient = heappop(self._looks)
            if self._at.get(recipient) == at:
                del self._at[recipient]
                found.append(recipient)
        return found

    def ended(self, recipient: str, copies: Iterable[Delivery], now: float) -> list[Delivery]:
        """Return which of these copies must be discarded now, and schedule a later check of the others. All of them are
        copies for one unregistered recipient."""
        over: list[Delivery] = []
        for copy in copies:
            ends_at = now if recipient in self._removed else copy.since + self.keep
            if ends_at > now:
                self._look_at(recipient, ends_at)
            elif must_escalate(copy):
                self._look_at(recipient, now + LOOK_AGAIN)
            else:
                over.append(copy)
        return over

    def _look_at(self, recipient: str, at: float) -> None:
        if at < self._at.get(recipient, float("inf")):
            self._at[recipient] = at
            heappush(self._looks, (at, recipient))


def must_escalate(copy: Delivery) -> bool:
    """Return whether another recipient must be notified before this copy may be discarded."""
    event = copy.event
    return event.severity is Severity.CRITICAL and not copy.escalated and event.type not in NOT_ESCALATED
