"""Watchers, subscribers and browsers that stop reading: nobody else waits for them, and they cost a bounded amount."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from grid.events.v1 import event_service_pb2, event_service_pb2_grpc
from grid.registry.v1 import registry_service_pb2, registry_service_pb2_grpc
from tron_client import RegistryClient

from tests.chaos.conftest import Figure
from tests.chaos.ground import FALSE_ALARMS, Ground, fleet, ground, ids
from tests.e2e.raw_agent import open_channel
from tests.support.fleet import agents
from tests.support.waiting import let_pass, wait_until
from tests.support.writer import Writer

KEPT = 10_000
"""Recent events that the registry keeps in memory (`registry_server/core/event_log.py`)."""

READERS = 100
"""Watchers, subscribers, and browsers: 100 of each."""


@contextmanager
def deaf_readers(running: Ground) -> Iterator[None]:
    """Streams on which what is sent is never read, until the block ends."""
    with ExitStack() as held:
        for _ in range(READERS):
            channel = held.enter_context(open_channel(running.address))
            watch = registry_service_pb2_grpc.RegistryServiceStub(channel).WatchServices(
                registry_service_pb2.WatchServicesRequest()
            )
            events = event_service_pb2_grpc.EventServiceStub(channel).SubscribeEvents(
                event_service_pb2.SubscribeEventsRequest(after_sequence=0)
            )
            held.callback(watch.cancel)
            held.callback(events.cancel)
        at = urlsplit(running.system.url("hmi_http"))
        for _ in range(READERS):
            browser = held.enter_context(socket.socket())
            browser.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            browser.connect((at.hostname, at.port))
            browser.sendall(f"GET /v1/stream HTTP/1.1\r\nHost: {at.netloc}\r\n\r\n".encode())
        yield


def memory(running: Ground) -> float:
    """What registry and gateway hold now, in MB."""
    pages = sum(
        int(Path(f"/proc/{running.system.child_pid(name)}/statm").read_text().split()[1])
        for name in ("registry", "gateway")
    )
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.chaos
@pytest.mark.timeout(300)
def test_readers_that_stop_reading(tmp_path: Path, figure: Figure) -> None:
    """P4, P7: 100 watchers, 100 subscribers and 100 browsers that read nothing, while much is written for 90 s."""
    healthy = fleet("steady", 20)
    with ground(tmp_path) as running, agents(running.address, healthy):
        running.wait_alive(ids(healthy))
        since = running.mark()
        seen: list[int] = []
        reader = RegistryClient(running.address)

        def read() -> None:
            seen.extend(event.sequence for event in reader.subscribe_events(since, types=["written"]))

        threading.Thread(target=read, daemon=True).start()
        with deaf_readers(running):
            writers = [Writer(running.address, size=4_000, prefix=f"w{n}", one_service=True) for n in range(4)]
            for writer in writers:
                writer.start()
            wait_until(lambda: len(seen) > KEPT, 120, "the event log in memory is as long as it gets")
            before, began = memory(running), len(seen)
            let_pass(40)
            grown = memory(running) - before
            for writer in writers:
                writer.stop()
            written = {sequence for writer in writers for sequence in writer.events}
            wait_until(lambda: written <= set(seen), 30, "the reader that reads has everything")
        assert seen == sorted(seen)
        assert running.said(since, FALSE_ALARMS, ids(healthy)) == []
        assert grown < 50, "what is kept for them has a bound"
        reader.close()
    figure(
        grown, f"MB more in registry and gateway after {len(seen) - began} more events; a reader that reads missed none"
    )
