"""The credential of a program: a token in a file, or its certificate; anything else stops the start with one line."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from grid_hosting.own_credential import check_token_file, own_principal, use_own_credential
from grid_hosting.security import SecuritySettings
from grid_hosting.start import StartError, shared_file
from tests.support.authority import Authority

TOKEN = "tron_" + "x" * 43


@pytest.fixture
def token(tmp_path: Path) -> Path:
    """A file with a token."""
    path = tmp_path / "monitor.token"
    path.write_text(TOKEN + "\n")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        (None, 0o600, "No such file or directory"),
        (TOKEN, 0o640, "is accessible to users other than its owner (mode 0640)"),
        (TOKEN, 0o604, "is accessible to users other than its owner (mode 0604)"),
        ("", 0o600, "contains no token"),
        (f"{TOKEN}\n\n", 0o600, "must contain one token and nothing else"),
        (f"{TOKEN}\n{TOKEN}\n", 0o600, "must contain one token and nothing else"),
        ("x" * 9000, 0o600, "is longer than"),
    ],
)
def test_a_token_file_that_cannot_be_used_is_named(token: Path, content: str | None, mode: int, said: str) -> None:
    if content is None:
        token.unlink()
    else:
        token.write_text(content)
        token.chmod(mode)
    with pytest.raises(StartError) as refused:
        check_token_file("[monitor] token_file", token)
    text = str(refused.value)
    for part in ("[monitor] token_file", str(token), said):
        assert part in text
    assert "\n" not in text
    assert TOKEN not in text


@pytest.mark.parametrize(
    ("mode", "owner", "program", "refused"),
    [
        (0o440, 0, 10001, False),
        (0o640, 0, 10001, False),
        (0o444, 0, 10001, True),
        (0o460, 0, 10001, True),
        (0o440, 0, 0, True),
        (0o440, 10001, 10001, True),
        (0o440, 10002, 10001, True),
        (0o400, 10001, 10001, False),
    ],
)
def test_the_group_may_read_a_secret_of_root_as_in_kubernetes(
    mode: int, owner: int, program: int, refused: bool, token: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: program)
    found = os.stat_result((stat.S_IFREG | mode, 0, 0, 1, owner, 10001, 0, 0, 0, 0))
    assert (shared_file(token, found) is not None) == refused


def test_the_token_of_the_setting_takes_the_place_of_that_of_the_user(token: Path) -> None:
    environ = {"TRON_TOKEN": "tron_of-the-user"}
    use_own_credential("monitor", SecuritySettings(authentication=True), token, ("127.0.0.1:1",), environ)
    assert environ == {"TRON_TOKEN_FILE": str(token)}


@pytest.mark.parametrize(
    ("environ", "servers", "said"),
    [
        ({}, (), "[monitor] token_file: is missing"),
        ({"TRON_TOKEN": "a", "TRON_TOKEN_FILE": "b"}, (), "both are set"),
        ({"TRON_TOKEN": "a b"}, (), "must contain one token"),
        ({"TRON_TOKEN": TOKEN}, ("registry.example:6122",), "a token is sent only over TLS"),
    ],
)
def test_a_program_without_a_usable_credential_does_not_start(
    environ: dict[str, str], servers: tuple[str, ...], said: str
) -> None:
    with pytest.raises(StartError) as refused:
        use_own_credential("monitor", SecuritySettings(authentication=True), None, servers, environ)
    assert said in str(refused.value)


def test_without_authentication_a_program_needs_no_credential() -> None:
    use_own_credential("monitor", SecuritySettings(), None, ("registry.example:6122",), {})


def test_a_program_with_a_token_serves_everyone_only_if_that_is_said(token: Path) -> None:
    meant = SecuritySettings(authentication=False)
    for path, environ in ((token, {}), (None, {"TRON_TOKEN": TOKEN}), (None, {"TRON_TOKEN_FILE": str(token)})):
        with pytest.raises(
            StartError, match=r"^\[security\] authentication: is missing, .*--no-authentication"
        ) as refused:
            use_own_credential("gateway", SecuritySettings(), path, ("127.0.0.1:1",), dict(environ))
        assert TOKEN not in str(refused.value)
        use_own_credential("gateway", meant, path, ("127.0.0.1:1",), dict(environ))


def test_a_certificate_in_a_trust_domain_is_the_only_credential(tmp_path: Path, token: Path) -> None:
    authority = Authority()
    cert, key = authority.issue(uris=("spiffe://tron/servers",)).write(tmp_path)
    settings = SecuritySettings(
        cert=cert, key=key, client_ca=authority.write(tmp_path), authentication=True, trust_domains=("tron",)
    )
    assert own_principal(settings, {}) == "spiffe:tron/servers"
    use_own_credential("monitor", settings, None, (), {})
    with pytest.raises(StartError, match="already authenticates it as spiffe:tron/servers"):
        use_own_credential("monitor", settings, token, (), {})
    other = settings.model_copy(update={"trust_domains": ("other",)})
    assert own_principal(other, {}) == ""
    common = settings.model_copy(update={"trust_domains": (), "accept_common_name": True})
    assert own_principal(common, {}) == "", "it has a URI"
    named, _ = authority.issue("boss").write(tmp_path, "boss")
    assert own_principal(common, {"TRON_CERT": str(named)}) == "cn:boss"
    with pytest.raises(StartError, match="No such file"):
        own_principal(common, {"TRON_CERT": str(tmp_path / "none")})
