"""A cache of the registry's answers about credentials, with the rules for how long an answer is valid. Pure.

This program watches the registry: over an open stream, the registry reports each change of principals and grants.

| the registry                    | a credential with a cached answer                      | any other credential  |
|---------------------------------|--------------------------------------------------------|-----------------------|
| answers, and is watched         | the answer is valid until anything changes             | the registry is asked |
| answers, but is not watched     | the answer is valid for UNWATCHED seconds              | the registry is asked |
| does not answer                 | the answer is valid for GRACE seconds after the        | is refused            |
|                                 | registry last confirmed it                             |                       |

All answers are dropped at the first message of each watch, and at each message with a different revision (a registry
that was restored from a backup has a lower one). So no answer is used after this program was notified of a change.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime

from grid_model.access import Principal

from grid_hosting.credential import Credential

MOST_KEPT = 10_000
"""Maximum number of cached answers. Overflow rule: the least recently used answer is dropped; the registry is asked
again when it is needed."""

QUIET = 3.0
"""Seconds without a message after which a watch no longer counts as open; the registry sends one each second."""

UNWATCHED = 1.0
"""Seconds for which an answer is valid without an open watch. A revoked credential is refused within this time."""

GRACE = 300.0
"""Seconds for which callers with a cached answer are still accepted while the registry does not answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The registry's answer about one credential: the principal that it authenticates."""

    principal: Principal
    at: float
    """When the registry was asked, in monotonic seconds."""
    epoch: int
    """The value of `Answers.epoch` when the registry was asked."""


class Answers:
    """The cached answers of the registry. `now` is in monotonic seconds."""

    def __init__(self) -> None:
        self.epoch = 0
        """A number that grows whenever all answers are dropped. An answer with an earlier number may no longer be
        true."""
        self.away = False
        """Whether the registry did not answer the last call, or its watch fell silent or broke. Callers with a cached
        answer then do not wait for the registry."""
        self._kept: OrderedDict[Credential, Answer] = OrderedDict()
        self._revision: int | None = None
        self._heard_at = -math.inf

    def __len__(self) -> int:
        return len(self._kept)

    def watched(self, now: float) -> bool:
        """Return whether the watch is open, so that this program would be notified of a change."""
        return self._revision is not None and now - self._heard_at <= QUIET

    def heard(self, revision: int, now: float) -> bool:
        """Record a message of the watch. If it is the first message of a watch, or its revision differs from that of
        the previous message, drop all answers. Return whether the answers were dropped."""
        self._heard_at, self.away = now, False
        if revision == self._revision:
            return False
        self._revision = revision
        self._kept.clear()
        self.epoch += 1
        return True

    def lost(self) -> None:
        """Record that the watch has ended. The first message of the next watch then drops all answers."""
        self._revision = None

    def keep(self, credential: Credential, answer: Answer) -> None:
        """Cache an answer, unless all answers were dropped while this program waited for this one."""
        self.away = False
        if answer.epoch != self.epoch:
            return
        self._kept[credential] = answer
        self._kept.move_to_end(credential)
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)

    def drop(self, credential: Credential) -> None:
        """Drop the cached answer about a credential that the registry now refuses."""
        self.away = False
        self._kept.pop(credential, None)

    def current(self, credential: Credential, now: float, wall: datetime) -> Principal | None:
        """Return the principal of a credential from its cached answer, for use while the registry answers. Return None
        if the registry must be asked."""
        found = self._valid(credential, wall)
        if found is None or not (self.watched(now) or now - found.at <= UNWATCHED):
            return None
        return found.principal

    def known(self, credential: Credential, now: float, wall: datetime) -> Principal | None:
        """Return the principal of a credential from its cached answer, for use while the registry does not answer.
        Return None if there is no answer, or if it was last confirmed more than GRACE seconds ago."""
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
