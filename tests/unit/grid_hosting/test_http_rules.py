"""Which requests an HTTP port serves: those for a name of the port, and no acts of pages of other sites."""

from __future__ import annotations

import pytest

from grid_hosting.http_hosts import Authority, HostNames, check_host_name, parse_authority
from grid_hosting.http_rules import HttpRules, in_networks, parse_network, parse_origin
from grid_hosting.security import SecuritySettings

Headers = dict[str, str | list[str]]

NAMES = ("tron.test", "10.1.2.3", "*.below.test")


def rules(
    *, tls: bool = False, proxies: tuple[str, ...] = (), same_host: bool = False, beyond: bool = False
) -> HttpRules:
    """The rules of a port with three names of its own, and one in its certificate."""
    hosts = HostNames(NAMES, any_address=beyond, certified=lambda: ("certified.test",))
    return HttpRules(hosts, tls=tls, trusted_proxies=map(parse_network, proxies), same_host=same_host)


def asked(headers: Headers) -> dict[bytes, list[bytes]]:
    """The headers as the rules read them."""
    lists = {name: [value] if isinstance(value, str) else value for name, value in headers.items()}
    return {name.encode(): [each.encode("latin-1") for each in values] for name, values in lists.items()}


def outcome(some: HttpRules, headers: Headers, **request: str | bool) -> str:
    """The reason of the refusal; empty if there is none."""
    refusal = some.refuse(asked(headers), **request)  # type: ignore[arg-type]
    return "" if refusal is None else refusal.reason


# --- Host -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LocalHost:6121", "localhost.", "localhost:", "127.0.0.1", "127.0.0.1:1", "127.8.7.6", "[::1]"),
        *("[::1]:6101", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "tron.test", "TRON.test.:6121", "10.1.2.3:80"),
        *("a.below.test", "a.b.below.test", "certified.test"),
    ],
)
def test_a_port_answers_for_its_names(host: str) -> None:
    assert outcome(rules(), {"host": host}, acts=True) == ""


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        *((each, "HOST_NOT_ALLOWED") for each in ("evil.test", "localhost.evil.test", "tron.test.evil.test")),
        *((each, "HOST_NOT_ALLOWED") for each in ("evil-tron.test", "below.test", "evilbelow.test", "localhost..")),
        *((each, "HOST_NOT_ALLOWED") for each in ("2130706433", "0x7f.1", "127.1", "0.0.0.0", "10.1.2.4", "[::2]")),
        *((each, "HOST_NOT_ALLOWED") for each in ("127.0.0.1.evil.test", "a.localhost", "127.0.0.01", ".")),
        *((each, "HOST_INVALID") for each in ("", " localhost", "localhost ", "localhost, evil.test", "a@localhost")),
        *((each, "HOST_INVALID") for each in ("localhost:6121:1", "localhost:x", "localhost/", "local%68ost", "::1")),
        *(
            (each, "HOST_INVALID")
            for each in ("[::1", "[::1]x", "[localhost]", "[::1%25lo]", "http://localhost", "ü.test")
        ),
        *((each, "HOST_INVALID") for each in ("localhost\t", "local\x00host", "localhost:123456", "localhost:+1")),
    ],
)
@pytest.mark.parametrize("acts", [False, True])
def test_a_port_answers_for_no_other_name(host: str, reason: str, acts: bool) -> None:
    assert outcome(rules(), {"host": host, "sec-fetch-site": "same-origin"}, acts=acts) == reason


def test_the_refusal_names_the_host_and_the_setting() -> None:
    refusal = rules().refuse(asked({"host": "evil.test:6101"}))
    assert refusal is not None
    assert refusal.status == 421
    for part in ("'evil.test'", "[security] http_hosts", "TRON_SECURITY_HTTP_HOSTS", "--http-hosts"):
        assert part in refusal.detail


def test_a_request_has_one_host() -> None:
    assert outcome(rules(), {"host": ["localhost", "localhost"]}) == "HOST_REPEATED"
    assert outcome(rules(), {"host": ["localhost", "evil.test"]}) == "HOST_REPEATED"
    assert outcome(rules(), {}) == "HOST_MISSING"
    assert outcome(rules(), {}, version="1.0") == ""  # no browser sends such a request; health checks do


