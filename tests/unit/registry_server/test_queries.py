"""A list in pages is true at one revision, whatever changes between two pages; and it costs within bounds."""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence

import pytest
from grid_model.errors import InvalidRequest, PageTokenExpired
from grid_model.service import ServiceRole, ServiceStatus
from hypothesis import given
from hypothesis import strategies as st

from registry_server.core import queries
from registry_server.core.queries import Listing, Listings, ServiceFilter
from registry_server.core.service import Report, Service
from tests.unit.registry_server.builders import Grid

EVERYTHING = ServiceFilter()


def first(listings: Listings, grid: Grid, wanted: ServiceFilter = EVERYTHING) -> Listing:
    """A list that is ready, at the newest revision."""
    listing = listings.first(wanted, grid.registry.revision, grid.registry.shown)
    while not listing.work():
        pass
    return listing


def ids(services: Sequence[Service]) -> list[str]:
    """Which services."""
    return [each.spec.service_id for each in services]


def filled(count: int, grid: Grid | None = None) -> Grid:
    """So many services, named by number."""
    grid = grid or Grid()
    for number in range(count):
        grid.register(f"s{number:06}")
    return grid


def change(grid: Grid, what: str, service_id: str) -> None:
    """One change of the registry."""
    known = service_id in grid.registry.records
    match what:
        case "register":
            grid.register(service_id, 1)
        case "leave" if known:
            grid.registry.deregister(service_id, "", grid.later())
        case "promote" if known:
            roles = [ServiceRole.PRODUCTION, ServiceRole.STAGING]
            roles.sort(key=lambda role: grid.registry.records[service_id].spec.role is not role)
            grid.registry.promote(service_id, *roles)
        case "beat" if known:
            grid.beat(1, service_id, report=Report(status=ServiceStatus.DEGRADED, load=grid.time))


CHANGES = st.tuples(
    st.sampled_from(("register", "leave", "promote", "beat")), st.sampled_from([f"s{each:06}" for each in range(12)])
)


@given(
    st.lists(CHANGES, max_size=20), st.lists(st.tuples(st.integers(1, 5), st.lists(CHANGES, max_size=4)), min_size=1)
)
def test_list_and_then_watch_gives_what_the_registry_has(
    before: list[tuple[str, str]], pages: list[tuple[int, list[tuple[str, str]]]]
) -> None:
    grid, listings = Grid(), Listings("life")
    for each in before:
        change(grid, *each)
    was = {each.spec.service_id: each for each in grid.registry.shown()}
    listing, start, token = first(listings, grid), 0, ""
    view: dict[str, Service] = {}
    for number in range(40):
        size, between = pages[number % len(pages)]
        if token:
            listing, start = listings.resume(token, EVERYTHING, 0.0)
        page = listings.page(listing, start, size, 0.0)
        for shown in page.services:
            assert shown.spec.service_id not in view
            view[shown.spec.service_id] = shown
        token = page.token
        for each in between:
            change(grid, *each)
        if not token:
            break
    assert view == was
    assert list(view) == sorted(view, key=lambda each: (each, was[each].spec.role))
    for told in grid.registry.changes_since(listing.revision):
        view.pop(told.service_id, None)
        if told.service is not None:
            view[told.service_id] = told.service
    assert view == {each.spec.service_id: each for each in grid.registry.shown()}


def test_a_service_is_shown_with_the_newest_of_what_is_no_change() -> None:
    grid = Grid()
    grid.register("a", 1)
    (shown,) = grid.registry.shown()
    grid.beat(1, report=Report(load=0.5))
    now = grid.registry.as_heard(shown)
    assert (now.report.load, now.last_heartbeat_at) == (0.5, grid.registry.records["a"].last_heartbeat_at)
    grid.beat(1, report=Report(status=ServiceStatus.DEGRADED))
    then = grid.registry.as_heard(shown)
    assert (then.report, then.last_heartbeat_at) == (shown.report, grid.registry.records["a"].last_heartbeat_at)
    grid.register("a", 2)
    assert grid.registry.as_heard(shown) == shown
    grid.registry.deregister("a", "", grid.later())
    assert grid.registry.as_heard(shown) == shown


def test_who_asks_the_same_at_one_revision_shares_a_list() -> None:
    grid, listings = filled(3), Listings("life")
    listing = first(listings, grid)
    assert first(listings, grid) is listing
    assert first(listings, grid, ServiceFilter(name="s000001")) is not listing
    assert first(listings, grid, ServiceFilter.with_labels({"a": 1})) is not first(
        listings, grid, ServiceFilter.with_labels({"a": 2})
    )
    grid.register("s000003")
    assert first(listings, grid) is not listing


