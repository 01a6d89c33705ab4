"""`tron security`: a data directory becomes that of a secured system, and no server is needed."""

from __future__ import annotations

import os
import stat
import time
import tomllib
from pathlib import Path

import pytest
from grid_model.access import Grant, Role
from tron_cli.app import app
from typer.testing import CliRunner, Result

from grid_hosting.access import programs
from grid_hosting.access.audit import AuditFilter
from grid_hosting.access.store import AccessStore


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def security(*words: str) -> Result:
    """Run `tron security`."""
    return CliRunner().invoke(app, ["security", *words])


def roles_of(token: Path, folder: str = "tron-data/registry") -> frozenset[Role]:
    """Return the roles of the principal of a token now."""
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    store = AccessStore(Path(folder))
    found = store.book.of_token(token.read_text().strip(), time.time())
    store.close()
    return frozenset() if found is None else found[1].roles


def test_enable_makes_a_certificate_and_the_first_token_and_writes_the_settings() -> None:
    Path("tron-data/registry").mkdir(parents=True)
    Path("tron.toml").write_text("[registry]\nmax_streams = 7")
    done = security("enable", "--dns", "registry.example", "--ip", "10.0.0.1")
    assert done.exit_code == 0, done.output
    tables = tomllib.loads(Path("tron.toml").read_text())
    assert tables["registry"] == {"max_streams": 7}
    here = Path.cwd()
    assert tables["security"] == {
        "cert": str(here / "tron-ca/servers.pem"),
        "key": str(here / "tron-ca/servers-key.pem"),
        "ca": str(here / "tron-ca/ca.pem"),
        "authentication": True,
    }
    assert Role.ADMIN in roles_of(Path("tron-data/admin.token"))
    commands = ("tron token create --role agent", "tron ca renew servers")
    for part in (*commands, f"TRON_CA={here}/tron-ca/ca.pem", "TRON_TOKEN_FILE=", "one hour"):
        assert part in done.output
    assert Path("tron-data/admin.token").read_text().strip() not in done.output
    again = security("enable")
    assert again.exit_code == 1
    assert "already enabled" in again.output


def test_enable_keeps_the_certificate_and_the_table_that_are_there() -> None:
    assert CliRunner().invoke(app, ["ca", "init"]).exit_code == 0
    assert CliRunner().invoke(app, ["ca", "issue", "own", "--server"]).exit_code == 0
    text = '[security]\ncert = "tron-ca/own.pem"\nkey = "tron-ca/own-key.pem"\nca = "tron-ca/ca.pem"\n'
    Path("tron.toml").write_text(text)
    done = security("enable")
    assert done.exit_code == 0, done.output
    assert Path("tron.toml").read_text() == text
    assert "Add these lines" in done.output
    assert "\n  authentication = true\n" in done.output
    assert not Path("tron-ca/servers.pem").exists()


def left_by_others() -> None:
    """What somebody may have created while nobody authenticated."""
    store = AccessStore(Path("tron-data/registry"))
    grants = (Grant(Role.ADMIN, "*"),)
    store.change(
        lambda book: book.create_token("tron_" + "E" * 43, "token:eve", now=1, grants=grants, created_by="local")
    )
    store.change(lambda book: book.create_token("tron_" + "F" * 43, "token:admin", now=1, created_by="local"))
    store.close()


def principals() -> dict[str, int]:
    """The principals, and how many tokens each has."""
    store = AccessStore(Path("tron-data/registry"))
    found = {name: len(store.book.tokens_of(name)) for name in store.book.principals}
    store.close()
    return found


def test_enable_lists_what_others_may_have_created_and_refuses_until_that_is_decided() -> None:
    left_by_others()
    done = security("enable")
    assert done.exit_code == 1
    for part in ("token:eve: admin * (1 valid token)", "token:admin: no rights (1 valid token)", "--keep-access"):
        assert part in done.output
    assert not Path("tron.toml").exists()
    assert not Path("tron-ca").exists()
    assert principals() == {"token:eve": 1, "token:admin": 1}
    both = security("enable", "--keep-access", "--revoke-access")
    assert both.exit_code == 2
    assert not Path("tron.toml").exists()


