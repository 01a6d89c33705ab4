"""Records whether TRON is watching the services, for as long as the gateway runs."""

from __future__ import annotations

import asyncio

from gateway_http.replica.replica import Replica
from gateway_http.replica.watch_log import WatchLog
from gateway_http.upstream.tron_status import TronStatusPoller

LOOK_EVERY = 0.5


class WatchRecorder:
    """Records in a `WatchLog` whether TRON is watching the services, while `run` runs."""

    def __init__(self, log: WatchLog, replica: Replica, tron: TronStatusPoller) -> None:
        self._log = log
        self._replica = replica
        self._tron = tron

    async def run(self) -> None:
        """Record twice a second whether TRON is watching the services, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if self._replica.loaded:
                self._log.note(self._is_watched(), self._replica.now())

    def _is_watched(self) -> bool:
        if not self._replica.live:
            return False
        if self._tron.status.reachable:
            return self._tron.status.watching
        # A TRON that we cannot reach may still be watching: the registry shows UNKNOWN for all services if it is not.
        return any(each.service.liveness != "UNKNOWN" for each in self._replica.mirror.entries.values())
