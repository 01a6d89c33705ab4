"""The credentials that `tron up` gives its programs, and what it does not give them."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest
import typer
from grid_model.access import Role
from tron_cli.system_access import issue_credentials
from tron_cli.system_security import check_security, exports

from grid_hosting.access.store import AccessStore
from grid_hosting.security import SecuritySettings
from tests.support.authority import Authority
from tests.support.issuer import settings as issuer


@pytest.fixture(autouse=True)
def _without_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in os.environ if each.startswith("TRON_")]:
        monkeypatch.delenv(name)
    for name in ("TRON_CA", "TRON_CERT", "TRON_KEY"):  # the code under test sets them
        monkeypatch.setenv(name, "")


@pytest.fixture
def mutual(tmp_path: Path) -> SecuritySettings:
    """Settings with client certificates that authenticate."""
    authority = Authority()
    cert, key = authority.issue(uris=("spiffe://tron/servers",)).write(tmp_path)
    ca = authority.write(tmp_path)
    return SecuritySettings(cert=cert, key=key, client_ca=ca, authentication=True, trust_domains=("tron",))


def test_without_authentication_nothing_is_made(tmp_path: Path) -> None:
    assert issue_credentials(tmp_path, {"registry": SecuritySettings()}, ("monitor",)) == {}
    assert list(tmp_path.iterdir()) == []


def test_each_start_makes_new_tokens_in_files_of_their_owner(tmp_path: Path) -> None:
    security = {"registry": SecuritySettings(authentication=True)}
    (before,) = issue_credentials(tmp_path, security, ("monitor",)).values()
    former = before.read_text().strip()
    files = issue_credentials(tmp_path, security, ("monitor", "gateway"))
    assert files == {name: tmp_path / f"{name}.token" for name in ("monitor", "gateway")}
    store = AccessStore(tmp_path / "registry")
    assert store.book.of_token(former, time.time()) is None
    for name, role in (("monitor", Role.JUDGE), ("gateway", Role.RELAY)):
        assert stat.S_IMODE(files[name].stat().st_mode) == 0o600
        found = store.book.of_token(files[name].read_text().strip(), time.time())
        assert found is not None
        assert found[1].roles >= {role, Role.AGENT}
    store.close()


def test_a_certificate_that_authenticates_gets_the_grants_of_the_programs(
    tmp_path: Path, mutual: SecuritySettings
) -> None:
    assert issue_credentials(tmp_path, {"registry": mutual}, ("monitor", "gateway")) == {}
    store = AccessStore(tmp_path / "registry")
    assert store.book.get("spiffe:tron/servers").principal().roles >= {Role.JUDGE, Role.RELAY, Role.AGENT}
    assert store.book.tokens == {}
    store.close()
    variables = exports({"registry": mutual})
    assert variables == f"export TRON_CA={mutual.client_ca}", "clients are not to use the certificate of the servers"


def test_the_programs_do_not_get_the_token_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRON_TOKEN", "tron_of-the-user")
    monkeypatch.setenv("TRON_TOKEN_FILE", "token-of-the-user")
    check_security({}, {"authentication": True}, {"--registry-listen": "127.0.0.1:0"})
    assert not {"TRON_TOKEN", "TRON_TOKEN_FILE"} & set(os.environ)


@pytest.mark.parametrize(
    ("tables", "listens", "said", "code"),
    [
        ({"monitor": {"authentication": True}}, {}, "the same value for all programs of tron up", 2),
        (
            {"security": {"authentication": True, "jwt": [issuer(keys_file="missing.json").model_dump()]}},
            {},
            "[[security.jwt]] https://issuer.test: keys_file: ",
            1,
        ),
        (
            {
                "security": {
                    "authentication": True,
                    "jwt": [issuer(keys_url="https://issuer.test/keys").model_dump()],
                    "oidc": {"issuer": "https://issuer.test", "client_id": "tron", "client_secret_file": "missing"},
                }
            },
            {},
            "[security.oidc] client_secret_file: ",
            1,
        ),
        ({"security": {"authentication": True}}, {"--hmi-listen": "0.0.0.0:0"}, "--hmi-listen: the gateway", 1),
    ],
)
def test_what_the_programs_would_refuse_stops_tron_up_in_one_line(
    tables: dict[str, dict[str, object]],
    listens: dict[str, str],
    said: str,
    code: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(typer.Exit) as stopped:
        check_security(tables, {}, listens)
    assert stopped.value.exit_code == code
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