def test_enable_deletes_what_others_may_have_created_if_it_is_told_to() -> None:
    left_by_others()
    done = security("enable", "--revoke-access")
    assert done.exit_code == 0, done.output
    assert "Deleted 2 principals" in done.output
    assert principals() == {"token:admin": 1}
    assert Role.ADMIN in roles_of(Path("tron-data/admin.token"))
    store = AccessStore(Path("tron-data/registry"))
    records = [each.target for each in store.read_audit(0, 10, AuditFilter()) if "revoke-access" in each.method]
    store.close()
    assert records == ["token:admin", "token:eve"]


def test_enable_keeps_what_exists_if_it_is_told_to() -> None:
    left_by_others()
    done = security("enable", "--keep-access")
    assert done.exit_code == 0, done.output
    assert "Kept 2 principals" in done.output
    assert principals() == {"token:eve": 1, "token:admin": 2}


def test_a_second_enable_does_not_ask_about_what_the_first_one_and_the_programs_made() -> None:
    Path("tron.toml").write_text('[security]\nhttp_hosts = ["tron.example"]\n')  # so the lines are only printed
    assert security("enable").exit_code == 0
    assert security("program-token", "monitor", "--out", "monitor.token").exit_code == 0
    again = security("enable")
    assert again.exit_code == 0, again.output
    assert "already has these principals" not in again.output
    assert Role.ADMIN in roles_of(Path("tron-data/admin.token"))
    assert security("grant-admin", "spiffe:tron/alice").exit_code == 0
    assert "spiffe:tron/alice: admin * (0 valid tokens)" in security("enable").output


def test_settings_that_the_programs_would_refuse_change_nothing() -> None:
    Path("tron.toml").write_text('[security]\ncert = "none.pem"\nkey = "none-key.pem"\nca = "none-ca.pem"\n')
    done = security("enable")
    assert done.exit_code == 1
    assert "none-ca.pem" in done.output
    assert not Path("tron-data").exists()


def test_break_glass_makes_a_token_beside_a_registry_and_records_it() -> None:
    assert "no registry has run" in security("admin-token").output
    folder = Path("tron-data")
    folder.mkdir()
    (folder / "registry.db").touch()  # a registry that runs without tron up
    for _ in range(2):  # the second one replaces the file
        done = security("admin-token")
        assert done.exit_code == 0, done.output
    assert Role.ADMIN in roles_of(folder / "admin.token", "tron-data")
    Path("mine").write_text("precious")
    refused = security("admin-token", "--out", "mine")
    assert refused.exit_code == 1
    assert Path("mine").read_text() == "precious"
    store = AccessStore(folder)
    records = store.read_audit(0, 10, AuditFilter())
    store.close()
    assert [(each.actor, each.method, each.target) for each in records] == [
        ("offline", "tron security admin-token", "token:admin")
    ] * 2


def test_the_principal_of_a_certificate_becomes_an_administrator() -> None:
    Path("tron-data/registry").mkdir(parents=True)
    assert security("grant-admin", "spiffe:tron/alice").exit_code == 0
    refused = security("grant-admin", "alice")
    assert refused.exit_code == 1
    assert "KIND:NAME" in refused.output
    store = AccessStore(Path("tron-data/registry"))
    assert Role.ADMIN in store.book.get("spiffe:tron/alice").principal().roles
    store.close()


def test_a_program_that_runs_alone_gets_a_token_and_its_former_one_ends() -> None:
    Path("tron-data/registry").mkdir(parents=True)
    assert security("program-token", "monitor", "--out", "one").exit_code == 0
    assert security("program-token", "monitor", "--out", "two").exit_code == 0
    assert roles_of(Path("one")) == frozenset()
    assert roles_of(Path("two")) == {Role.JUDGE, Role.AGENT}
    assert security("program-token", "registry", "--out", "x").exit_code == 2
    assert "already exists; use --force" in security("program-token", "gateway", "--out", "two").output
    assert programs.principal_of("monitor") == "token:program/monitor"


def test_the_directory_of_another_user_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("tron-data/registry").mkdir(parents=True)
    monkeypatch.setattr(os, "geteuid", lambda: Path().stat().st_uid + 1)
    done = security("admin-token")
    assert done.exit_code == 1
    assert "run this command as" in done.output
    assert not Path("tron-data/registry/access.db").exists()
