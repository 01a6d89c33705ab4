"""`tron ca`: the files that it makes, their modes, and what it refuses."""

from __future__ import annotations

import json
import os
import ssl
import stat
import sys
import tomllib
from pathlib import Path

import pytest
import tron_cli
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID
from tron_cli.app import app
from typer.testing import CliRunner, Result


def ca(folder: Path, *words: str) -> Result:
    """Run `tron ca` with the directory of a CA."""
    option = [str(folder)] if words[0] == "init" else ["--dir", str(folder)]
    return CliRunner().invoke(app, ["ca", *words, *option])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The directory of a CA."""
    made = ca(tmp_path / "ca", "init", "--trust-domain", "tests")
    assert made.exit_code == 0, made.output
    return tmp_path / "ca"


def mode(path: Path) -> int:
    """Return the permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def certificate(path: Path) -> x509.Certificate:
    """Read a certificate."""
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_keys_are_for_their_owner_only(folder: Path) -> None:
    assert ca(folder, "issue", "worker").exit_code == 0
    assert mode(folder) == 0o700
    assert (mode(folder / "ca-key.pem"), mode(folder / "worker-key.pem")) == (0o600, 0o600)
    assert (mode(folder / "ca.pem"), mode(folder / "worker.pem")) == (0o644, 0o644)
    assert sorted(each.name for each in folder.iterdir()) == ["ca-key.pem", "ca.pem", "worker-key.pem", "worker.pem"]


def test_certificates_say_what_they_are_for(folder: Path) -> None:
    assert ca(folder, "issue", "registry", "--server", "--dns", "r.example", "--ip", "10.0.0.1").exit_code == 0
    assert ca(folder, "issue", "worker", "--days", "7").exit_code == 0
    authority, server, client = (certificate(folder / f"{name}.pem") for name in ("ca", "registry", "worker"))
    for each in (server, client):
        each.verify_directly_issued_by(authority)
        assert isinstance(each.public_key(), ec.EllipticCurvePublicKey)
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://tests/registry"]
    assert names.get_values_for_type(x509.DNSName) == ["r.example"]
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.1"]
    purposes = [set(each.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) for each in (server, client)]
    assert purposes == [
        {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH},
        {ExtendedKeyUsageOID.CLIENT_AUTH},
    ]
    assert (client.not_valid_after_utc - client.not_valid_before_utc).days == 7
    limits = authority.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (limits.ca, limits.path_length) == (True, 0)


def test_it_prints_the_settings_that_use_the_files(folder: Path) -> None:
    server, client = ca(folder, "issue", "registry", "--server").output, ca(folder, "issue", "worker").output
    settings = tomllib.loads(server[server.index("[security]") : server.index("For clients")])["security"]
    assert settings == {
        "cert": str(folder / "registry.pem"),
        "key": str(folder / "registry-key.pem"),
        "client_ca": str(folder / "ca.pem"),
    }
    assert f"TRON_CERT={folder / 'worker.pem'}" in client
    assert "[security]" not in client


def test_a_random_trust_domain_differs_from_one_ca_to_the_next(tmp_path: Path) -> None:
    ids = [json.loads(ca(tmp_path / name, "init", "--json").output)["spiffe_id"] for name in ("a", "b")]
    assert ids[0] != ids[1]


def test_nothing_is_overwritten_without_force(folder: Path) -> None:
    assert ca(folder, "issue", "worker").exit_code == 0
    before = {each: each.read_bytes() for each in folder.iterdir()}
    for words in (["init"], ["issue", "worker"]):
        refused = ca(folder, *words)
        assert refused.exit_code == 1
        assert "already exists; use --force to replace it" in refused.output
    assert {each: each.read_bytes() for each in folder.iterdir()} == before
    assert ca(folder, "issue", "worker", "--force").exit_code == 0
    assert (folder / "worker-key.pem").read_bytes() != before[folder / "worker-key.pem"]


def test_a_renewal_replaces_the_certificate_and_keeps_the_key(folder: Path) -> None:
    assert ca(folder, "issue", "registry", "--server", "--dns", "r.example", "--days", "1").exit_code == 0
    former, key = certificate(folder / "registry.pem"), (folder / "registry-key.pem").read_bytes()
    assert ca(folder, "renew", "registry", "--days", "30").exit_code == 0
    renewed = certificate(folder / "registry.pem")
    assert renewed.serial_number != former.serial_number
    assert renewed.not_valid_after_utc > former.not_valid_after_utc
    kept = x509.SubjectAlternativeName
    assert renewed.extensions.get_extension_for_class(kept) == former.extensions.get_extension_for_class(kept)
    assert (folder / "registry-key.pem").read_bytes() == key
    assert load_pem_private_key(key, None).public_key() == renewed.public_key()
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(folder / "registry.pem", folder / "registry-key.pem")


def test_a_renewal_that_cannot_be_written_leaves_the_former_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ca(folder, "issue", "worker").exit_code == 0
    before = {each: each.read_bytes() for each in folder.iterdir()}

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    refused = ca(folder, "renew", "worker")
    assert refused.exit_code == 1
    assert "No space left on device" in refused.output
    assert {each: each.read_bytes() for each in folder.iterdir()} == before


def test_a_certificate_of_another_ca_is_not_renewed(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    assert ca(other, "init", "--trust-domain", "tests").exit_code == 0
    assert ca(other, "issue", "worker").exit_code == 0
    (folder / "worker.pem").write_bytes((other / "worker.pem").read_bytes())
    refused = ca(folder, "renew", "worker")
    assert refused.exit_code == 1
    assert "was not signed by this CA" in refused.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["issue", "../x"], "is not a valid name"),
        (["issue", "ca"], "is reserved"),
        (["issue", "a", "--dns", "x"], "host names are for servers only"),
        (["renew", "nobody"], "No such file or directory"),
        (["renew", "../x"], "is not a valid name"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(folder: Path, words: list[str], said: str) -> None:
    refused = ca(folder, *words)
    assert refused.exit_code == 1
    assert said in refused.output
    assert len(refused.output.splitlines()) == 1


def test_a_ca_key_that_others_can_read_signs_nothing(folder: Path) -> None:
    (folder / "ca-key.pem").chmod(0o640)
    refused = ca(folder, "issue", "worker")
    assert refused.exit_code == 1
    assert "(mode 0640); run: chmod 600" in refused.output


def test_a_directory_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    tmp_path.chmod(0o755)
    refused = ca(tmp_path, "init")
    assert refused.exit_code == 1
    assert "contains other files" in refused.output
    assert mode(tmp_path) == 0o755


def test_a_directory_without_a_ca_is_named(tmp_path: Path) -> None:
    refused = ca(tmp_path / "none", "issue", "worker")
    assert refused.exit_code == 1
    assert f"there is no CA in {tmp_path / 'none'}; create one with: tron ca init" in refused.output


def test_without_the_package_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "tron_cli.ca_signing", raising=False)
    monkeypatch.delattr(tron_cli, "ca_signing", raising=False)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    refused = ca(tmp_path / "ca", "init")
    assert refused.exit_code == 1
    assert "needs the package cryptography; install it with: pip install 'tron-grid[server]'" in refused.output