def test_every_address_is_admitted_if_other_machines_can_reach_the_port_and_no_other_name() -> None:
    for host in ("192.0.2.1", "[2001:db8::1]:6121", "0.0.0.0"):
        assert outcome(rules(beyond=True), {"host": host}) == ""
        assert outcome(rules(), {"host": host}) == "HOST_NOT_ALLOWED"
    assert outcome(rules(beyond=True), {"host": "evil.test"}) == "HOST_NOT_ALLOWED"


def test_hosts_that_are_remembered_are_bounded() -> None:
    some = rules()
    for number in range(1000):
        assert outcome(some, {"host": f"n{number}.below.test"}) == ""
        assert outcome(some, {"host": f"n{number}.evil.test"}) == "HOST_NOT_ALLOWED"
    assert len(some._remembered) == 256  # noqa: SLF001


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("A.test:80", Authority("a.test", "80")),
        ("[0::1]:6101", Authority("::1", "6101")),
        ("a_b-c.test.", Authority("a_b-c.test", "")),
    ],
)
def test_an_authority_has_one_form(text: str, parsed: Authority) -> None:
    assert parse_authority(text) == parsed


@pytest.mark.parametrize(
    ("text", "checked"),
    [("Tron.Example.", "tron.example"), ("[::1]", "::1"), ("10.0.0.1", "10.0.0.1"), ("*.a.b", "*.a.b"), (" x ", "x")],
)
def test_a_configured_host_is_compared_in_one_form(text: str, checked: str) -> None:
    assert check_host_name(text) == checked


@pytest.mark.parametrize(
    "text", ["", "*", "a.*", "*.*", "http://a", "a:80", "a/b", "bücher.test", "a b", "[::1]:80", "."]
)
def test_a_wrong_host_in_the_settings_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="http_hosts"):
        SecuritySettings(http_hosts=(text,))


@pytest.mark.parametrize("text", ["", "10.0.0.1/8", "a.test", "10.0.0.0/33", "10.0.0.1:80"])
def test_a_wrong_proxy_in_the_settings_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"trusted_proxies.*\n.*not an IP address or a network"):
        SecuritySettings(trusted_proxies=(text,))


# --- pages of other sites ---------------------------------------------------------------------------------------------

FOREIGN = "FOREIGN_PAGE"


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, ""),
        ({"sec-fetch-site": "same-origin"}, ""),
        ({"sec-fetch-site": "none"}, ""),
        ({"sec-fetch-site": "same-site"}, FOREIGN),
        ({"sec-fetch-site": "cross-site"}, FOREIGN),
        ({"sec-fetch-site": "Same-Origin"}, FOREIGN),
        ({"sec-fetch-site": ""}, FOREIGN),
        ({"sec-fetch-site": ["same-origin", "cross-site"]}, FOREIGN),
        ({"sec-fetch-site": "same-site", "origin": "http://tron.test"}, FOREIGN),
        ({"sec-fetch-site": "same-origin", "origin": "https://outside.test"}, ""),  # a proxy changed Host
        ({"origin": "http://tron.test"}, ""),
        ({"origin": "https://TRON.test"}, ""),  # a proxy ended TLS
        ({"origin": "http://tron.test:80"}, ""),
        ({"origin": "http://tron.test."}, ""),
        ({"origin": "http://tron.test:6101"}, FOREIGN),
        ({"origin": "https://tron.test:80"}, FOREIGN),
        ({"origin": "http://evil.test"}, FOREIGN),
        ({"origin": "http://tron.test.evil.test"}, FOREIGN),
        ({"origin": "http://tron.test@evil.test"}, FOREIGN),
        ({"origin": "http://evil.test@tron.test"}, FOREIGN),
        ({"origin": "null"}, FOREIGN),
        ({"origin": ""}, FOREIGN),
        ({"origin": "tron.test"}, FOREIGN),
        ({"origin": "file://tron.test"}, FOREIGN),
        ({"origin": "chrome-extension://tron.test"}, FOREIGN),
        ({"origin": "http://[bad"}, FOREIGN),
        ({"origin": "http://tron.test:x"}, FOREIGN),
        ({"origin": "http://tron.test http://evil.test"}, FOREIGN),
        ({"origin": ["http://tron.test", "http://evil.test"]}, FOREIGN),
        ({"origin": ["http://tron.test", "http://tron.test"]}, FOREIGN),
        ({"origin": "https://outside.test", "x-forwarded-host": "outside.test"}, FOREIGN),  # of no trusted proxy
    ],
)
def test_only_pages_of_this_address_act(headers: Headers, reason: str) -> None:
    assert outcome(rules(), {"host": "tron.test", **headers}, acts=True) == reason
    assert outcome(rules(), {"host": "tron.test", **headers}) == ""  # without CORS the page cannot read the answer


