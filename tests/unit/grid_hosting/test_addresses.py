"""Addresses to listen on: which are taken, what is said of the others, and who is warned about."""

from __future__ import annotations

import re

import pytest

from grid_hosting.addresses import client_block, exposure_warning, is_loopback, parse_listen, reachable_here
from grid_hosting.listening import bind_socket, check_bindable, is_exposed
from grid_hosting.start import StartError


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:6122", "127.0.0.1", 6122),
        ("localhost:0", "localhost", 0),
        (":0", "", 0),
        (":6122", "", 6122),
        ("*:6122", "", 6122),
        ("[::1]:0", "::1", 0),
        ("[::]:65535", "::", 65535),
        ("my-host.example:1", "my-host.example", 1),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, host: str, port: int) -> None:
    parsed = parse_listen(text)
    assert (parsed.host, parsed.port) == (host, port)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is empty"),
        ("localhost", "'localhost' has no port; write HOST:PORT, for example localhost:6122"),
        ("[::1]", "has no port"),
        ("::1:0", "write an IPv6 address in brackets"),
        ("::1", "write an IPv6 address in brackets"),
        ("[::1:0", "unmatched bracket"),
        ("[localhost]:0", "'localhost' is not an IPv6 address"),
        ("127.0.0.1:", "the port '' is not a number"),
        ("127.0.0.1:http", "the port 'http' is not a number"),
        ("127.0.0.1:-1", "the port '-1' is not a number"),
        ("127.0.0.1: 1", "the port ' 1' is not a number"),
        ("127.0.0.1:٣", "is not a number"),
        ("127.0.0.1:99999", "the port 99999 is above 65535"),
        ("127.0.0.1:65536", "the port 65536 is above 65535"),
        ("http://127.0.0.1:1", "has a scheme"),
        ("unix:/tmp/socket", "is a Unix socket"),
        ("unix:socket", "is a Unix socket"),
        ("/tmp/socket:1", "is a Unix socket"),
        ("a b:1", "is not a host name"),
        ("user@host:1", "is not a host name"),
    ],
)
def test_what_is_wrong_with_an_address_is_said_in_one_line(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)) as refused:
        parse_listen(text)
    assert "\n" not in str(refused.value)


def test_no_host_is_every_interface_and_a_client_here_uses_loopback() -> None:
    bound, address = bind_socket(":0")
    with bound:
        assert address in (f"[::]:{bound.getsockname()[1]}", f"0.0.0.0:{bound.getsockname()[1]}")
        assert reachable_here(address) == f"127.0.0.1:{bound.getsockname()[1]}"
    assert reachable_here("10.0.0.1:5") == "10.0.0.1:5"
    assert reachable_here("no address") == "no address"


@pytest.mark.parametrize(
    ("address", "exposed"),
    [
        ("127.0.0.1:1", False),
        ("127.9.9.9:1", False),
        ("localhost:1", False),
        ("[::1]:1", False),
        ("[::ffff:127.0.0.1]:1", False),
        (":1", True),
        ("0.0.0.0:1", True),
        ("[::]:1", True),
        ("192.0.2.1:1", True),
        ("no-such-host.invalid:1", True),
    ],
)
def test_an_address_that_other_machines_reach_is_known(address: str, exposed: bool) -> None:
    assert is_exposed(address) is exposed


@pytest.mark.parametrize(
    ("peer", "block"),
    [
        ("ipv4:10.0.0.1:5", "10.0.0.1/32"),
        ("ipv4:10.0.0.2:5", "10.0.0.2/32"),
        ("ipv6:[2001:db8:1:2::1]:5", "2001:db8:1:2::/64"),
        ("ipv6:%5B2001:db8:1:2:ffff::9%5D:7", "2001:db8:1:2::/64"),
        ("ipv6:[2001:db8:1:3::1]:5", "2001:db8:1:3::/64"),
        ("ipv6:[::ffff:10.0.0.1]:5", "10.0.0.1/32"),
        ("ipv6:[fe80::1%eth0]:5", "fe80::/64"),
        ("unix:/run/tron.sock", "unix"),
        ("unix:", "unix"),
        ("unknown:", "unknown"),
    ],
)
def test_a_client_that_may_choose_its_address_is_one_client(peer: str, block: str) -> None:
    assert client_block(peer) == block


def test_what_is_no_ip_address_is_not_taken_for_loopback() -> None:
    assert not is_loopback("localhost")


def test_the_warning_says_who_can_do_what_and_what_to_do_instead() -> None:
    told = exposure_warning("the registry", "0.0.0.0:6122")
    for part in ("0.0.0.0:6122", "anyone who reaches it can", "listen on 127.0.0.1", "ssh -L 6122:127.0.0.1:6122"):
        assert part in told
    told = exposure_warning("the registry", "0.0.0.0:6122", tls=True)
    for part in ("0.0.0.0:6122", "anyone who can connect can", "do not authenticate", "[security] authentication"):
        assert part in told


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("no-such-host.invalid:0", "cannot listen on no-such-host.invalid:0: "),
        ("192.0.2.1:0", "cannot listen on 192.0.2.1:0: this machine has no such address"),
        (f"{'a' * 300}.example:0", "cannot listen on "),
    ],
)
def test_an_address_that_can_not_be_used_is_named(address: str, said: str) -> None:
    with pytest.raises(StartError) as refused:
        check_bindable(address)
    assert said in str(refused.value)


def test_an_address_in_use_is_named() -> None:
    bound, address = bind_socket("127.0.0.1:0")
    with bound:
        bound.listen()
        with pytest.raises(StartError, match=f"{address} is in use; stop the program that listens there"):
            check_bindable(address)
