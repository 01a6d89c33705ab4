"""Notes whether anybody watches the services, for as long as the gateway runs."""

from __future__ import annotations

import asyncio

from gateway_http.judge import Judge
from gateway_http.live_feed import LiveFeed
from gateway_http.watch_log import WatchLog

LOOK_EVERY = 0.5


class WatchRecorder:
    """Keeps a `WatchLog` true while `run` runs."""

    def __init__(self, log: WatchLog, feed: LiveFeed, judge: Judge) -> None:
        self._log = log
        self._feed = feed
        self._judge = judge

    async def run(self) -> None:
        """Look twice a second until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if self._feed.loaded:
                self._log.note(self._is_watched(), self._feed.now())

    def _is_watched(self) -> bool:
        if not self._feed.live:
            return False
        if self._judge.status.reachable:
            return self._judge.status.watching
        # A TRON that we can not ask may still judge: the registry shows UNKNOWN for all as soon as nobody does.
        return any(each.service.liveness != "UNKNOWN" for each in self._feed.mirror.entries.values())
