"""The system under test: `tron up`, a parent that remembers its alerts, and what is said about agents that are well."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tron_client import Event, MonitorClient, RegistryClient, TronError

from tests.support.ears import Ear, listening
from tests.support.processes import System, start_system
from tests.support.waiting import wait_until

WINDOW = 3.0
"""`reattach_window` here, so that what is held back for it is soon seen to come, or not to come."""

PARENT = "chaos-parent"
FALSE_ALARMS = frozenset({"heartbeat_miss", "service_suspect", "service_down", "service_deregistered"})
"""What must never be said about an agent that is well."""

TOLERANCE = float(os.environ.get("CHAOS_TOLERANCE", "1.0"))
"""`tolerance_min` here, in seconds. `make test` runs other tests beside these: an agent may wait longer than the
default 0.25 s for a processor, and its heartbeat is then late in fact. `make chaos`, which has the machine alone, sets
the default."""

SILENT = 2.0 + TOLERANCE
"""Seconds after its last heartbeat at which an agent with an interval of 1 s is down."""

DEATHS = frozenset({"service_down", "service_deregistered"})


class Ground:
    """A running system and its parent agent. The registry keeps its address over restarts."""

    def __init__(self, system: System, parent: Ear, window: float) -> None:
        self.system = system
        self.window = window
        self.parent = parent
        self.address = system.registry_address
        self.client = RegistryClient(self.address, timeout=10.0)
        self.tron = MonitorClient(system.tron_address, timeout=10.0)

    def mark(self) -> int:
        """The number of the newest event: what is said from now on has a higher one."""
        return self.client.list_events(newest=True, limit=1).last_sequence

    def said(self, since: int, types: Collection[str] = (), about: Collection[str] = ()) -> list[Event]:
        """The events after `since`, of these types and about these services; all if none is named."""
        found: list[Event] = []
        while True:
            page = self.client.list_events(after_sequence=since, limit=1000)
            found += page.events
            if not page.next_after_sequence:
                break
            since = page.next_after_sequence
        return [each for each in found if (not types or each.type in types) and (not about or each.service_id in about)]

    def alive(self) -> set[str]:
        """The services that are connected and ALIVE; none while the registry does not answer."""
        with suppress(TronError):
            listed = self.client.list_services().services
            return {each.service_id for each in listed if each.connected and each.liveness == "ALIVE"}
        return set()

    def wait_alive(self, service_ids: Collection[str], timeout: float = 30.0) -> float:
        """Wait until all of them are connected and ALIVE; return how many seconds that took."""
        began = time.monotonic()
        wanted = set(service_ids)
        wait_until(lambda: wanted <= self.alive(), timeout, f"{len(wanted)} agents are alive")
        return time.monotonic() - began

    def settle(self, timeout: float = 60.0) -> None:
        """Wait until nothing is held back any more: the registry has been receiving heartbeats for a window and more,
        so every suspicion about agents that did not come back, and the deaths that follow, were raised."""

        def heard_for() -> float:
            with suppress(TronError):
                return float(self.tron.explain("service-registry").evidence["registry_hears_for_seconds"])
            return 0.0

        wait_until(lambda: heard_for() > self.window + 2.5, timeout, "the registry hears for longer than the window")


def fleet(prefix: str, count: int, **fields: Any) -> list[dict[str, Any]]:
    """What `count` agents declare, each with a stream of its own: a heartbeat each second."""
    declared = {"parent": PARENT, "heartbeat_interval": 1.0, "own_stream": True, **fields}
    return [{"service_id": f"{prefix}-{number}", **declared} for number in range(count)]


def ids(declared: Sequence[dict[str, Any]]) -> set[str]:
    """Their service ids."""
    return {each["service_id"] for each in declared}


def write_settings(folder: Path, *more: str, window: float = WINDOW) -> Path:
    """A settings file with the window, and more lines for `[monitor.policy]`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "chaos.toml"
    path.write_text(
        "\n".join(["[monitor.policy]", f"reattach_window = {window}", f"tolerance_min = {TOLERANCE}", *more, ""])
    )
    return path


@contextmanager
def ground(
    folder: Path,
    *policy: str,
    env: dict[str, str] | None = None,
    under: Sequence[str] = (),
    window: float = WINDOW,
) -> Iterator[Ground]:
    """A system with a parent, until the block ends."""
    settings = write_settings(folder, *policy, window=window)
    with (
        start_system(folder, "--config", str(settings), env=env, under=under) as system,
        listening(system.registry_address, PARENT) as parent,
    ):
        running = Ground(system, parent, window)
        try:
            wait_until(lambda: running.tron.get_stats().watching, 20, "TRON watches")
            yield running
        finally:
            running.client.close()
            running.tron.close()
