"""Calls the callbacks of an agent's program, one call at a time, in threads that do not delay the stream."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from tron_client.callback_pool import Lane
    from tron_client.callbacks import Callbacks
    from tron_client.models import Event

_log = logging.getLogger("tron_client")


@dataclass(frozen=True, slots=True)
class Hooks:
    """The program's callbacks; None for a callback that the program did not give."""

    on_superseded: Callable[[int], object] | None
    on_declared_down: Callable[[Event], object] | None
    callbacks: Callbacks
    lane: Lane

    def superseded(self, service_id: str, incarnation: int) -> None:
        """Call `on_superseded` with the incarnation that took over."""
        self._call("superseded", self.on_superseded, service_id, incarnation)

    def declared_down(self, service_id: str, event: Event) -> None:
        """Call `on_declared_down` with the event that declared the service down."""
        self._call("declared_down", self.on_declared_down, service_id, event)

    def _call(self, what: str, callback: Callable[[Any], object] | None, service_id: str, argument: object) -> None:
        if callback is None:
            return

        def run(done: Callable[[], None]) -> None:
            def ended(error: Exception | None) -> None:
                if error is not None:
                    _log.error("callback_failed service_id=%s callback=on_%s", service_id, what, exc_info=error)
                done()

            self.callbacks.begin(callback, argument, ended)

        self.lane.run(run)