def test_a_page_in_plaintext_does_not_act_on_a_port_with_tls() -> None:
    for same_host in (False, True):
        some = rules(tls=True, same_host=same_host)
        assert outcome(some, {"host": "tron.test:6101", "origin": "http://tron.test:6101"}, acts=True) == FOREIGN
        assert outcome(some, {"host": "tron.test:6101", "origin": "https://tron.test:6101"}, acts=True) == ""


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"origin": "http://localhost:6101", "sec-fetch-site": "same-site"}, ""),
        ({"origin": "http://127.0.0.1:6101", "sec-fetch-site": "cross-site"}, ""),
        ({"origin": "http://[::1]:6101"}, ""),
        ({"origin": "http://tron.test:6101"}, FOREIGN),
        ({"origin": "http://elsewhere.test"}, FOREIGN),
        ({"origin": "http://localhost.evil.test"}, FOREIGN),
        ({"origin": "null"}, FOREIGN),
        ({"sec-fetch-site": "same-site"}, FOREIGN),  # a link or a picture: the contract needs neither
        ({"sec-fetch-site": "cross-site"}, FOREIGN),
        ({"sec-fetch-site": "same-origin"}, ""),
        ({}, ""),
    ],
)
def test_a_port_that_is_open_by_contract_is_open_to_pages_of_its_host(headers: Headers, reason: str) -> None:
    assert outcome(rules(same_host=True), {"host": "localhost:6102", **headers}, acts=True) == reason


def test_the_host_of_such_a_port_may_have_any_name_of_it() -> None:
    some = rules(same_host=True)
    assert outcome(some, {"host": "tron.test:6102", "origin": "http://tron.test:6101"}, acts=True) == ""
    assert outcome(some, {"host": "tron.test:6102", "origin": "http://localhost:6101"}, acts=True) == FOREIGN


# --- reverse proxies --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"origin": "https://certified.test", "x-forwarded-host": "certified.test"}, ""),
        ({"origin": "https://certified.test", "x-forwarded-host": "certified.test, tron.test"}, ""),
        ({"origin": "https://certified.test", "x-forwarded-host": ["certified.test", "tron.test"]}, ""),
        ({"origin": "http://127.0.0.1:6101", "x-forwarded-host": "certified.test"}, FOREIGN),
        ({"origin": "http://evil.test", "x-forwarded-host": "certified.test"}, FOREIGN),
        # A page with a rebound name may add a header of its own, and the proxy adds the name that was asked for.
        ({"origin": "http://evil.test", "x-forwarded-host": "evil.test"}, "HOST_NOT_ALLOWED"),
        ({"origin": "http://certified.test", "x-forwarded-host": "certified.test, evil.test"}, "HOST_NOT_ALLOWED"),
        ({"x-forwarded-host": "evil.test"}, "HOST_NOT_ALLOWED"),
        ({"x-forwarded-host": "certified.test,"}, "HOST_INVALID"),
        ({"x-forwarded-host": ""}, ""),
    ],
)
def test_a_trusted_proxy_says_what_was_asked_for(headers: Headers, reason: str) -> None:
    some = rules(proxies=("10.0.0.0/8",))
    sent = {"host": "127.0.0.1:6101", **headers}
    assert outcome(some, sent, client="10.9.9.9", acts=True) == reason
    if "origin" in headers:  # nobody else is believed
        own = headers["origin"] == "http://127.0.0.1:6101"
        assert outcome(some, sent, client="192.0.2.1", acts=True) == ("" if own else FOREIGN)


def test_a_trusted_proxy_says_whether_the_page_used_tls() -> None:
    some = rules(proxies=("10.0.0.1",))
    sent: Headers = {"host": "tron.test", "origin": "http://tron.test", "x-forwarded-proto": "https"}
    assert outcome(some, sent, client="10.0.0.1", acts=True) == FOREIGN
    assert outcome(some, sent, client="10.0.0.2", acts=True) == ""


