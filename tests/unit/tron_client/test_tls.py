"""Which certificates a connection uses, and what is said of files that cannot be used."""

from __future__ import annotations

import logging
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from tron_client import Agent, AsyncRegistryClient, Endpoint, MonitorClient, RegistryClient
from tron_client.address import parse_address
from tron_client.channel import resolve_address, resolve_monitor_address
from tron_client.credentials import credentials_of
from tron_client.profiles import find_profile, parse_profiles, profiles_path
from tron_client.tls import NO_FILES, TlsFiles, choose, from_arguments, from_environment
from tron_client.tls_files import own_problem, read_files

from tests.support.certificates import TestAuthority


@pytest.fixture
def authority(tmp_path: Path) -> TestAuthority:
    """A CA."""
    return TestAuthority(tmp_path / "ca")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of the machine."""
    for name in ("TRON_CA", "TRON_CERT", "TRON_KEY", "TRON_PROFILE", "TRON_REGISTRY", "TRON_MONITOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def write_profiles(tmp_path: Path, text: str) -> Path:
    """Write the profile file, and return its folder."""
    folder = tmp_path / "config" / "tron"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "profiles.toml").write_text(text)
    return folder


def test_an_argument_wins_over_the_environment_and_that_over_a_profile() -> None:
    profile = parse_profiles('[profiles.p]\nca = "p-ca"\ncert = "p"\nkey = "p-key"\n', Path("/profiles"))["p"].files
    environment = from_environment({"TRON_CA": "/e-ca", "TRON_CERT": "/e", "TRON_KEY": "/e-key"})
    argument = from_arguments("/a-ca", None, None)
    chosen = choose(argument, environment, profile)
    assert chosen == TlsFiles(argument.ca, environment.cert, environment.key)
    assert choose(NO_FILES, NO_FILES, profile) == profile
    assert profile.ca is not None
    assert profile.ca.path == "/profiles/p-ca"


def test_without_any_source_a_connection_is_plaintext() -> None:
    assert choose(NO_FILES, from_environment({"TRON_CA": " "})) is None
    assert credentials_of(parse_address("127.0.0.1:6122", "")) is None


def test_a_certificate_and_its_key_come_from_one_source() -> None:
    with pytest.raises(ValueError, match="TRON_CERT: a certificate needs its key"):
        choose(from_environment({"TRON_CERT": "/c"}), from_arguments(None, "/x", "/y"))
    with pytest.raises(ValueError, match="key: a key needs its certificate"):
        choose(from_arguments(None, None, "/k"))


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"ca": 7}, TypeError, "ca: must be a path"),
        ({"key": ""}, ValueError, "key: is empty"),
        ({"server_name": 3}, TypeError, "server_name: must be a string"),
        ({"ca": "x", "plaintext": True}, ValueError, "plaintext: cannot be combined"),
        ({"ca": "x", "credentials": grpc.local_channel_credentials()}, ValueError, "credentials: cannot be combined"),
    ],
)
def test_an_endpoint_refuses_options_that_make_no_sense(
    options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        Endpoint("a:1", **options)


def test_endpoints_with_equal_files_are_equal(authority: TestAuthority, monkeypatch: pytest.MonkeyPatch) -> None:
    issued = authority.issue("worker")
    one, other = Endpoint("a:1", **issued.arguments), Endpoint("a:1", **issued.texts)
    assert one == other
    assert hash(one) == hash(other)
    assert credentials_of(one) is credentials_of(other)
    assert one != Endpoint("a:1")
    assert one != Endpoint("a:1", ca=issued.ca)
    assert Endpoint("a:1", plaintext=True) != Endpoint("a:1")
    monkeypatch.chdir(issued.ca.parent)
    assert Endpoint("a:1", ca="ca.pem") == Endpoint("a:1", ca=issued.ca)
    assert Endpoint("a:1", ca=issued.ca.read_bytes()) == Endpoint("a:1", ca=issued.ca.read_bytes())


def test_a_key_is_in_no_representation(authority: TestAuthority) -> None:
    issued = authority.issue("worker")
    files = from_arguments(issued.ca, issued.cert.read_bytes(), issued.key.read_bytes())
    assert "PRIVATE" not in repr(files)
    assert "PRIVATE" not in repr(read_files(files))


def test_what_is_wrong_with_a_file_is_said_in_one_line(authority: TestAuthority, tmp_path: Path) -> None:
    issued, other = authority.issue("worker"), authority.issue("other")
    missing, empty, damaged = tmp_path / "missing.pem", tmp_path / "empty.pem", tmp_path / "damaged.pem"
    empty.write_text("")
    damaged.write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    locked = tmp_path / "locked.pem"
    locked.write_bytes(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
    for given, words in (
        ({"ca": missing}, f"ca: {missing} cannot be read (No such file or directory)"),
        ({"ca": tmp_path}, f"ca: {tmp_path} cannot be read (Is a directory)"),
        ({"ca": empty}, f"ca {empty}: has no certificate in it"),
        ({"ca": issued.key}, f"ca {issued.key}: has a private key, and no certificate in it"),
        ({"ca": damaged}, f"ca {damaged}: has a damaged certificate in it"),
        ({"ca": b"nothing"}, "ca: has no certificate in it"),
        ({"cert": issued.cert}, "cert: a certificate needs its key"),
        ({"cert": issued.cert, "key": issued.cert}, f"key {issued.cert}: has no private key in it"),
        ({"cert": issued.cert, "key": locked}, f"key {locked}: is encrypted with a password"),
        (
            {"cert": issued.cert, "key": other.key},
            f"key {other.key}: is not the key of the certificate cert {issued.cert}",
        ),
    ):
        endpoint = Endpoint("127.0.0.1:1", **given)
        for make in (
            lambda endpoint: RegistryClient(endpoint),
            lambda endpoint: MonitorClient(endpoint),
            lambda endpoint: Agent("a", registry=endpoint),
        ):
            with pytest.raises(ValueError, match=r".") as raised:
                make(endpoint)
            assert words in str(raised.value)


async def test_an_asynchronous_client_refuses_such_files_too(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        AsyncRegistryClient(Endpoint("127.0.0.1:1", ca=tmp_path / "none"))


def test_a_server_name_without_tls_is_refused() -> None:
    with pytest.raises(ValueError, match="server_name: has no effect without TLS"):
        RegistryClient(Endpoint("127.0.0.1:1", server_name="a"))


def test_the_variable_is_named_if_the_environment_names_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRON_CA", "/nowhere/ca.pem")
    with pytest.raises(ValueError, match=r"TRON_CA: /nowhere/ca\.pem cannot be read"):
        RegistryClient("127.0.0.1:1")
    assert credentials_of(Endpoint("127.0.0.1:1", plaintext=True)) is None


def test_a_bundle_of_two_hundred_certificates_with_comments_is_read(authority: TestAuthority, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    blocks = [TestAuthority(tmp_path / str(number)).ca.read_bytes() for number in range(200)]
    bundle.write_bytes("# Büro-Zertifikate\n".encode().join([*blocks, authority.ca.read_bytes()]))
    assert credentials_of(Endpoint("a:1", ca=bundle)) is not None


def test_a_renewed_file_is_used_for_the_next_connection(authority: TestAuthority) -> None:
    endpoint = Endpoint("a:1", **authority.issue("worker").arguments)
    first = credentials_of(endpoint)
    assert credentials_of(endpoint) is first
    authority.issue("worker")
    second = credentials_of(endpoint)
    assert second is not first
    assert credentials_of(endpoint) is second


def test_files_that_were_only_touched_open_no_new_connection(authority: TestAuthority) -> None:
    issued = authority.issue("worker")
    endpoint = Endpoint("a:1", **issued.arguments)
    first = credentials_of(endpoint)
    os.utime(issued.cert, (1, 1))
    assert credentials_of(endpoint) is first


def test_a_renewal_that_is_half_done_leaves_the_former_files_in_use(
    authority: TestAuthority, caplog: pytest.LogCaptureFixture
) -> None:
    issued = authority.issue("worker")
    endpoint = Endpoint("a:1", **issued.arguments)
    first = credentials_of(endpoint)
    key = issued.key.read_bytes()
    authority.issue("worker")
    new_key = issued.key.read_bytes()
    issued.key.write_bytes(key)
    with caplog.at_level(logging.WARNING):
        assert credentials_of(endpoint) is first
        assert credentials_of(endpoint) is first
    assert [each.getMessage().split()[0] for each in caplog.records] == ["tls_reload_failed"]
    issued.key.write_bytes(new_key)
    assert credentials_of(endpoint) is not first


@pytest.mark.parametrize(("mode", "told"), [(0o600, 0), (0o640, 0), (0o644, 1)])
def test_a_key_that_every_user_can_read_is_said_once(
    authority: TestAuthority, caplog: pytest.LogCaptureFixture, mode: int, told: int
) -> None:
    issued = authority.issue("worker")
    issued.key.chmod(mode)
    endpoint = Endpoint("a:1", **issued.arguments)
    with caplog.at_level(logging.WARNING):
        assert credentials_of(endpoint) is credentials_of(endpoint)
    lines = [each.getMessage() for each in caplog.records]
    assert [line.startswith(f"key_exposed file={issued.key}") for line in lines] == [True] * told


@pytest.mark.parametrize(
    ("starts", "ends", "problem"),
    [(-2, -1, "has expired"), (1, 2, "is not valid yet"), (-1, 1, "")],
)
def test_a_certificate_outside_its_dates_is_known(
    authority: TestAuthority, starts: int, ends: int, problem: str
) -> None:
    issued = authority.issue("worker", starts=timedelta(hours=starts), ends=timedelta(hours=ends))
    found = own_problem(read_files(from_arguments(**issued.texts)))
    assert found.startswith(problem)
    assert bool(found) is bool(problem)


# --- profiles ---------------------------------------------------------------------------------------------------------


def test_the_profile_file_is_in_the_directory_for_settings() -> None:
    assert str(profiles_path({"XDG_CONFIG_HOME": "/c", "HOME": "/h"})) == "/c/tron/profiles.toml"
    assert str(profiles_path({"XDG_CONFIG_HOME": "relative", "HOME": "/h"})) == "/h/.config/tron/profiles.toml"
    assert str(profiles_path({"HOME": "/h"})) == "/h/.config/tron/profiles.toml"


def test_a_profile_gives_addresses_and_certificates(
    authority: TestAuthority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f'[profiles.default]\nregistry = "r.example:1"\ntron = "t.example:2"\nca = "{authority.ca}"\n'
    write_profiles(tmp_path, text + '[profiles.other]\nregistry = "o.example:3"\n')
    assert resolve_address(None).text == "r.example:1"
    assert resolve_monitor_address(None).text == "t.example:2"
    assert credentials_of(resolve_address(None)) is not None
    monkeypatch.setenv("TRON_PROFILE", "other")
    assert resolve_address(None).text == "o.example:3"
    assert credentials_of(resolve_address(None)) is None
    with pytest.raises(ValueError, match=r"profiles\.other\.tron: is missing"):
        resolve_monitor_address(None)


def test_the_default_profile_is_for_callers_that_give_no_address(
    authority: TestAuthority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A system on this machine, such as that of `tron up`, needs no certificates."""
    write_profiles(tmp_path, f'[profiles.default]\nregistry = "r.example:1"\nca = "{authority.ca}"\n')
    assert credentials_of(resolve_address("127.0.0.1:6122")) is None
    monkeypatch.setenv("TRON_REGISTRY", "127.0.0.1:6122")
    assert credentials_of(resolve_address(None)) is None
    monkeypatch.setenv("TRON_PROFILE", "default")
    assert resolve_address(None).text == "127.0.0.1:6122"
    assert credentials_of(resolve_address(None)) is not None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[profiles.p", "profiles.toml: "),
        ("[profile.p]\n", "profile: is not known"),
        ("profiles = 3\n", "profiles: must be tables"),
        ("[profiles]\np = 3\n", "profiles.p: must be a table"),
        ('[profiles.p]\nregsitry = "a:1"\n', "profiles.p.regsitry: is not known; the settings are registry, tron, ca"),
        ("[profiles.p]\nca = 3\n", "profiles.p.ca: must be a string"),
        ('[profiles.p]\nca = " "\n', "profiles.p.ca: must be a string that is not empty"),
        ('[profiles.p]\nregistry = "http://a"\n', "profiles.p.registry: 'http://a' has a scheme"),
        ("[profiles.q]\n", "TRON_PROFILE: "),
    ],
)
def test_what_is_wrong_with_a_profile_is_named(tmp_path: Path, text: str, words: str) -> None:
    folder = write_profiles(tmp_path, text)
    with pytest.raises(ValueError, match=r".") as raised:
        find_profile({"XDG_CONFIG_HOME": str(folder.parent), "TRON_PROFILE": "p"}, address_given=True)
    assert words in str(raised.value)
    assert "profiles.toml" in str(raised.value)


def test_a_profile_without_a_file_is_an_error_only_if_it_was_asked_for(tmp_path: Path) -> None:
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert find_profile(environ, address_given=False) is None
    with pytest.raises(ValueError, match="does not exist"):
        find_profile(environ | {"TRON_PROFILE": "p"}, address_given=True)
