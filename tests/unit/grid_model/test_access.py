"""Principals have a role for exactly the ids that a pattern of theirs matches."""

from __future__ import annotations

import pytest
from grid_model.access import LOCAL, Grant, Principal, Role, check_pattern


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("worker-1", "worker-1", True),
        ("worker-1", "worker-10", False),
        ("worker-*", "worker-1", True),
        ("worker-*", "worker-", True),
        ("worker-*", "worker", False),
        ("worker-*", "my-worker-1", False),
        ("*", "anything", True),
        ("[a]", "a", False),
        ("worker-?", "worker-1", False),
    ],
)
def test_a_pattern_is_exact_or_a_prefix(pattern: str, text: str, matches: bool) -> None:
    assert Grant(Role.AGENT, pattern).matches(text) is matches


@pytest.mark.parametrize("pattern", ["", "*-worker", "a*b", "**"])
def test_other_patterns_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="a pattern"):
        check_pattern(pattern)


def test_a_pattern_is_compared_in_nfc() -> None:
    assert check_pattern("caf\u0065\u0301-*") == "caf\u00e9-*"


def test_a_name_needs_the_pattern_as_an_id_does() -> None:
    worker = Principal("token:ci", (Grant(Role.AGENT, "worker-*"),))
    assert worker.may(Role.AGENT, "worker-1", "worker-one")
    assert not worker.may(Role.AGENT, "worker-1", "boss")


def test_a_role_has_the_rights_of_those_that_it_includes_and_no_others() -> None:
    admin = Principal("token:root", (Grant(Role.ADMIN, "*"),))
    assert admin.roles == {Role.ADMIN, Role.OPERATOR, Role.OBSERVER}
    assert admin.may(Role.OBSERVER, "any")
    assert not admin.may(Role.AGENT, "any")
    assert not Principal("token:none").roles


def test_an_administrator_of_some_ids_is_only_their_operator() -> None:
    narrow = Principal("token:team", (Grant(Role.ADMIN, "team-*"),))
    assert narrow.roles == {Role.OPERATOR, Role.OBSERVER}
    assert narrow.may(Role.OPERATOR, "team-1")
    assert not narrow.may(Role.OPERATOR, "boss")
    assert not narrow.may(Role.ADMIN, "team-1")
    assert not narrow.may_everywhere(Role.OBSERVER)


def test_principals_of_a_group_are_one_owner() -> None:
    assert Principal("token:a", group="jobs").owner == Principal("token:b", group="jobs").owner
    assert Principal("token:a").owner == "token:a"


def test_without_authentication_every_caller_may_do_everything() -> None:
    assert all(LOCAL.may(role, "any", "other") for role in Role)
