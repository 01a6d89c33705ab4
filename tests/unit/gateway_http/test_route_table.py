"""The rows of routes: which row a request finds, and whom it permits."""

from __future__ import annotations

import pytest
from grid_model.access import LOCAL, Grant, Principal, Role

from gateway_http.http.route_table import Need, NoRoute, Route, RouteTable

READ = Need(frozenset({Role.OBSERVER}), everywhere=True)
AGENTS = Need(frozenset({Role.AGENT}))
TABLE = RouteTable(
    {
        "GET /": Need(authenticated=False),
        "GET /services": READ,
        "GET /services/{service_id}": READ,
        "GET /services/{service_id}/explain": READ,
        "POST /services/{service_id}": AGENTS,
        "PUT /heartbeat": AGENTS,
    }
)


@pytest.mark.parametrize(
    ("method", "path", "row"),
    [
        *(("GET", "/", "GET /"), ("GET", "/services", "GET /services"), ("GET", "//", "GET /")),
        *(("GET", "/services/", "GET /services/{service_id}"), ("GET", "/services/a", "GET /services/{service_id}")),
        *(("GET", "/services/a/b", "GET /services/{service_id}"), ("PUT", "/heartbeat/", "PUT /heartbeat")),
        *(
            ("GET", "/services/a\nb", "GET /services/{service_id}"),
            ("GET", "/services//", "GET /services/{service_id}"),
        ),
        *(("GET", "/services/a/explain", "GET /services/{service_id}/explain"),),
        *(("POST", "/services/a/explain", "POST /services/{service_id}"),),
    ],
)
def test_a_request_finds_its_row(method: str, path: str, row: str) -> None:
    found = TABLE.find(method, path)
    assert isinstance(found, Route)
    assert found.name == row


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        *(("GET", "/nothing", ()), ("GET", "", ("",)), ("GET", "/service", ()), ("GET", "/xservices", ())),
        *(("POST", "/heartbeat", ("PUT",)), ("DELETE", "/services/a", ("GET", "POST")), ("get", "/services", ("GET",))),
    ],
)
def test_what_has_no_row_is_not_found_or_names_the_methods(method: str, path: str, allowed: tuple[str, ...]) -> None:
    if path == "":
        assert isinstance(TABLE.find(method, path), Route)  # as the path /
    else:
        assert TABLE.find(method, path) == NoRoute(allowed)


def test_a_need_permits_principals_with_one_of_its_roles() -> None:
    some, all_ids = Principal("a", (Grant(Role.OBSERVER, "a*"),)), Principal("b", (Grant(Role.OBSERVER, "*"),))
    operator, agent = Principal("c", (Grant(Role.OPERATOR, "*"),)), Principal("d", (Grant(Role.AGENT, "x"),))
    nobody = Principal("e")
    permitted = {
        READ: [all_ids, operator, LOCAL],
        AGENTS: [agent, LOCAL],
        Need(): [some, all_ids, operator, agent, nobody, LOCAL],
        Need(frozenset({Role.OBSERVER})): [some, all_ids, operator, LOCAL],
    }
    for need, principals in permitted.items():
        for each in (some, all_ids, operator, agent, nobody, LOCAL):
            assert need.permits(each) == (each in principals), (str(need), each.name)
    assert str(READ) == "observer for all ids (pattern *)"
    assert str(Need(frozenset({Role.AGENT, Role.OPERATOR}))) == "agent or operator"
