"""Bounds the pauses of Python's garbage collector, however large the fleet is.

A full collection visits every container that is alive: about 90 for each stream, so 0.4 to 1.2 s at 20,000 agents,
again and again while a fleet attaches. Here it visits only what was made since the last one: what survives a full
collection is moved out of its sight (`gc.freeze`).

Reference counts free nearly all memory of a server, frozen or not; only cycles need the collector. Measured: a stream
that ends leaves no cycle, a call that is answered leaves 5 objects in cycles, one that is refused 44. So only the
cycles of calls that are under way at a freeze can stay behind, and there is one freeze for each `FREEZE_AT` objects
that came to stay. A thorough collection finds those too; it runs if it is expected to be short.
"""

from __future__ import annotations

import gc
import time

from grid_hosting.pauses import PAUSES, Pauses

THRESHOLDS = (5_000, 5, 2)
"""A full collection comes after about 5,000 x 6 x 3 new containers, and so visits at most about 100,000: 10 ms."""

FREEZE_AT = 10_000
"""Survivors of a full collection that are few enough to be visited again: 1 ms."""

THOROUGH_AFTER = 50
"""Freezes between two thorough collections ..."""

THOROUGH_WITHIN = 0.02
"""... which run only if they are expected to take at most this many seconds."""


class Collector:
    """Keeps the collector's pauses short, from `install` on."""

    def __init__(self, pauses: Pauses = PAUSES) -> None:
        self._pauses = pauses
        self._began = 0.0
        self._freezes = 0
        self._per_object = 100e-9
        self._settling = False

    def install(self) -> None:
        """Collect once, keep out of sight what there is, and watch over each collection from now on."""
        gc.set_threshold(*THRESHOLDS)
        gc.callbacks.append(self._collecting)
        self.settle()

    def uninstall(self) -> None:
        """Leave the collector as Python starts with it."""
        gc.callbacks.remove(self._collecting)
        gc.set_threshold(700, 10, 10)
        gc.unfreeze()

    def settle(self) -> None:
        """Collect thoroughly, whatever it takes: for moments at which nobody waits, as the end of a start."""
        self._settling = True
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        self._settling = False
        self._freezes = 0

    def _collecting(self, phase: str, info: dict[str, int]) -> None:
        if self._settling:
            return
        if phase == "start":
            self._began = time.perf_counter()
            return
        if info["generation"] == 2:
            survivors = len(gc.get_objects(2))
            taken = time.perf_counter() - self._began
            if survivors > FREEZE_AT:
                self._per_object = taken / survivors
                self._freezes += 1
                gc.freeze()
        self._pauses.note("collector", time.perf_counter() - self._began)

    def tidy(self) -> None:
        """Collect thoroughly if that is due and short; call it now and then."""
        if self._freezes < THOROUGH_AFTER:
            return
        self._freezes = 0
        if gc.get_freeze_count() * self._per_object <= THOROUGH_WITHIN:
            with self._pauses.turn("collector"):
                self.settle()
