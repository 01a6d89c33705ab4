"""The answers of TRON to health checks: TronService is SERVING only while TRON is watching the registry."""

from __future__ import annotations

from grid.tron.v1 import tron_service_pb2

from grid_hosting.health import Context, Status, StatusOf
from grid_hosting.watermark import Watermark

TRON_SERVICE = tron_service_pb2.DESCRIPTOR.services_by_name["TronService"].full_name


class TronHealth:
    """The state of TRON from which the health service derives its answers."""

    def __init__(self) -> None:
        self.changes = Watermark()
        self.draining = False
        self._watching = False

    def watching(self, watching: bool) -> None:
        """Set whether TRON is watching, and notify the open health watches of a change."""
        if watching != self._watching:
            self._watching = watching
            self.changes.step()

    def drain(self) -> None:
        """Answer NOT_SERVING from now on, and end all open health watches."""
        self.draining = True
        self.changes.wake()

    def seen_by(self, context: Context) -> StatusOf:
        """Return the function that answers health checks. Every caller gets the same function."""
        return self._status

    async def _status(self, name: str) -> int | None:
        if name not in ("", TRON_SERVICE):
            return None
        serving = not self.draining and (self._watching or not name)
        return int(Status.SERVING if serving else Status.NOT_SERVING)
