"""When a proxy is in between, and which."""

from __future__ import annotations

import pytest
from tron_client.address import parse_address
from tron_client.channel import direct_options
from tron_client.proxy import Proxy, grpc_proxy, http_proxy

PROXY = "http://proxy.example:3128"
LOOPBACK = ("127.0.0.1:1", "127.9.9.9:1", "localhost:1", "[::1]:1", "unix:/x", "ipv4:127.0.0.1:1", "dns:///localhost:1")


@pytest.mark.parametrize("variable", ["grpc_proxy", "https_proxy", "http_proxy", "all_proxy"])
@pytest.mark.parametrize("target", LOOPBACK)
def test_loopback_and_sockets_never_go_through_a_proxy(
    variable: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, PROXY)
    address = parse_address(target, "registry")
    assert grpc_proxy(address, {variable: PROXY}) is None
    assert ("grpc.enable_http_proxy", 0) in direct_options(address)


@pytest.mark.parametrize(
    ("environ", "used"),
    [
        ({"http_proxy": PROXY}, "http_proxy"),
        ({"https_proxy": PROXY, "http_proxy": "http://other:1"}, "https_proxy"),
        ({"grpc_proxy": PROXY, "https_proxy": "http://other:1"}, "grpc_proxy"),
        ({"grpc_proxy": "", "http_proxy": PROXY}, "http_proxy"),
        ({"HTTP_PROXY": PROXY}, None),
        ({"all_proxy": PROXY}, None),
        ({"http_proxy": "socks5://h:1"}, None),
        ({"http_proxy": PROXY, "no_proxy": "registry.example"}, None),
        ({"http_proxy": PROXY, "no_proxy": ".example"}, None),
        ({"http_proxy": PROXY, "no_proxy": "example"}, None),
        ({"http_proxy": PROXY, "no_proxy": "a, *.example ,b"}, None),
        ({"http_proxy": PROXY, "no_proxy": "*"}, None),
        ({"http_proxy": PROXY, "no_proxy": "registry.example:6122"}, None),
        ({"http_proxy": PROXY, "no_proxy": "registry.example:1"}, "http_proxy"),
        ({"http_proxy": PROXY, "no_proxy": "gistry.example"}, "http_proxy"),
        ({"http_proxy": PROXY, "no_proxy": "*", "no_grpc_proxy": "other"}, "http_proxy"),
        ({"http_proxy": PROXY, "no_proxy": ""}, "http_proxy"),
    ],
)
def test_grpc_reads_its_own_variables(environ: dict[str, str], used: str | None) -> None:
    found = grpc_proxy(parse_address("registry.example:6122", "registry"), environ)
    assert (found and found.variable) == used


def test_no_proxy_takes_networks() -> None:
    environ = {"http_proxy": PROXY, "no_proxy": "10.0.0.0/8,fd00::/8"}
    assert grpc_proxy(parse_address("10.1.2.3:1", "a"), environ) is None
    assert grpc_proxy(parse_address("[fd00::1]:1", "a"), environ) is None
    assert grpc_proxy(parse_address("11.1.2.3:1", "a"), environ) is not None
    assert http_proxy("http://10.1.2.3/x", environ) is None


@pytest.mark.parametrize(
    ("url", "environ", "used"),
    [
        ("http://h/x", {"http_proxy": PROXY}, "http_proxy"),
        ("http://h/x", {"HTTP_PROXY": PROXY}, "HTTP_PROXY"),
        ("http://h/x", {"HTTP_PROXY": PROXY, "REQUEST_METHOD": "GET"}, None),
        ("http://h/x", {"https_proxy": PROXY}, None),
        ("https://h/x", {"https_proxy": PROXY}, "https_proxy"),
        ("https://h/x", {"ALL_PROXY": PROXY}, "ALL_PROXY"),
        ("https://h/x", {"https_proxy": "", "all_proxy": PROXY}, None),
        ("http://127.0.0.1:9/x", {"http_proxy": PROXY, "all_proxy": PROXY}, None),
        ("https://localhost/x", {"all_proxy": PROXY}, None),
        ("http://[::1]:80/", {"http_proxy": PROXY}, None),
        ("http://h/x", {"http_proxy": PROXY, "NO_PROXY": "h"}, None),
        ("http://h/x", {"http_proxy": PROXY, "no_proxy": "h:80"}, None),
        ("https://h/x", {"https_proxy": PROXY, "no_proxy": "h:80"}, "https_proxy"),
    ],
)
def test_http_reads_the_common_variables(url: str, environ: dict[str, str], used: str | None) -> None:
    found = http_proxy(url, environ)
    assert (found and found.variable) == used


def test_a_proxy_is_named_without_its_credentials() -> None:
    assert str(Proxy("http_proxy", "http://user:secret@p.example:3128/")) == (
        "the proxy http://p.example:3128 (from http_proxy)"
    )
