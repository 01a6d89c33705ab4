"""Limits how long stalls of the registry may hold verdicts: one reattach window each, and one minute for a sequence of
stalls.

After a stall, evidence from before the stall is ignored for the reattach window. A registry that stalls repeatedly
would hold all verdicts forever, and no death would be reported. So stalls form a sequence if each follows before the
window of the previous one is over, and the last window of a sequence ends at most a minute after its first stall. When
it has ended, all services are evaluated once, on the facts that were read. Only then can a further stall hold verdicts
again. Pure.
"""

from __future__ import annotations

LONGEST = 60.0
"""Attentive seconds for which one sequence of stalls may hold verdicts."""


class Hold:
    """Decides which evidence is too old to count after the registry stalled."""

    def __init__(self) -> None:
        self._began = 0.0
        """The first stall of the sequence."""
        self._reported: float | None = None
        self._evidence_from = 0.0
        self._judged = False
        """Whether anything was judged since the sequence began, with nothing held."""

    def evidence_from(self, now: float, hearing_since: float, window: float) -> float:
        """Return an attentive second. Until `window` seconds after it, evidence from before it is ignored. `now`: the
        attentive second of the evaluation. `hearing_since`: the end of the registry's newest stall."""
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
