"""A parent agent in this process that remembers every alert that it was sent."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tron_client import Agent, Alert

from tests.support.waiting import wait_until


class Ear:
    """The agent and its alerts, in the order in which they came."""

    def __init__(self, registry: str, service_id: str, parent: str = "") -> None:
        self.alerts: list[Alert] = []
        self.agent = Agent(
            service_id,
            parent=parent,
            registry=registry,
            heartbeat_interval=1.0,
            own_stream=True,
            on_alert=self.alerts.append,
        )
        self.agent.start()

    def heard(self, kind: str, service_id: str) -> Alert | None:
        """The first alert of a type about a service; None if none came yet."""
        return next((each for each in list(self.alerts) if (each.type, each.service_id) == (kind, service_id)), None)

    def told_down(self) -> set[str]:
        """The services whose death was reported here: by an alert of their own, or listed in that of their parent."""
        found: set[str] = set()
        for alert in list(self.alerts):
            if alert.type in ("service_down", "service_deregistered"):
                found |= {alert.service_id, *map(str, alert.event.details.get("affected", ()))}
        return found

    def wait(self, kind: str, service_id: str, timeout: float = 15.0) -> Alert:
        """Wait for an alert of a type about a service."""
        found = wait_until(lambda: self.heard(kind, service_id), timeout, f"{kind} about {service_id}")
        assert found is not None
        return found

    def wait_down(self, service_ids: set[str], timeout: float = 30.0) -> float:
        """Wait until all these deaths were reported here; return how many seconds that took."""
        began = time.monotonic()
        wait_until(
            lambda: service_ids <= self.told_down(),
            timeout,
            f"deaths reported to {self.agent.service_id}, of {len(service_ids)}",
        )
        return time.monotonic() - began


@contextmanager
def listening(registry: str, service_id: str, parent: str = "") -> Iterator[Ear]:
    """A parent until the block ends; it says goodbye then."""
    ear = Ear(registry, service_id, parent)
    try:
        yield ear
    finally:
        ear.agent.stop()
