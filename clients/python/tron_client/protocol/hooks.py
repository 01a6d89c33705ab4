"""Calls the program back: each call has a short-lived thread of its own, so that it cannot delay the stream."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from tron_client.models import Event

_log = logging.getLogger("tron_client")


@dataclass(frozen=True, slots=True)
class Hooks:
    """The program's callbacks; None: it gave none."""

    on_superseded: Callable[[int], object] | None
    on_declared_down: Callable[[Event], object] | None

    def superseded(self, service_id: str, incarnation: int) -> None:
        """This incarnation took over."""
        _call("superseded", self.on_superseded, service_id, incarnation)

    def declared_down(self, service_id: str, event: Event) -> None:
        """The service was declared down."""
        _call("declared_down", self.on_declared_down, service_id, event)


def _call(what: str, callback: Callable[[Any], object] | None, service_id: str, argument: object) -> None:
    if callback is None:
        return

    def call() -> None:
        try:
            callback(argument)
        except Exception:
            _log.exception("callback_failed service_id=%s callback=on_%s", service_id, what)

    threading.Thread(target=call, name=f"tron-{what}", daemon=True).start()
