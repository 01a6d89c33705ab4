"""With authentication, no owner takes all places, and those who carry the fleet always find one."""

from __future__ import annotations

from contextlib import ExitStack
from math import ceil

import pytest
from grid_model.access import ANONYMOUS, LOCAL, Grant, Principal, Role
from grid_model.errors import QuotaExceeded

from grid_hosting.access.programs import GRANTS
from grid_hosting.shares import SHARE, Places, uses_all


def principal(name: str, *grants: Grant, group: str = "") -> Principal:
    """A principal with these grants; by default it is an agent."""
    return Principal(f"token:{name}", grants or (Grant(Role.AGENT, "*"),), group)


@pytest.fixture
def places() -> Places:
    """Forty places."""
    return Places(40, "streams are open")


def take(places: Places, stack: ExitStack, who: Principal, most: int = 100) -> int:
    """Take places until none more is given; return how many were."""
    for taken in range(most):
        try:
            stack.enter_context(places.one(who))
        except QuotaExceeded:
            return taken
    return most


def test_one_owner_has_at_most_its_share_of_all_places(places: Places) -> None:
    with ExitStack() as stack:
        assert take(places, stack, principal("a")) == 32
        with pytest.raises(QuotaExceeded, match="32 streams are open for token:a; one owner may have at most 32 of 40"):
            stack.enter_context(places.one(principal("a")))
        assert take(places, stack, principal("b"), 5) == 5
    assert places.taken == 0


def test_the_principals_of_a_group_have_one_share(places: Places) -> None:
    with ExitStack() as stack:
        assert take(places, stack, principal("a", group="team"), 12) == 12
        assert take(places, stack, principal("b", group="team")) == 20


def test_the_last_places_are_kept_for_those_who_carry_the_fleet(places: Places) -> None:
    with ExitStack() as stack:
        assert take(places, stack, principal("a")) + take(places, stack, principal("b")) == 38
        with pytest.raises(QuotaExceeded, match="at most 38 of 40"):
            stack.enter_context(places.one(principal("c")))
        assert take(places, stack, principal("gateway", Grant(Role.RELAY, "*"))) == 2
        with pytest.raises(QuotaExceeded, match=r"^40 streams are open; no more are allowed$"):
            stack.enter_context(places.one(principal("gateway", Grant(Role.RELAY, "*"))))


@pytest.mark.parametrize("limit", range(1, 5))
def test_of_a_few_places_one_owner_has_at_least_one(limit: int) -> None:
    with ExitStack() as stack:
        assert take(Places(limit, "streams are open"), stack, principal("a")) == ceil(limit * SHARE)


@pytest.mark.parametrize("program", ["registry", "monitor", "gateway"])
def test_the_programs_of_a_system_may_use_all_places(program: str) -> None:
    assert uses_all(principal(program, *GRANTS[program]))


def test_only_those_who_carry_the_fleet_or_operate_all_of_it_may_use_all_places() -> None:
    roles = {role for role in Role if uses_all(principal("x", Grant(role, "*")))}
    assert roles == {Role.RELAY, Role.JUDGE, Role.OPERATOR, Role.ADMIN}
    assert not uses_all(principal("x", Grant(Role.OPERATOR, "worker-*")))
    assert not uses_all(principal("demo", *GRANTS["demo"]))
    assert not uses_all(ANONYMOUS)


def test_without_authentication_every_caller_may_use_all_places(places: Places) -> None:
    with ExitStack() as stack:
        assert take(places, stack, LOCAL) == 40
