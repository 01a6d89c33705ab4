"""A registry and a TRON that watches it: what most tests of evaluations need, at a tenth of the cost of `tron up`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tron_client import MonitorClient

from tests.support.processes import Monitor, Registry, start_monitor, start_registry
from tests.support.waiting import wait_until


@dataclass(frozen=True)
class Watched:
    """The two programs."""

    registry: Registry
    monitor: Monitor

    @property
    def registry_address(self) -> str:
        """Where the registry listens."""
        return self.registry.address

    @property
    def tron_address(self) -> str:
        """Where TRON listens."""
        return self.monitor.address

    @property
    def log(self) -> str:
        """What both have printed so far."""
        return self.registry.log + self.monitor.log


@contextmanager
def start_watched(folder: Path, *arguments: str) -> Iterator[Watched]:
    """Run both below `folder` until the block ends, each with these arguments. Yields when TRON watches."""
    with (
        start_registry(folder / "registry" / "data", *arguments) as registry,
        start_monitor(folder / "monitor" / "data", registry.address, *arguments) as monitor,
    ):
        with MonitorClient(monitor.address) as tron:
            wait_until(lambda: tron.get_stats().watching, 10, "TRON watches")
        yield Watched(registry, monitor)
