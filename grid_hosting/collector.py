"""Limits the pauses of Python's garbage collector, however large the fleet is.

A full collection visits every live container: about 90 for each stream, so it takes 0.4 to 1.2 s at 20,000 agents,
again and again while a fleet attaches. With this module, a full collection visits only objects that were created since
the last one, because the objects that survive it are excluded from later collections (`gc.freeze`).

A collection of young objects can take as long. Python starts one when the number of created containers minus the number
of freed containers reaches a threshold. If each heartbeat frees the containers that the previous heartbeat created, the
threshold is reached late, and hundreds of thousands of objects have accumulated by then. So `step` collects at regular
intervals instead.

Reference counts free nearly all objects of a server, frozen or not; only reference cycles need the collector. A cycle
that is frozen is never freed, so calls and streams must leave no cycles when they end (a test checks that).
"""

from __future__ import annotations

import gc
import time

from grid_hosting.pauses import PAUSES, Moment, Pauses

THRESHOLDS = (2_500, 1, 1)
"""The thresholds for `gc.set_threshold`. In a burst, a full collection runs after about 2,500 x 2 x 2 new containers;
it visits these and at most FREEZE_AT older ones. With 90,000 instead, a pause was 50 to 80 ms."""

FREEZE_AT = 2_000
"""Maximum number of survivors of a full collection that the next one visits again, which takes about 1 ms; more
survivors are frozen. A burst has many full collections, and most of their cost is to visit survivors again."""

MIDDLE_AFTER = 0.003
"""Seconds spent in young collections after which the middle generation, which has their survivors, is collected."""

FULL_AFTER = 0.006
"""Seconds spent in middle collections after which everything is collected that is not frozen."""


class Collector:
    """Keeps the pauses of the garbage collector short after `install` was called."""

    def __init__(self, pauses: Pauses = PAUSES) -> None:
        self._pauses = pauses
        self._began = Moment.now()
        self._young = self._middle = 0.0

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
        """Collect young objects, and older ones when that is due. The event loop must call this many times a second."""
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
        self._pauses.since(self._began, "collector")


def _freeze_all() -> None:
    """Collect, freeze the survivors, and collect again, when nothing is left to visit.

    Python delays a full collection until a quarter of the survivors of the last one were added. The second collection
    sets the number of survivors to zero; without it, the next one would wait for a quarter of all frozen objects.
    """
    gc.collect()
    gc.freeze()
    gc.collect()


def _timed(generation: int) -> float:
    began = time.thread_time()
    gc.collect(generation)
    return time.thread_time() - began


COLLECTOR = Collector()
"""The collector of this process."""
