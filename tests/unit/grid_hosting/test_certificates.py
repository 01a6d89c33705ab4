"""Which certificates a server may use, and what is said of the others."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from grid_hosting.certificates import CertificateError, Material, check, check_authorities, warning_due
from tests.support.authority import NOW, Authority, Issued

ROOT = Authority()
MIDDLE = Authority("middle", below=ROOT)
SERVER = MIDDLE.issue()
DAY = timedelta(days=1)


def test_a_certificate_with_its_chain_and_key_is_accepted_until_the_first_of_them_ends() -> None:
    short = ROOT.issue(end=NOW + DAY)
    found = check(Material(SERVER.cert + MIDDLE.pem, SERVER.key, ROOT.pem), NOW)
    assert found.not_after - NOW > 89 * DAY
    assert check(Material(short.cert, short.key), NOW).not_after - NOW <= DAY


def encrypted() -> Issued:
    key = load_pem_private_key(SERVER.key, None)
    return Issued(SERVER.cert, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))


@pytest.mark.parametrize(
    ("material", "said"),
    [
        (Material(b"", SERVER.key), "cert: contains no certificate"),
        (Material(SERVER.key, SERVER.key), "cert: contains no certificate"),
        (Material(SERVER.cert[:200], SERVER.key), "cert: contains a certificate that cannot be read"),
        (
            Material(SERVER.cert + ROOT.pem, SERVER.key),
            "cert: certificate 1 of the file is not issued by certificate 2",
        ),
        (Material(MIDDLE.pem + SERVER.cert, SERVER.key), "cert: certificate 1 of the file is not issued by"),
        (Material(SERVER.cert, MIDDLE.issue().key), "key: does not match the certificate"),
        (Material(SERVER.cert, SERVER.cert), "key: is not a private key in PEM format"),
        (Material(SERVER.cert, b""), "key: is not a private key in PEM format"),
        (Material(SERVER.cert, encrypted().key), "key: is encrypted"),
        (Material(SERVER.cert, SERVER.key, b"nothing"), "client_ca: contains no certificate"),
        (Material(SERVER.cert, SERVER.key, SERVER.key), "client_ca: contains no certificate"),
        (Material(SERVER.cert, SERVER.key, ROOT.pem[:90]), "client_ca: contains a certificate that cannot be read"),
    ],
)
def test_what_is_wrong_is_said_with_the_setting(material: Material, said: str) -> None:
    with pytest.raises(CertificateError) as refused:
        check(material, NOW)
    assert str(refused.value).startswith(said)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("begin", "end", "said"),
    [
        (-2 * DAY, -DAY, "expired at"),
        (-2 * DAY, timedelta(0), "expired at"),
        (DAY, 2 * DAY, "is not valid before"),
    ],
)
def test_a_certificate_is_used_only_while_it_is_valid(begin: timedelta, end: timedelta, said: str) -> None:
    issued = ROOT.issue(begin=NOW + begin, end=NOW + end)
    with pytest.raises(CertificateError, match=f"cert: the certificate CN=server {said}"):
        check(Material(issued.cert, issued.key), NOW)


def test_a_bundle_of_200_authorities_is_accepted() -> None:
    bundle = b"".join(ROOT.pem for _ in range(200))
    assert check(Material(SERVER.cert, SERVER.key, bundle), NOW).material.client_ca == bundle
    check_authorities("ca", bundle)
    with pytest.raises(CertificateError, match="ca: contains no certificate"):
        check_authorities("ca", b"")


@pytest.mark.parametrize(
    ("left", "due"),
    [
        (15 * DAY, None),
        (14 * DAY, 14 * DAY),
        (4 * DAY, 14 * DAY),
        (3 * DAY, 3 * DAY),
        (timedelta(seconds=1), 3 * DAY),
        (timedelta(0), timedelta(0)),
        (-DAY, timedelta(0)),
    ],
)
def test_the_end_of_a_certificate_is_announced_14_and_3_days_before(left: timedelta, due: timedelta | None) -> None:
    assert warning_due(NOW + left, NOW) == due