@pytest.mark.parametrize(
    ("client", "inside"),
    [
        *(("10.1.2.3", True), ("::ffff:10.1.2.3", True), ("10.2.0.0", False), ("fe80::1%eth0", True)),
        *(("fe81::1", False), ("", False), ("unix:", False), ("10.1.2.3, 10.1.2.3", False)),
    ],
)
def test_an_address_is_in_a_network(client: str, inside: bool) -> None:
    assert in_networks(client, [parse_network("10.1.0.0/16"), parse_network("fe80::/16")]) is inside


# --- pages with a session ---------------------------------------------------------------------------------------------


def test_pages_of_listed_origins_may_act() -> None:
    some = HttpRules(HostNames((), any_address=False), tls=True, origins=("https://hmi.example:8443",))
    for origin, reason in (
        ("https://hmi.example:8443", ""),
        ("https://hmi.example", "FOREIGN_PAGE"),
        ("http://hmi.example:8443", "FOREIGN_PAGE"),
        (["https://hmi.example:8443"] * 2, "FOREIGN_PAGE"),
    ):
        headers: Headers = {"host": "localhost", "origin": origin, "sec-fetch-site": "cross-site"}
        assert outcome(some, headers, acts=True) == reason
    assert outcome(some, {"host": "evil.test", "origin": "https://hmi.example:8443"}, acts=True) == "HOST_NOT_ALLOWED"


@pytest.mark.parametrize(
    ("headers", "own"),
    [
        ({}, False),
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": ["same-origin", "cross-site"]}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"origin": "https://localhost:6101"}, True),
        ({"origin": "https://localhost"}, False),
        ({"origin": ["https://localhost:6101"] * 2}, False),
        ({"origin": "https://tron.example"}, False),
        ({"origin": "https://tron.example", "x-forwarded-host": "tron.example"}, False),
    ],
)
def test_only_the_page_of_the_port_itself_has_its_sessions(headers: Headers, own: bool) -> None:
    asked_for = asked({"host": "localhost:6101", **headers})
    assert rules(tls=True).is_own_page(asked_for, "127.0.0.1") == own


def test_behind_a_trusted_proxy_the_page_is_that_of_the_proxy() -> None:
    some = rules(proxies=("10.0.0.1",))
    headers: Headers = {
        "host": "localhost:6101",
        "x-forwarded-host": "tron.test",
        "x-forwarded-proto": "https",
        "origin": "https://tron.test",
    }
    assert some.is_own_page(asked(headers), "10.0.0.1")
    assert not some.is_own_page(asked(headers), "10.0.0.2")
    assert some.is_tls(asked(headers), "10.0.0.1")
    assert not some.is_tls(asked(headers), "10.0.0.2")
    assert not some.is_own_page(asked({**headers, "x-forwarded-host": "evil.test"}), "10.0.0.1")


@pytest.mark.parametrize(
    ("client", "chain", "reported"),
    [
        ("10.0.0.1", "192.0.2.7", "192.0.2.7"),
        ("10.0.0.1", "10.9.9.9, 192.0.2.7", "192.0.2.7"),  # what the client wrote itself does not count
        ("10.0.0.1", "192.0.2.7, 10.0.0.2", "192.0.2.7"),
        ("10.0.0.1", ["192.0.2.7", "10.0.0.2"], "192.0.2.7"),
        ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("10.0.0.1", "evil", "10.0.0.1"),
        ("10.0.0.1", "192.0.2.7, unknown", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.9", "192.0.2.7", "10.0.0.9"),
    ],
)
def test_only_trusted_proxies_report_the_address_of_a_client(
    client: str, chain: str | list[str], reported: str
) -> None:
    headers: Headers = {"x-forwarded-for": chain}
    assert rules(proxies=("10.0.0.1", "10.0.0.2")).reported_client(asked(headers), client) == reported


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://hmi.example", "https://hmi.example"),
        (" HTTPS://HMI.example:443 ", "https://hmi.example"),
        ("http://hmi.example:8080", "http://hmi.example:8080"),
        ("http://[::1]:080", "http://[::1]"),
    ],
)
def test_an_origin_is_read_as_browsers_send_it(text: str, origin: str) -> None:
    assert parse_origin(text) == origin


@pytest.mark.parametrize(
    "text",
    ["", "*", "null", "hmi.example", "https://", "https://a/", "https://a/b", "https://u@a", "ws://a", "https://a?"],
)
def test_what_is_no_origin_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ValueError, match="is not an origin; write, for example, https://"):
        parse_origin(text)
