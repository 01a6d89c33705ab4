"""The modes of a program: plaintext on loopback, TLS, or no start at all; and where the settings come from."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from grid_hosting.listening import bind_socket, bound_beyond_loopback
from grid_hosting.program import read_config
from grid_hosting.security import SecuritySettings, client_environment, read_security
from grid_hosting.start import StartError
from grid_hosting.transport_security import WARN_EVERY, ExposedError, TransportSecurity
from registry_server.config import Config
from tests.support.authority import Authority


@contextmanager
def bound(listen: str) -> Iterator[str]:
    """Bind an address; yield it with its real port."""
    held, address = bind_socket(listen)
    with held:
        yield address


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (*os.environ,):
        if name.startswith("TRON_"):
            monkeypatch.delenv(name)


@pytest.fixture
def secured(tmp_path: Path) -> SecuritySettings:
    """Settings with a certificate."""
    cert, key = (ca := Authority()).issue().write(tmp_path)
    return SecuritySettings(cert=cert, key=key, ca=ca.write(tmp_path))


@pytest.mark.parametrize(
    ("listen", "beyond"),
    [
        ("127.0.0.1:0", False),
        ("127.0.0.2:0", False),
        ("localhost:0", False),
        (":0", True),
        ("*:0", True),
        ("0.0.0.0:0", True),
    ],
)
def test_what_is_bound_decides_who_can_reach_it(listen: str, beyond: bool) -> None:
    with bound(listen) as address:
        assert bound_beyond_loopback(address) is beyond


def test_a_name_that_looks_like_loopback_is_judged_by_its_socket() -> None:
    with bound("0.0.0.0:0") as address:
        assert bound_beyond_loopback(f"localhost:{address.rpartition(':')[2]}")


def test_development_mode_is_logged_once_in_one_line() -> None:
    security = TransportSecurity("the registry", SecuritySettings())
    with bound("127.0.0.1:0") as one, bound("localhost:0") as other, capture_logs() as logged:
        security.admit(one, other)
        security.log_mode()
    assert [each["event"] for each in logged] == ["development_mode"]
    assert "all local users have full access" in logged[0]["why"]


def test_a_port_beyond_loopback_without_tls_is_refused_with_the_settings_and_the_flag() -> None:
    security = TransportSecurity("the registry", SecuritySettings())
    with bound("127.0.0.1:0") as local, bound("0.0.0.0:0") as open_to_all:
        security.admit(local)
        with pytest.raises(ExposedError) as refused:
            security.admit(local, open_to_all)
    said = str(refused.value)
    assert "\n" not in said
    for part in (open_to_all, "[security] cert and key", "--insecure-listen"):
        assert part in said
    assert local not in said


async def test_insecure_listen_warns_at_the_start_and_every_minute() -> None:
    security = TransportSecurity("the registry", SecuritySettings(insecure_listen=True))
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 4:
            raise asyncio.CancelledError

    with bound("0.0.0.0:0") as address, capture_logs() as logged:
        security.admit(address)
        security.log_mode()
        with pytest.raises(asyncio.CancelledError):
            await security.run(sleep)
    assert slept == [WARN_EVERY] * 4
    assert [(each["event"], each["address"]) for each in logged] == [("listening_beyond_loopback", address)] * 4
    assert "without TLS" in logged[0]["why"]


@pytest.mark.parametrize(
    ("tls", "given", "said"),
    [
        (True, {"authentication": True}, None),
        (True, {}, "callers do not authenticate"),
        (True, {"insecure_listen": True}, None),
        (False, {}, "TLS and authentication are not configured"),
        (False, {"insecure_listen": True}, None),
        (False, {"authentication": True}, "the tokens of callers would be readable"),
        (False, {"authentication": True, "insecure_listen": True}, "the tokens of callers would be readable"),
    ],
)
def test_a_port_beyond_loopback_needs_tls_and_authentication(
    secured: SecuritySettings, tls: bool, given: dict[str, bool], said: str | None
) -> None:
    settings = (secured if tls else SecuritySettings()).model_copy(update=given)
    security = TransportSecurity("the registry", settings)
    with bound("0.0.0.0:0") as address, capture_logs() as logged:
        if said is not None:
            with pytest.raises(ExposedError, match=said) as refused:
                security.admit(address)
            assert "[security] cert and key" in str(refused.value)
            return
        security.admit(address)
        security.log_mode()
    assert [each["event"] for each in logged] == ([] if settings.authentication else ["listening_beyond_loopback"])


def test_on_loopback_authentication_needs_no_tls() -> None:
    security = TransportSecurity("the registry", SecuritySettings(authentication=True))
    with bound("127.0.0.1:0") as address, capture_logs() as logged:
        security.admit(address)
        security.log_mode()
    assert logged == [], "users of the machine no longer have full access"


def test_a_refused_port_of_metrics_is_closed() -> None:
    from prometheus_client import CollectorRegistry

    from grid_hosting.telemetry.endpoint import Endpoint

    with socket.create_server(("", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ExposedError):
        Endpoint(f":{port}", CollectorRegistry(), TransportSecurity("TRON", SecuritySettings()))
    bind_socket(f":{port}")[0].close()


# --- settings ---------------------------------------------------------------------------------------------------------


def test_all_programs_read_the_table_and_the_variables_of_security(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("tron.toml").write_text('[security]\ncert = "file.crt"\nkey = "file.key"\nca = "file-ca.crt"\n')
    monkeypatch.setenv("TRON_SECURITY_CA", "shared-ca.crt")
    found = read_config(Config, "registry", ["--key", "flag.key"])
    assert (found.cert, found.key, found.ca) == (Path("file.crt"), Path("flag.key"), Path("shared-ca.crt"))
    Path("tron.toml").write_text(
        '[security]\ncert = "a"\nkey = "b"\n[registry]\ncert = "own.crt"\ninsecure_listen = true\n'
    )
    monkeypatch.setenv("TRON_REGISTRY_CA", "own-ca.crt")
    found = read_config(Config, "registry", [])
    assert (found.cert, found.key, found.ca) == (Path("own.crt"), Path("b"), Path("own-ca.crt"))
    assert found.insecure_listen


def test_tron_up_finds_the_settings_that_each_program_will_have(monkeypatch: pytest.MonkeyPatch) -> None:
    text = '[security]\ncert = "a"\nkey = "b"\nclient_ca = "c"\n[registry]\ncert = "own.crt"\n'
    Path("tron.toml").write_text(text)
    monkeypatch.setenv("TRON_SECURITY_KEY", "shared.key")
    monkeypatch.setenv("TRON_REGISTRY_CA", "own-ca.crt")
    tables = {"security": {"cert": "a", "key": "b", "client_ca": "c"}, "registry": {"cert": "own.crt", "listen": "x:1"}}
    expected = read_config(Config, "registry", ["--client-ca", "flag.crt"])
    found = read_security("registry", tables, os.environ, {"client_ca": Path("flag.crt")})
    assert found.model_dump() == expected.model_dump(include=set(SecuritySettings.model_fields))
    assert read_security("monitor", tables, os.environ, {}).cert == Path("a")


ISSUER_TABLE = '[[security.jwt]]\nissuer = "https://a"\naudience = "tron"\nalgorithm = "RS256"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[security]\ncret = "x"\n',
            "[security] has no setting cret; it has accept_common_name, authentication, ca, cert, client_ca, "
            "http_hosts, http_origins, insecure_listen, jwt, key, legacy_open_to, max_connection_age, oidc, "
            "trust_domains, trusted_proxies",
        ),
        ('security = "on"\n', "security is not a table"),
        ('[security]\ncert = "x"\n', "[security] key: is missing"),
        ('[security]\nkey = "x"\n', "[security] cert: is missing"),
        ('[security]\nclient_ca = "x"\n', "[security] cert: is missing"),
        ("[security]\ncert = 7\n", "cert: "),
        ("[security]\nauthentication = 7\n", "authentication: "),
        ('[security]\nauthentication = true\ntrust_domains = ["Tron"]\n', "'Tron' is not a trust domain"),
        ('[security]\nauthentication = true\ntrust_domains = ["tron"]\n', "[security] client_ca: is missing"),
        ("[security]\naccept_common_name = true\n", "[security] authentication: is false"),
        ('[security]\nlegacy_open_to = ["10.1.0.0/16"]\n', "[security] authentication: is false; `legacy_open_to`"),
        ('[security]\nhttp_origins = ["https://a"]\n', "[security] authentication: is false; `http_origins`"),
        ('[security]\nauthentication = true\nlegacy_open_to = ["10.1.0.1/16"]\n', "legacy_open_to: '10.1.0.1/16' is"),
        ('[[security.jwt]]\nissuer = "https://a"\n', "jwt.0.audience: "),
        (
            ISSUER_TABLE + 'keys_file = "k"\n',
            "[security] authentication: is false; `jwt` has an effect only with authentication",
        ),
        (ISSUER_TABLE, "jwt.0: https://a: set either keys_file or keys_url"),
        (
            ISSUER_TABLE + 'keys_url = "http://a/k"\n',
            "jwt.0.keys_url: 'http://a/k' is not a valid https URL",
        ),
        (ISSUER_TABLE + 'key = "k"\n', "jwt.0.key: "),
        ((ISSUER_TABLE + 'keys_file = "k"\n') * 2, "jwt: https://a is configured twice"),
        ("[security]\njwt = 'x'\n", "jwt: is not JSON"),
        (
            '[security]\nauthentication = true\nhttp_origins = ["https://a/"]\n',
            "http_origins: 'https://a/' is not an origin",
        ),
    ],
)
def test_a_wrong_or_incomplete_table_stops_the_start_in_one_line(
    text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("tron.toml").write_text(text)
    with pytest.raises(SystemExit) as stopped:
        read_config(Config, "registry", [])
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_issuers_are_read_from_the_file_and_from_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    table = ISSUER_TABLE + 'keys_file = "k"\nroles = { "groups=a" = ["operator *"] }\n'
    Path("tron.toml").write_text(f"[security]\nauthentication = true\n{table}")
    (found,) = read_config(Config, "registry", []).jwt
    assert (found.issuer, found.roles) == ("https://a", {"groups=a": ["operator *"]})
    given = {"issuer": "https://b", "audience": "tron", "algorithm": "ES256", "keys_url": "https://b/k"}
    monkeypatch.setenv("TRON_SECURITY_JWT", json.dumps([given]))
    Path("tron.toml").write_text("[security]\nauthentication = true\n")
    (found,) = read_config(Config, "registry", []).jwt
    assert (found.issuer, found.keys_url) == ("https://b", "https://b/k")
    assert read_security("registry", {"security": {"authentication": True}}, dict(os.environ), {}).jwt == (found,)


def test_empty_files_are_none() -> None:
    assert SecuritySettings.model_validate({"cert": "", "key": ""}) == SecuritySettings()


def test_incomplete_settings_are_named_to_tron_up_too() -> None:
    with pytest.raises(StartError, match=r"^\[security\] key: is missing"):
        read_security("registry", {"security": {"cert": "x"}}, {}, {})


def test_our_own_clients_are_given_the_bundle_and_where_needed_a_certificate() -> None:
    assert client_environment(SecuritySettings(), {}) == {}
    here = Path.cwd()
    cert, key = Path("a.crt"), Path("a.key")
    found = client_environment(SecuritySettings(cert=cert, key=key, ca=Path("ca.crt")), {})
    assert found == {"TRON_CA": str(here / "ca.crt")}
    mutual = SecuritySettings(cert=cert, key=key, client_ca=Path("clients.crt"))
    assert client_environment(mutual, {}) == {
        "TRON_CA": str(here / "clients.crt"),
        "TRON_CERT": str(here / "a.crt"),
        "TRON_KEY": str(here / "a.key"),
    }
    assert client_environment(mutual, {"TRON_CA": "x", "TRON_CERT": "y", "TRON_KEY": "z"}) == {}
