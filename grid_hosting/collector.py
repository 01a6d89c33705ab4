"""Bounds the pauses of Python's garbage collector, however large the fleet is.

A full collection visits every container that is alive: about 90 for each stream, so 0.4 to 1.2 s at 20,000 agents,
again and again while a fleet attaches. Here it visits only what was made since the last one: what survives a full
collection is moved out of its sight (`gc.freeze`).

Young collections can be as long: Python counts containers made less containers freed, so where each beat frees what
the one before had made, it waits while hundreds of thousands gather. Here `step` collects by the clock.

Reference counts free nearly all memory of a server, frozen or not; only cycles need the collector. Measured: a call or
stream that ends leaves 5 objects of grpc in a cycle and none of ours (a test holds that), a call that is refused 44. So
the cycles of calls that are under way at a freeze can stay behind. They are counted, and if they may be too much, one
collection visits everything; nothing else can bound that memory.
"""

from __future__ import annotations

import gc
import time

from grid_hosting.pauses import PAUSES, Moment, Pauses

THRESHOLDS = (5_000, 5, 2)
"""In a burst, a full collection comes after about 5,000 x 6 x 3 new containers: it visits these and FREEZE_AT."""

FREEZE_AT = 2_000
"""Survivors of a full collection that are still visited by the next one: about 1 ms. In a burst there are many full
collections, so what each visits again is most of their cost."""

MIDDLE_AFTER = 0.003
"""Seconds of young collections after which the middle generation is collected: what they visited comes again."""

FULL_AFTER = 0.006
"""Seconds of middle collections after which all is collected that is not frozen."""

LEFT_BEHIND = 10_000
"""Calls under way at freezes after which one collection visits everything: their cycles may be 40 MB."""


class Collector:
    """Keeps the pauses of the garbage collector short, from `install` on."""

    def __init__(self, pauses: Pauses = PAUSES) -> None:
        self.calls = 0
        """Calls that are under way now."""
        self._pauses = pauses
        self._began = Moment.now()
        self._young = self._middle = 0.0
        self._left_behind = 0

    def install(self) -> None:
        """Collect once, freeze all objects that exist, and observe each later collection."""
        _freeze_all()
        gc.set_threshold(*THRESHOLDS)
        gc.callbacks.append(self._collecting)

    def uninstall(self) -> None:
        """Restore the collector's original settings."""
        gc.callbacks.remove(self._collecting)
        gc.set_threshold(700, 10, 10)
        gc.unfreeze()

    def step(self) -> None:
        """Collect young objects, and older ones when that is due. Call this many times a second."""
        if self._left_behind >= LEFT_BEHIND:
            self._left_behind = 0
            gc.unfreeze()
            _freeze_all()
            return
        self._young += _timed(0)
        if self._young >= MIDDLE_AFTER:
            self._young = 0.0
            self._middle += _timed(1)
        if self._middle >= FULL_AFTER:
            self._middle = 0.0
            gc.collect(2)

    def _collecting(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._began = Moment.now()
            return
        if info["generation"] == 2 and len(gc.get_objects(2)) > FREEZE_AT:
            gc.freeze()
            self._left_behind += self.calls
        self._pauses.since(self._began, "collector")


def _freeze_all() -> None:
    """Collect, freeze what survives, and collect again, when nothing is left to visit.

    Python puts a full collection off until a quarter of the survivors of the last one were added. The second collection
    sets that number to zero; without it the next would wait for a quarter of all objects that are frozen.
    """
    gc.collect()
    gc.freeze()
    gc.collect()


def _timed(generation: int) -> float:
    began = time.thread_time()
    gc.collect(generation)
    return time.thread_time() - began


COLLECTOR = Collector()
"""That of this process."""
