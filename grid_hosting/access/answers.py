"""What the registry has answered about credentials, and for how long each answer counts. Pure.

| the registry                    | a credential with a kept answer                       | any other credential |
|---------------------------------|-------------------------------------------------------|----------------------|
| its watch is open               | the answer counts until anything changes              | is asked about       |
| answers, but its watch is not   | the answer counts for UNWATCHED seconds               | is asked about       |
| does not answer                 | the answer counts for GRACE after the last word of it | is refused           |

All answers are dropped at the first message of each watch, and at each message with another revision: a registry that
was restored from a backup has a lower one. So no answer outlives a change of which this program has heard.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime

from grid_model.access import Principal

from grid_hosting.credential import Credential

MOST_KEPT = 10_000
"""Answers that are kept. Overflow rule: the one that was not used for the longest time is dropped, and asked again."""

QUIET = 3.0
"""Seconds without a message after which a watch no longer counts as open; the registry sends one each second."""

UNWATCHED = 1.0
"""Seconds for which an answer counts without a watch: a revoked credential is refused within this time."""

GRACE = 300.0
"""Seconds for which known callers go on while the registry does not answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The principal of a credential, as the registry knew it."""

    principal: Principal
    at: float
    """When it was asked, in monotonic seconds."""
    epoch: int
    """The epoch in which it was asked."""


class Answers:
    """The kept answers. `now`: monotonic seconds."""

    def __init__(self) -> None:
        self.epoch = 0
        """Rises whenever all answers are dropped; an answer of an earlier epoch may no longer be true."""
        self.away = False
        """Whether the registry did not answer the last call, or its watch fell silent or broke: known callers then
        do not wait for it."""
        self._kept: OrderedDict[Credential, Answer] = OrderedDict()
        self._revision: int | None = None
        self._heard_at = -math.inf

    def __len__(self) -> int:
        return len(self._kept)

    def watched(self, now: float) -> bool:
        """Return whether the watch is open, so that a change would be heard."""
        return self._revision is not None and now - self._heard_at <= QUIET

    def heard(self, revision: int, now: float) -> bool:
        """Take a message of the watch; return whether the answers were dropped."""
        self._heard_at, self.away = now, False
        if revision == self._revision:
            return False
        self._revision = revision
        self._kept.clear()
        self.epoch += 1
        return True

    def lost(self) -> None:
        """The watch has ended; the next one begins anew."""
        self._revision = None

    def keep(self, credential: Credential, answer: Answer) -> None:
        """Keep an answer, unless the answers were dropped since it was asked."""
        self.away = False
        if answer.epoch != self.epoch:
            return
        self._kept[credential] = answer
        self._kept.move_to_end(credential)
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)

    def drop(self, credential: Credential) -> None:
        """Drop the answer about a credential, which the registry refuses."""
        self.away = False
        self._kept.pop(credential, None)

    def current(self, credential: Credential, now: float, wall: datetime) -> Principal | None:
        """Return the principal of a credential if its answer counts while the registry answers."""
        found = self._valid(credential, wall)
        if found is None or not (self.watched(now) or now - found.at <= UNWATCHED):
            return None
        return found.principal

    def known(self, credential: Credential, now: float, wall: datetime) -> Principal | None:
        """Return the principal of a credential if its answer counts while the registry does not answer."""
        found = self._valid(credential, wall)
        # A kept answer is of this epoch, so the last message of the watch has confirmed it.
        if found is None or now - max(found.at, self._heard_at) > GRACE:
            return None
        return found.principal

    def _valid(self, credential: Credential, wall: datetime) -> Answer | None:
        found = self._kept.get(credential)
        if found is None:
            return None
        if found.principal.has_ended(wall):
            del self._kept[credential]
            return None
        self._kept.move_to_end(credential)
        return found
