"""What is an address, and what is said of a text that is none."""

from __future__ import annotations

import pytest
from tron_client import Agent, AsyncRegistryClient, MonitorClient, RegistryClient
from tron_client.address import DEFAULT_MONITOR, is_local, parse_address
from tron_client.channel import resolve_address, resolve_monitor_address


@pytest.mark.parametrize(
    ("text", "endpoints"),
    [
        ("127.0.0.1:6122", (("127.0.0.1", 6122),)),
        ("  registry.example:1\n", (("registry.example", 1),)),
        ("[::1]:65535", (("::1", 65535),)),
        ("[fe80::1%eth0]:6122", (("fe80::1%eth0", 6122),)),
        ("dns:registry.example:6122", (("registry.example", 6122),)),
        ("dns:///registry.example:6122", (("registry.example", 6122),)),
        ("dns://8.8.8.8/registry.example:6122", (("registry.example", 6122),)),
        ("ipv4:10.0.0.1:1,10.0.0.2:2", (("10.0.0.1", 1), ("10.0.0.2", 2))),
        ("ipv6:[::1]:6122", (("::1", 6122),)),
        ("http:6122", (("http", 6122),)),
        ("dns:6122", (("dns", 6122),)),
        ("unix:/run/tron.sock", ()),
        ("unix-abstract:tron", ()),
    ],
)
def test_what_grpc_can_dial_is_an_address(text: str, endpoints: tuple[tuple[str, int], ...]) -> None:
    address = parse_address(text, "registry")
    assert (address.text, address.endpoints) == (text.strip(), endpoints)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("http://127.0.0.1:6122", "has a scheme; write 127.0.0.1:6122"),
        (
            "https://user:word@h.example:6121/x?y",
            "write host:port of the gRPC server, by default h.example:6122",
        ),
        ("grpc://[::1]:6122", "has a scheme; write [::1]:6122"),
        ("tcp://", "has a scheme; write host:port, such as 127.0.0.1:6122"),
        ("", "is empty; write host:port"),
        (" \t\n", "is empty; write host:port"),
        (":6122", "has no host"),
        ("[]:6122", "has no host"),
        ("127.0.0.1", "has no port; write 127.0.0.1:6122"),
        ("127.0.0.1:", "has no port; write 127.0.0.1:6122"),
        ("[::1]", "has no port; write [::1]:6122"),
        ("127.0.0.1:0", "must be a number from 1 to 65535"),
        ("127.0.0.1:65536", "must be a number from 1 to 65535"),
        ("127.0.0.1:-1", "must be a number from 1 to 65535"),
        ("127.0.0.1:+1", "must be a number from 1 to 65535"),
        ("127.0.0.1:grpc", "must be a number from 1 to 65535"),
        ("127.0.0.1:٦١٢٢", "must be a number from 1 to 65535"),
        ("127.0.0.1:" + "9" * 5000, "must be a number from 1 to 65535"),
        ("127.0.0.1:6122/", "must be a number from 1 to 65535"),
        ("127.0.0.1/x:6122", "is not host:port"),
        ("user@host:6122", "is not host:port"),
        ("127.0.0.1: 6122", "has white space in it"),
        ("a\0b:6122", "has white space in it"),
        ("::1", "write an IPv6 address as [::1]:6122"),
        ("::1:6122", "write an IPv6 address as [::1]:6122"),
        ("a:b:c", "has more than one colon"),
        ("[::1:6122", "is not [IPv6 address]:port"),
        ("[::1]6122", "is not [IPv6 address]:port"),
        ("unix:", "has no path of a socket"),
        ("ipv4:10.0.0.1", "has no port"),
    ],
)
def test_what_is_no_address_is_refused_with_what_to_write_instead(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"^registry: ") as refused:
        parse_address(text, "registry")
    assert said in str(refused.value)


@pytest.mark.parametrize("value", [6122, b"127.0.0.1:6122", ("127.0.0.1", 6122)])
def test_an_address_is_text(value: object) -> None:
    with pytest.raises(ValueError, match="registry: must be a string"):
        parse_address(value, "registry")


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("127.1", True),
        ("::1", True),
        ("[::1]", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("LocalHost.", True),
        ("tron.localhost", True),
        ("0.0.0.0", True),
        ("::", True),
        ("10.0.0.1", False),
        ("128.0.0.1", False),
        ("localhost.example", False),
        ("127.example", False),
        ("::2", False),
    ],
)
def test_a_host_is_local_by_its_form(host: str, local: bool) -> None:
    assert is_local(host) is local


def test_the_argument_wins_over_the_environment_and_that_over_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRON_REGISTRY", " r.example:1\n")
    monkeypatch.setenv("TRON_MONITOR", "m.example:1")
    assert resolve_address("a.example:2").text == "a.example:2"
    assert resolve_address(None).text == resolve_address("").text == "r.example:1"
    assert resolve_monitor_address(None).text == "m.example:1"
    monkeypatch.delenv("TRON_MONITOR")
    assert resolve_monitor_address(None).text == DEFAULT_MONITOR


def test_every_client_refuses_what_is_no_address_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"^registry: 'http://127.0.0.1:6121' has a scheme"):
        Agent("a", registry="http://127.0.0.1:6121")
    for client in (RegistryClient, MonitorClient, AsyncRegistryClient):
        with pytest.raises(ValueError, match=r"^address: ':1' has no host"):
            client(":1")
    monkeypatch.setenv("TRON_REGISTRY", "http://127.0.0.1:6121")
    with pytest.raises(ValueError, match=r"^TRON_REGISTRY: 'http://127.0.0.1:6121' has a scheme"):
        Agent("a")


def test_to_read_an_address_loads_no_grpc() -> None:
    import subprocess
    import sys

    code = "import sys, tron_client.address, tron_cli.app; sys.exit('grpc' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
