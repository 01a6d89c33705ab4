"""The counts of services by status follow the copy, and look only at what changed."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from grid_model.service import ServiceStatus

from gateway_http.legacy.rows import status_of
from gateway_http.legacy.status_counts import StatusCounts
from gateway_http.replica.entry import Entry, Reported
from gateway_http.replica.mirror import Mirror
from tests.unit.gateway_http.builders import a_service, at, micros

STATUSES = [each.name.lower() for each in ServiceStatus]


def counted(mirror: Mirror) -> tuple[int, dict[str, int]]:
    """The counts, made from all services."""
    counts = Counter(status_of(each.as_heard()) for each in mirror.entries.values())
    return counts.total(), dict(counts)


def read(counts: StatusCounts) -> tuple[int, dict[str, int]]:
    """What `counts` says, without zeros."""
    found = {status: number for status, number in counts.read().items() if number}
    return counts.total, found


@pytest.mark.parametrize("seed", range(20))
def test_they_follow_whatever_happens(seed: int) -> None:
    chance, mirror = random.Random(seed), Mirror()
    eager, lazy = StatusCounts(mirror), StatusCounts(mirror)
    assert read(eager) == (0, {})
    revision = 1
    for _ in range(300):
        revision += 1
        service_id, incarnation = chance.choice("abcdefg"), chance.randrange(1, 4)
        down = {"liveness": "DOWN", "liveness_since": at(revision)} if chance.random() < 0.4 else {}
        service = a_service(service_id, incarnation, revision, status=chance.choice(STATUSES), **down)
        match chance.randrange(6):
            case 0:
                mirror.remove(revision, service_id)
            case 1 if service_id in mirror.entries:
                known = mirror.entries[service_id].current()
                mirror.beaten(known, Reported(chance.choice(STATUSES)), at(revision), revision)
            case 2:
                mirror.heard([incarnation], [micros(revision)])
            case 3:
                mirror.deregistered(service_id, revision)
            case 4 if chance.random() < 0.2:
                mirror.begin_snapshot()
                revision = chance.choice([1, revision])  # the registry began again, or not
                mirror.upsert(revision, service)
                mirror.complete(revision)
            case _:
                mirror.upsert(revision, service)
        assert read(eager) == counted(mirror)
        if chance.random() < 0.1:
            assert read(lazy) == counted(mirror)


def test_only_services_that_changed_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[Entry] = []
    is_down = Entry.is_down

    def noted(entry: Entry) -> bool:
        looked.append(entry)
        return is_down(entry)

    mirror = Mirror()
    mirror.begin_snapshot()
    for number in range(1000):
        mirror.upsert(1, a_service(str(number), number))
    mirror.complete(1)
    counts = StatusCounts(mirror)
    assert read(counts) == (1000, {"ok": 1000})
    monkeypatch.setattr(Entry, "is_down", noted)
    for number in range(10):
        mirror.heard([number], [micros(number + 1)])
        for _ in range(5):
            counts.read()
    mirror.remove(2, "999")
    assert read(counts) == (999, {"ok": 999})
    assert len(looked) == 10
