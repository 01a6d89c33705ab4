"""What the audit log keeps of refusals, however many there are, and its records on disk."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from grid_model.errors import InvalidRequest

from grid_hosting.access import store as access_store
from grid_hosting.access.audit import (
    MOST_KINDS,
    WINDOW,
    AuditFilter,
    AuditKind,
    AuditRecord,
    RefusalCounts,
    network_of,
)
from grid_hosting.access.store import AccessStore
from grid_hosting.access.trail import AuditTrail
from tests.support.waiting import eventually

METHOD = "/grid.registry.v1.RegistryService/Promote"


def refusal(actor: str = "token:ci", target: str = "boss", at: float = 1e9) -> AuditRecord:
    """A refused call."""
    return AuditRecord(at, AuditKind.REFUSAL, actor, METHOD, target, "PERMISSION_DENIED")


def act(target: str) -> AuditRecord:
    """A change by an operator."""
    return AuditRecord(1e9, AuditKind.ACT, "token:operator", METHOD, target)


def test_the_first_refusal_is_a_record_at_once_and_the_others_are_one_with_their_number() -> None:
    counts = RefusalCounts()
    assert counts.refused(refusal(), 0.0) == [refusal()]
    for number in range(5):
        assert counts.refused(refusal(target=f"t{number}"), 1.0 + number) == []
    assert counts.advance(WINDOW - 0.1) == []
    (further,) = counts.advance(WINDOW)
    assert (further.count, further.target) == (5, "t4")
    assert counts.advance(2 * WINDOW) == []
    assert counts.refused(refusal(), 3 * WINDOW) == [refusal()], "a new window begins anew"


def test_a_refusal_in_a_new_window_brings_the_records_of_the_old_one() -> None:
    counts = RefusalCounts()
    counts.refused(refusal(), 0.0)
    counts.refused(refusal(), 1.0)
    assert [each.count for each in counts.refused(refusal("token:b"), WINDOW)] == [1, 1]


def test_a_million_refusals_of_many_callers_are_at_most_a_thousand_records_and_the_number_dropped() -> None:
    counts = RefusalCounts()
    callers = [refusal(f"token:{number}") for number in range(4 * MOST_KINDS)]
    written: list[AuditRecord] = []
    for number in range(1_000_000):
        written += counts.refused(callers[number % len(callers)], 1.0)
    written += counts.advance(1.0 + WINDOW)
    assert len(written) == 2 * MOST_KINDS + 1 == 1001
    assert sum(each.count for each in written) == 1_000_000
    assert (written[-1].kind, written[-1].count) == (AuditKind.DROPPED, 750_000)


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        ("ipv4:10.1.2.3:5000", "network:10.1.2.0/24"),
        ("ipv6:%5B2001:db8:1:2:3::9%5D:5000", "network:2001:db8:1:2::/64"),
        ("ipv6:[::1]:5000", "network:::/64"),
        ("ipv6:[fe80::1%25eth0]:5000", "network:fe80::/64"),
        ("ipv6:[::ffff:10.1.2.3]:5000", "network:10.1.2.0/24"),
        ("unix:", "network:unix"),
        ("unix:/run/a:b", "network:unix"),
        ("", "network:unknown"),
        ("\xff:\x00:x", "network:\xff"),
    ],
)
def test_a_caller_without_a_credential_is_known_by_its_network(peer: str, network: str) -> None:
    assert network_of(peer) == network


@contextmanager
def opened(folder: Path) -> Iterator[AccessStore]:
    store = AccessStore(folder)
    try:
        yield store
    finally:
        store.close()


def numbers(records: list[AuditRecord]) -> list[int]:
    return [each.number for each in records]


def test_records_are_numbered_and_survive_a_restart(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.append_audit([act("a"), refusal()])
    with opened(tmp_path) as store:
        store.append_audit([act("b")])
        found = store.read_audit(0, 10, AuditFilter())
        assert [(each.number, each.kind, each.target) for each in found] == [
            (1, AuditKind.ACT, "a"),
            (2, AuditKind.REFUSAL, "boss"),
            (3, AuditKind.ACT, "b"),
        ]
        assert numbers(store.read_audit(1, 1, AuditFilter())) == [2]
        assert numbers(store.read_audit(0, 2, AuditFilter(), newest=True)) == [2, 3]
        assert numbers(store.read_audit(0, 10, AuditFilter(AuditKind.ACT))) == [1, 3]
        assert numbers(store.read_audit(0, 10, AuditFilter(actor="token:ci", method=METHOD, target="boss"))) == [2]
        assert store.read_audit(2**64 - 1, 10, AuditFilter()) == []


def test_what_a_relay_reports_pushes_out_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_store, "DELETE_EVERY", 1)
    for name in ("MOST_REFUSALS", "MOST_ACTS", "MOST_REPORTED"):
        monkeypatch.setattr(access_store, name, 2)
    with opened(tmp_path) as store:
        forwarded = replace(act("a"), via="token:gateway")  # by the registry, which knows who called
        store.append_audit([forwarded, act("b"), refusal(), replace(refusal(), via="token:gateway")])
        for number in range(10):
            reported = replace(act(str(number)), method="POST /api", via="token:gateway")
            store.append_audit([reported, replace(reported, kind=AuditKind.REFUSAL)])
        assert numbers(store.read_audit(0, 100, AuditFilter())) == [1, 2, 3, 4, 23, 24]


def test_the_log_is_bounded_although_old_records_are_not_deleted_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_store, "MOST_ACTS", 5)
    with opened(tmp_path) as store:
        for _ in range(2 * access_store.DELETE_EVERY // 7 + 3):
            store.append_audit([act("a")] * 7)
            assert len(store.read_audit(0, 1000, AuditFilter())) < access_store.DELETE_EVERY + 5 + 7
        assert len(store.read_audit(0, 1000, AuditFilter())) < access_store.DELETE_EVERY


def test_refusals_never_push_out_acts_and_no_number_is_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_store, "DELETE_EVERY", 1)
    monkeypatch.setattr(access_store, "MOST_REFUSALS", 3)
    monkeypatch.setattr(access_store, "MOST_ACTS", 2)
    with opened(tmp_path) as store:
        store.append_audit([act("a")])
        for _ in range(10):
            store.append_audit([refusal()])
        assert numbers(store.read_audit(0, 100, AuditFilter())) == [1, 9, 10, 11]
        store.append_audit([act("b"), act("c")])
        assert numbers(store.read_audit(0, 100, AuditFilter(AuditKind.ACT))) == [12, 13]


async def test_a_record_that_is_never_taken_does_not_keep_the_others() -> None:
    written: list[AuditRecord] = []

    async def append(records: Sequence[AuditRecord]) -> None:
        if any(each.target == "bad" for each in records):
            raise InvalidRequest("records[0].target: is bad")
        written.extend(records)

    trail = AuditTrail(append)
    trail.refused(refusal(target="bad"))
    running = asyncio.create_task(trail.run())
    await eventually(lambda: not trail.waiting)
    trail.refused(refusal("token:other"))
    await eventually(lambda: bool(written))
    running.cancel()
    await asyncio.wait({running})
    assert [each.actor for each in written] == ["token:other"]
