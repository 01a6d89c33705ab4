"""Where alerts go beside the parent: to operators. A sink never delays a verdict."""

from __future__ import annotations

from typing import Protocol

from tron.facts import AlertDraft


class Sink(Protocol):
    """Somebody who must hear what no agent could be told. Must not block and must not raise."""

    async def tell(self, alert: AlertDraft) -> None:
        """An alert for operators. Returns once it is held for good."""
        ...

    def undelivered(self, alert: AlertDraft) -> None:
        """An alert whose recipient is unknown or away; it is kept for the recipient too."""
        ...

    def registry_lost(self, seconds: float, why: str) -> None:
        """TRON has not heard the registry for so long: nobody is judged meanwhile."""
        ...

    def registry_back(self, seconds: float) -> None:
        """TRON hears the registry again."""
        ...
