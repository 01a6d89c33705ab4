"""What is true of every port of the gateway: HEAD where GET is, and no address that a proxy would make wrong."""

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
