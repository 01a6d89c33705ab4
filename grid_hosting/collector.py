"""Bounds the pauses of Python's garbage collector, however large the fleet is.

A full collection visits every container that is alive: about 90 for each stream, so 0.4 to 1.2 s at 20,000 agents,
again and again while a fleet attaches. Here it visits only what was made since the last one: what survives a full
collection is moved out of its sight (`gc.freeze`), and is never visited again: even at 5,000 agents that took 0.9 s.

Reference counts free nearly all memory of a server, frozen or not; only cycles need the collector. Measured: a stream
that ends leaves no cycle, a call that is answered leaves 5 objects in cycles, one that is refused 44. So only the
cycles of calls that are under way at a freeze can stay behind, a few kilobytes, and there is one freeze for each
`FREEZE_AT` objects that came to stay.
"""

from __future__ import annotations

import gc

from grid_hosting.pauses import PAUSES, Moment, Pauses

THRESHOLDS = (5_000, 5, 2)
"""A full collection comes after about 5,000 x 6 x 3 new containers: it visits these and FREEZE_AT, in about 15 ms."""

FREEZE_AT = 50_000
"""Survivors of a full collection that are still visited by the next one."""


class Collector:
    """Keeps the collector's pauses short, from `install` on."""

    def __init__(self, pauses: Pauses = PAUSES) -> None:
        self._pauses = pauses
        self._began = Moment.now()

    def install(self) -> None:
        """Collect once, keep out of sight what there is, and watch over each collection from now on."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(*THRESHOLDS)
        gc.callbacks.append(self._collecting)

    def uninstall(self) -> None:
        """Leave the collector as Python starts with it."""
        gc.callbacks.remove(self._collecting)
        gc.set_threshold(700, 10, 10)
        gc.unfreeze()

    def _collecting(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._began = Moment.now()
            return
        if info["generation"] == 2 and len(gc.get_objects(2)) > FREEZE_AT:
            gc.freeze()
        self._pauses.since(self._began, "collector")
