"""How long stalls of the registry may hold judgement: one reattach window each, and a minute in a row at most.

After a stall, what was known before it is held back for the reattach window. A registry that stalls again and again
would hold everything forever, and no death would be reported. So stalls that follow each other before a window is over
are one sequence, and its windows end a minute after its first stall at the latest. Then everything is judged once on
what was read, before the next stall can hold it again. Pure.
"""

from __future__ import annotations

LONGEST = 60.0
"""Attentive seconds for which one sequence of stalls may hold a judgement."""


class Hold:
    """Since when evidence counts."""

    def __init__(self) -> None:
        self._began = 0.0
        """The first stall of the sequence."""
        self._reported: float | None = None
        self._evidence_from = 0.0
        self._judged = False
        """Whether anything was judged since the sequence began, with nothing held."""

    def evidence_from(self, now: float, hearing_since: float, window: float) -> float:
        """The attentive second before which evidence is held back, for `window` seconds from then.

        `now`: the attentive second that is judged. `hearing_since`: the end of the registry's newest stall.
        """
        longest = max(LONGEST, window)
        if self._reported is None:
            self._began = self._reported = self._evidence_from = hearing_since
        elif hearing_since == self._reported:
            self._judged = self._judged or now >= self._evidence_from + window
        elif not self._judged and now >= self._began + longest:
            self._judged = True  # this moment is judged before anything is held again
        else:
            if self._judged:
                self._began, self._judged = hearing_since, False
            self._reported = hearing_since
            newest = self._began + longest - window
            self._evidence_from = max(self._evidence_from, min(hearing_since, newest))
        return self._evidence_from
