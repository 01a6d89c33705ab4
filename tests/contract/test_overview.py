"""What a page asks beside the stream: below /v1, and below /api as before; and which sites may acknowledge."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.support.face import Face
from tests.support.waiting import wait_until


@pytest.fixture
def hmi(face: Face) -> Iterator[httpx.Client]:
    """A client of the HMI."""
    with httpx.Client(base_url=face.gateway.url("hmi_http"), timeout=15) as client:
        yield client


@pytest.fixture(params=["/v1", "/api"])
def below(request: pytest.FixtureRequest) -> str:
    """The two places where the routes are."""
    prefix: str = request.param
    return prefix


def test_a_service_is_explained_whatever_its_id(face: Face, hmi: httpx.Client, below: str) -> None:
    path, about = f"{below}/explain", {"service_id": "hmi/../odd?#id"}
    assert face.register("hmi/../odd?#id", name="Odd").status_code == 200
    body = hmi.get(path, params=about).json()
    assert body["service"]["name"] == "Odd"
    wait_until(lambda: hmi.get(path, params=about).json()["explanation"], 5, "TRON knows it")
    assert hmi.get(path, params={"service_id": "nobody"}).status_code == 404
    assert hmi.get(path).status_code == 422


def test_acknowledging_is_for_alerts_that_exist(hmi: httpx.Client, below: str) -> None:
    path = f"{below}/alerts/acknowledge"
    assert hmi.post(path, json={"alert_id": "none such"}).status_code == 404
    for wrong in ({}, {"alert_id": "a", "all": True}, {"alert_id": "a", "service_id": "b"}, {"all": False}):
        assert hmi.post(path, json=wrong).status_code == 422
    assert hmi.post(path, json={"service_id": "nobody"}).json() == {"acknowledged": 0, "lost_services": 0}
    assert hmi.post(path, json={"all": True}).status_code == 200
    plain = hmi.post(path, content='{"alert_id": "a"}', headers={"content-type": "text/plain"})
    assert plain.status_code == 422, "a form of another site cannot send it"


def test_the_history_tells_when_nobody_watched(hmi: httpx.Client, below: str) -> None:
    body = hmi.get(f"{below}/history").json()
    assert list(body) == ["now", "events", "covered", "gaps", "open", "lost"]
    assert hmi.get(f"{below}/history", params={"events": 0}).json()["events"] == []


@pytest.mark.parametrize(
    ("port", "path"),
    [
        ("registry_http", "/v1/alerts/a/acknowledge"),
        ("registry_http", "/v1/alerts/acknowledge"),
        ("hmi_http", "/v1/alerts/a/acknowledge"),
        ("hmi_http", "/v1/alerts/acknowledge"),
        ("hmi_http", "/api/alerts/acknowledge"),
    ],
)
def test_one_rule_says_which_sites_may_acknowledge(face: Face, port: str, path: str) -> None:
    with httpx.Client(base_url=face.gateway.url(port), timeout=15) as client:

        def ask(**headers: str) -> int:
            return client.post(path, json={"alert_id": "a"}, headers=headers).status_code

        own = str(client.base_url).rstrip("/")
        for refused in (
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
            {"origin": "http://elsewhere.test"},
            {"origin": "null"},
        ):
            assert ask(**refused) == 403, refused
        for admitted in ({}, {"sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}, {"origin": own}):
            assert ask(**admitted) == 404, admitted
