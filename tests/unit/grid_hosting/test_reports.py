"""What other servers report for the audit log: TRON is believed, a relay is not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from grid_model.access import Grant, Principal, Role
from grid_model.errors import InvalidRequest, QuotaExceeded

from grid_hosting.access.audit import WINDOW, AuditKind, AuditRecord
from grid_hosting.access.reports import MOST_ACTS, MOST_REPORTERS, Reports

WALL = 1e9
RELAY = Principal("token:gateway", (Grant(Role.RELAY, "*"),))
JUDGE = Principal("token:monitor", (Grant(Role.JUDGE, "tron"),))
ROUTE = "POST /api/settings/hhmrs"
ACT = AuditRecord(WALL - 60, AuditKind.ACT, "token:operator", ROUTE, via="token:other")
REFUSAL = replace(ACT, kind=AuditKind.REFUSAL, outcome="PERMISSION_DENIED")


def test_time_and_relay_are_kept_of_a_judge_and_never_of_a_relay() -> None:
    policy = replace(ACT, method="/grid.tron.v1.TronService/SetPolicy")
    (kept,) = Reports().accept([policy], JUDGE, 0.0, WALL)
    assert kept == policy
    (replaced,) = Reports().accept([ACT], RELAY, 0.0, WALL)
    assert (replaced.at, replaced.via) == (WALL, RELAY.name)
    (direct,) = Reports().accept([replace(policy, via="")], JUDGE, 0.0, WALL)
    assert direct.via == JUDGE.name


@pytest.mark.parametrize("at", [0.0, WALL + 1, WALL - 2 * 86_400])
def test_a_time_that_cannot_be_is_replaced_by_the_present(at: float) -> None:
    (found,) = Reports().accept([replace(ACT, at=at)], JUDGE, 0.0, WALL)
    assert found.at == WALL


@pytest.mark.parametrize("record", [ACT, REFUSAL])
@pytest.mark.parametrize("method", ["/grid.access.v1.AccessService/CreateToken", "/grid.tron.v1.TronService/SetPolicy"])
def test_a_relay_reports_nothing_about_the_calls_of_other_servers(record: AuditRecord, method: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^records\[1\].method: is /grid"):
        Reports().accept([record, replace(record, method=method)], RELAY, 0.0, WALL)


@pytest.mark.parametrize("actor", ["offline", "local", "", "token:", "root:x", "token:a\u200b", "network:10.0.0.0/24"])
def test_a_relay_names_principals_as_actors(actor: str) -> None:
    with pytest.raises(InvalidRequest, match=r"records\[0\].actor"):
        Reports().accept([replace(ACT, actor=actor)], RELAY, 0.0, WALL)


def test_a_refusal_without_a_valid_credential_is_of_a_network() -> None:
    found = replace(REFUSAL, actor="network:10.0.0.0/24")
    assert Reports().accept([found], RELAY, 0.0, WALL)[0].actor == found.actor


def test_a_relay_reports_few_acts_and_others_notice_nothing() -> None:
    reports = Reports()
    reports.accept([ACT] * (MOST_ACTS - 1), RELAY, 0.0, WALL)
    for _ in range(2):
        with pytest.raises(QuotaExceeded, match="token:gateway may report at most 60 acts within 60 s"):
            reports.accept([ACT] * 2, RELAY, 1.0, WALL)
    reports.accept([ACT, *[REFUSAL] * 100], RELAY, 1.0, WALL)
    reports.accept([ACT] * MOST_ACTS, replace(RELAY, name="token:second"), 1.0, WALL)
    reports.accept([ACT] * 1000, JUDGE, 1.0, WALL)
    reports.accept([ACT] * MOST_ACTS, RELAY, WINDOW, WALL)


def test_the_counts_are_bounded() -> None:
    reports = Reports()
    for number in range(MOST_REPORTERS + 10):
        reports.accept([ACT], replace(RELAY, name=f"token:{number}"), 0.0, WALL)
    assert len(reports) == MOST_REPORTERS
