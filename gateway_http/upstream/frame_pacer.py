"""Decides when the replica makes a frame for its subscribers: soon after a change, at most twenty times a second."""

from __future__ import annotations

import asyncio
import time

from gateway_http.replica.replica import Replica

FLUSH_EVERY = 0.05
"""Seconds between two frames for subscribers, so that a storm of changes is one frame and not thousands."""

HEARD_EVERY = 1.0
"""Seconds between two frames that contain nothing but the times of heartbeats."""

LOOK_EVERY = 0.25
"""Seconds between two checks whether the replica is still current."""


class FramePacer:
    """Makes the frames of a replica while `run` runs."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica

    async def run(self) -> None:
        """Make frames of the changes in the replica until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._make_frames())
            tasks.create_task(self._look())

    async def _make_frames(self) -> None:
        changes = self._replica.unframed
        seen = 0
        while True:
            await changes.beyond(seen)
            seen = changes.value
            self._replica.make_frame()
            await asyncio.sleep(FLUSH_EVERY)

    async def _look(self) -> None:
        """Check whether the registry fell silent, and make a frame for services of which only heartbeats arrived."""
        replica = self._replica
        heard_at = time.monotonic()
        while True:
            await asyncio.sleep(LOOK_EVERY)
            now = time.monotonic()
            if not replica.is_liveness_framed or (replica.has_heard and now - heard_at >= HEARD_EVERY):
                heard_at = now
                replica.unframed.step()
