"""A client that writes without a pause and notes what was acknowledged; afterwards all of it must be there."""

from __future__ import annotations

import threading

from tron_client import RegistryClient, TronError

from tests.support.waiting import wait_until


class Writer(threading.Thread):
    """Registers and publishes as fast as it is answered; notes only what was acknowledged."""

    def __init__(self, address: str, *, size: int = 0, prefix: str = "written", one_service: bool = False) -> None:
        """`size`: bytes in the details of each event. `one_service`: register the same one again and again."""
        super().__init__(daemon=True)
        self._client = RegistryClient(address, timeout=2.0)
        self._over = threading.Event()
        self._details = {"filler": "x" * size} if size else {}
        self._prefix = prefix
        self._one_service = one_service
        self.services: list[str] = []
        self.events: list[int] = []
        self.refused = 0

    def run(self) -> None:
        """Write until stopped. What fails was not acknowledged."""
        number = 0
        while not self._over.wait(0.005):
            number += 1
            try:
                self.services.append(
                    self._client.register(
                        f"{self._prefix}-{0 if self._one_service else number}",
                        name="written",
                        heartbeat_interval=3600.0,
                        ttl=86_400.0,
                    ).service_id
                )
                self.events.append(
                    self._client.publish_event("written", message=str(number), details=self._details).sequence
                )
            except TronError:
                self.refused += 1

    def wait_for_more(self, count: int, timeout: float = 30.0) -> None:
        """Wait until this many more events were acknowledged, so that a fault strikes in the middle of writing."""
        goal = len(self.events) + count
        wait_until(lambda: len(self.events) >= goal, timeout, "the writer is at work")

    def stop(self) -> None:
        """End it."""
        self._over.set()
        self.join(10)
        self._client.close()

    def lost(self, client: RegistryClient) -> tuple[list[str], list[int]]:
        """What was acknowledged and is not there: registrations, and numbers of events."""
        listed = {service.service_id for service in client.list_services().services}
        return sorted(set(self.services) - listed), sorted(set(self.events) - sequences(client))


def sequences(client: RegistryClient) -> set[int]:
    """The numbers of all events that are kept."""
    found: set[int] = set()
    after = 0
    while True:
        page = client.list_events(after_sequence=after, limit=1000)
        found |= {event.sequence for event in page.events}
        if not page.next_after_sequence:
            return found
        after = page.next_after_sequence
