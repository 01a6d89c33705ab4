"""Sessions of browsers: how they end, and that one principal cannot end those of others."""

from __future__ import annotations

import pytest

from gateway_http.http.sessions import IDLE, LONGEST, MOST_OF_PRINCIPAL, MOST_SESSIONS, Session, Sessions
from grid_hosting.credential import Credential

CREDENTIAL = Credential(token="secret")


def begin(sessions: Sessions, number: str, principal: str = "token:a", now: float = 0.0) -> list[Session]:
    """Open a session; return those that ended for it."""
    return sessions.begin(number, principal, CREDENTIAL, now)[1]


def test_a_session_is_found_by_its_number_alone() -> None:
    sessions = Sessions()
    begin(sessions, "1")
    found = sessions.find("1", 1.0)
    assert found is not None
    assert (found.principal, found.credential) == ("token:a", CREDENTIAL)
    assert sessions.find("2", 1.0) is None
    assert sessions.find("", 1.0) is None
    assert sessions.find(found.key, 1.0) is None
    assert "secret" not in repr(found)


def test_a_session_ends_some_time_after_its_last_use() -> None:
    sessions = Sessions()
    begin(sessions, "1")
    assert sessions.find("1", IDLE - 1) is not None
    assert sessions.find("1", 2 * IDLE - 2) is not None
    assert sessions.find("1", 3 * IDLE - 2) is None
    assert [each.principal for each in sessions.expire(3 * IDLE - 2)] == ["token:a"]
    assert len(sessions) == 0


def test_an_open_stream_is_a_use_but_no_session_outlives_its_longest_time() -> None:
    sessions = Sessions()
    session, _ = sessions.begin("1", "token:a", CREDENTIAL, 0.0)
    now = 0.0
    while now < LONGEST - IDLE:
        now += IDLE - 1
        assert sessions.expire(now, [session]) == []
    assert sessions.expire(LONGEST, [session]) == [session]
    assert sessions.find("1", LONGEST) is None


def test_a_session_that_was_ended_is_not_used_again() -> None:
    sessions = Sessions()
    session, _ = sessions.begin("1", "token:a", CREDENTIAL, 0.0)
    sessions.end(session)
    sessions.use(session, 1.0)
    assert sessions.find("1", 1.0) is None
    sessions.end(session)


def test_a_principal_with_many_sessions_ends_its_own_oldest() -> None:
    sessions = Sessions()
    begin(sessions, "other", "token:b")
    for each in range(MOST_OF_PRINCIPAL):
        assert begin(sessions, str(each)) == []
    sessions.find("0", 1.0)
    assert len(begin(sessions, "more")) == 1
    assert sessions.find("1", 1.0) is None
    for number in ("0", "2", "more", "other"):
        assert sessions.find(number, 1.0) is not None


@pytest.mark.parametrize("used", [False, True])
def test_beyond_the_bound_the_least_recently_used_session_ends(used: bool) -> None:
    sessions = Sessions()
    for number in range(MOST_SESSIONS):
        assert begin(sessions, str(number), f"token:{number}") == []
    if used:
        sessions.find("0", 1.0)
    assert [each.principal for each in begin(sessions, "more", "token:more")] == ["token:1" if used else "token:0"]
    assert len(sessions) == MOST_SESSIONS