def test_a_list_is_worked_out_in_short_parts_also_for_the_largest_fleet() -> None:
    services = list(filled(2000).registry.shown()) * 50
    listing = Listing(1, 1, EVERYTHING, services)
    parts, longest = 1, 0.0
    before = time.thread_time()
    while not listing.work():
        parts, now = parts + 1, time.thread_time()
        longest, before = max(longest, now - before), now
    assert listing.total == 100_000
    assert parts >= 2 * 100_000 // queries.PART
    assert longest < 0.025, "seconds of processor time for one part"


def test_a_token_of_another_life_or_of_a_list_that_is_gone_says_to_list_again() -> None:
    grid, listings = filled(3), Listings("life")
    token = listings.page(first(listings, grid), 0, 2, 0.0).token
    with pytest.raises(PageTokenExpired, match="list again from the first page"):
        Listings("other").resume(token, EVERYTHING, 0.0)
    assert listings.expire(queries.MAX_IDLE - 1) == queries.MAX_IDLE
    listings.resume(token, EVERYTHING, queries.MAX_IDLE - 1)
    with pytest.raises(PageTokenExpired):
        listings.resume(token, EVERYTHING, queries.MAX_IDLE)
    assert listings.expire(queries.MAX_IDLE) is None
    assert listings.kept == 0


@pytest.mark.parametrize(
    "token",
    ["€", "W10=", "bnVsbA==", "x", base64.urlsafe_b64encode(b"life.1").decode(), *(
        base64.urlsafe_b64encode(f"life.1.{start}".encode()).decode() for start in ("0", "-1", "3", "x", "²", "")
    )],
)  # fmt: skip
def test_what_is_no_token_of_ours_is_refused_by_name(token: str) -> None:
    grid, listings = filled(3), Listings("life")
    listings.page(first(listings, grid), 0, 2, 0.0)
    with pytest.raises(InvalidRequest) as refused:
        listings.resume(token, EVERYTHING, 0.0)
    assert [each.field for each in refused.value.fields] == ["page_token"]


def test_a_token_holds_only_with_the_filters_of_its_list() -> None:
    grid, listings = filled(3), Listings("life")
    token = listings.page(first(listings, grid), 0, 2, 0.0).token
    with pytest.raises(InvalidRequest, match="page_token: belongs to a list with other filters"):
        listings.resume(token, ServiceFilter(name="s000001"), 0.0)


def test_a_list_is_let_go_of_when_all_who_read_it_have_the_last_page() -> None:
    grid, listings = filled(3), Listings("life")
    listing = first(listings, grid)
    assert listings.page(listing, 0, 3, 0.0).token == ""
    assert listings.kept == 0, "one page is a list that nobody goes on with"
    for _ in range(2):
        listings.page(listing, 0, 2, 0.0)
    listings.page(listing, 2, 2, 0.0)
    assert listings.kept == 3
    listings.page(listing, 2, 2, 0.0)
    assert listings.kept == 0


def test_the_list_that_was_asked_for_longest_ago_goes_where_there_are_too_many() -> None:
    grid, listings = filled(3), Listings("life")
    tokens: list[str] = []
    for number in range(queries.MAX_LISTS + 1):
        grid.register("s000001")  # a new revision, so a list of its own
        tokens.append(listings.page(first(listings, grid), 0, 1, 0.0).token)
        if number == 1:
            listings.page(*listings.resume(tokens[0], EVERYTHING, 0.0), 1, 0.0)
    with pytest.raises(PageTokenExpired):
        listings.resume(tokens[1], EVERYTHING, 0.0)
    for each in (tokens[0], *tokens[2:]):
        listings.resume(each, EVERYTHING, 0.0)


def test_no_more_services_are_kept_than_the_bound_but_one_list_always_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "MAX_KEPT", 5)
    grid, listings = filled(3), Listings("life")
    older = listings.page(first(listings, grid), 0, 1, 0.0).token
    newer = listings.page(first(listings, filled(6, grid)), 0, 1, 0.0).token
    assert listings.kept == 6
    listings.resume(newer, EVERYTHING, 0.0)
    with pytest.raises(PageTokenExpired):
        listings.resume(older, EVERYTHING, 0.0)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (ServiceFilter(role=ServiceRole.CANARY), ["b"]),
        (ServiceFilter(cap="dig"), ["a"]),
        (ServiceFilter(name="b"), ["b"]),
        (ServiceFilter(status=ServiceStatus.DEGRADED), ["b"]),
        (ServiceFilter.with_labels({"team": "blue"}), ["a"]),
        (ServiceFilter.with_labels({"team": "blue"}, name="b"), []),
        (EVERYTHING, ["a", "b"]),
    ],
)
def test_filters_are_combined(wanted: ServiceFilter, found: list[str]) -> None:
    grid = Grid()
    grid.register("a", caps=("dig",), labels={"team": "blue"})
    grid.register("b", 1, role=ServiceRole.CANARY)
    grid.beat(1, "b", report=Report(status=ServiceStatus.DEGRADED))
    listing = first(Listings("life"), grid, wanted)
    assert ids(listing.part(0, 9)) == found
    assert listing.total == len(found)
