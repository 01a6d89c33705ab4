"""What is true of every port of the gateway: HEAD where GET is, no address that a proxy would make wrong, and no act of
a page of another site."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from tests.support.face import Face
from tests.support.waiting import wait_until

PORTS = ("registry_http", "tron_http", "events_http", "hmi_http")


@pytest.fixture(params=PORTS)
def port(request: pytest.FixtureRequest, face: Face) -> Iterator[httpx.Client]:
    """A client of each port in turn."""
    assert face.register("on every port").status_code == 200
    explain = f"{face.gateway.url('hmi_http')}/v1/services/on%20every%20port/explain"
    wait_until(lambda: httpx.get(explain).status_code == 200, 20.0, "TRON watches the service")
    with httpx.Client(base_url=face.gateway.url(request.param), timeout=10) as client:
        yield client


def _gets(port: httpx.Client) -> list[str]:
    paths = port.get("/openapi.json").json()["paths"]
    found = [path for path, operations in paths.items() if "get" in operations]
    return [path.replace("{service_id}", "on%20every%20port") for path in found]


def test_head_is_answered_wherever_get_is(port: httpx.Client) -> None:
    gets = _gets(port)
    assert gets
    for path in [*gets, "/docs", "/openapi.json"]:
        query = {"service_id": "on every port"} if path.endswith("/explain") else {}
        headed = port.head(path, params=query)
        assert (headed.status_code, headed.content) == (200, b""), path
        if not path.endswith("/stream"):
            got = port.get(path, params=query)
            assert headed.headers["content-type"] == got.headers["content-type"], path


def test_a_slash_too_many_is_answered_by_a_relative_address(port: httpx.Client) -> None:
    for path in _gets(port):
        if path == "/":
            continue
        answer = port.get(path + "/", headers={"x-forwarded-proto": "https"})
        if path.startswith("/v1/services/"):
            assert answer.status_code in (307, 404), path  # an id may end with a slash
        else:
            assert (answer.status_code, answer.headers["location"]) == (307, f"../{path.rpartition('/')[2]}"), path


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_the_documentation_loads_nothing_from_another_host(port: httpx.Client, page: str) -> None:
    shown = port.get(page)
    assert shown.status_code == 200
    loaded = re.findall(r'(?:src|href)="([^"]+)"', shown.text)
    assert any(each.endswith(".js") for each in loaded)
    for each in loaded:
        assert not re.match(r"[a-z]+:|/", each), f"{each} is not a relative address"
        assert port.get(f"/{each}").status_code == 200, each
    assert "'openapi.json'" in shown.text or '"openapi.json"' in shown.text


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "OPTIONS"])
def test_no_port_answers_for_a_name_that_was_rebound(port: httpx.Client, method: str) -> None:
    for path in (
        "/",
        "/health",
        "/docs",
        "/nothing",
        "/heartbeat",
        "/broadcast",
        "/socket.io/?EIO=4&transport=polling",
    ):
        answer = port.request(method, path, headers={"host": f"rebound.test:{port.base_url.port}"})
        assert answer.status_code == 421, path
        if method != "HEAD":
            assert "http_hosts" in answer.json()["detail"]


ACTS = {
    "registry_http": (
        ("POST", "/register"),
        ("PUT", "/heartbeat"),
        ("POST", "/v1/alerts/acknowledge"),
        ("GET", "/v1/stream"),
    ),
    "tron_http": (("POST", "/alerts"),),
    "events_http": (("POST", "/broadcast"), ("GET", "/socket.io/?EIO=4&transport=polling"), ("GET", "/events/stream")),
    "hmi_http": (("POST", "/api/alerts/acknowledge"), ("POST", "/api/settings/hhmrs"), ("GET", "/v1/stream")),
}


@pytest.mark.parametrize("key", PORTS)
@pytest.mark.parametrize(
    "headers", [{"origin": "http://evil.test"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}], ids=str
)
def test_a_page_of_another_site_acts_on_no_port(face: Face, key: str, headers: dict[str, str]) -> None:
    with httpx.Client(base_url=face.gateway.url(key), timeout=10) as client:
        for method, path in ACTS[key]:
            answer = client.request(method, path, headers=headers, json={} if method != "GET" else None)
            assert (answer.status_code, answer.json()["reason"]) == (403, "FOREIGN_PAGE"), path


def test_every_answer_restricts_what_a_browser_may_do_with_it(port: httpx.Client) -> None:
    for path in ("/", "/health", "/docs", "/redoc", "/openapi.json", "/nothing"):
        answer = port.get(path)
        policy = answer.headers.get_list("content-security-policy")
        assert len(policy) == 1, path
        assert "default-src 'none'" in policy[0], path
        assert "frame-ancestors 'none'" in policy[0], path
        assert "script-src 'unsafe" not in policy[0], path
        assert answer.headers.get_list("x-content-type-options") == ["nosniff"], path
        assert answer.headers.get_list("referrer-policy") == ["no-referrer"], path
