"""One credential is read from a call, from the one place that may carry it."""

from __future__ import annotations

import pytest
from grid_model.errors import Unauthenticated

from grid_hosting.credential import CertificateRules, Credential, bearer_token, principal_of_spiffe, read_credential

RULES = CertificateRules(frozenset({"tron"}), accept_common_name=True)
URI = {"peer_spiffe_id": [b"spiffe://tron/worker-1"], "peer_uri": [b"spiffe://tron/worker-1"]}
NAME = {"x509_common_name": [b"worker-1"]}
BEARER = ("authorization", "Bearer tron_abc")


def test_a_call_without_a_credential_has_none() -> None:
    assert read_credential((), {}, RULES) is None


def test_the_bearer_token_is_read_whatever_the_case_of_its_scheme() -> None:
    for scheme in ("Bearer", "bearer", "BEARER"):
        assert read_credential((("authorization", f"{scheme} tron_abc"),), {}, RULES) == Credential(token="tron_abc")


def test_the_token_is_in_no_text_of_its_credential() -> None:
    assert "tron_abc" not in repr(Credential(token="tron_abc"))


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "tron_abc", "Bearer two words", "Bearer t\u00f6ken", "Bearer a\n",
     "Bearer " + "x" * 9000],
)  # fmt: skip
def test_another_header_is_refused(header: str) -> None:
    with pytest.raises(Unauthenticated):
        bearer_token(header)


def test_two_authorization_values_are_refused() -> None:
    with pytest.raises(Unauthenticated):
        read_credential((BEARER, BEARER), {}, RULES)
    with pytest.raises(Unauthenticated):
        read_credential((BEARER, ("Authorization", "Bearer tron_other")), {}, RULES)


def test_a_token_beside_a_certificate_is_refused() -> None:
    with pytest.raises(Unauthenticated):
        read_credential((BEARER,), URI, RULES)


def test_a_spiffe_uri_of_a_configured_trust_domain_is_a_credential() -> None:
    assert read_credential((), URI, RULES) == Credential(spiffe_id="spiffe://tron/worker-1")
    assert principal_of_spiffe("spiffe://tron/worker-1") == "spiffe:tron/worker-1"


@pytest.mark.parametrize(
    "tls",
    [
        {"peer_spiffe_id": [b"spiffe://other/worker-1"]},
        {"peer_spiffe_id": [b"spiffe://tron"]},
        {"peer_spiffe_id": [b"spiffe://tron/"]},
        {"peer_spiffe_id": [b"spiffe://tron.evil/worker-1"]},
        {"peer_spiffe_id": [b"spiffe://tron/a", b"spiffe://tron/admin"]},
        {"peer_uri": [b"spiffe://tron/admin"], **NAME},
        {"x509_subject_alternative_name": [b"spiffe://tron/admin"]},
        {"peer_dns": [b"spiffe://tron/admin"]},
        {"x509_common_name": [b"a", b"b"]},
        {"x509_common_name": [b"\xff"]},
        {"x509_common_name": [b""]},
        {"x509_common_name": [b"admin\n"]},
    ],
)
def test_other_names_of_a_certificate_are_no_credential(tls: dict[str, list[bytes]]) -> None:
    assert read_credential((), tls, RULES) is None


def test_a_common_name_counts_only_if_the_settings_accept_it() -> None:
    assert read_credential((), NAME, RULES) == Credential(common_name="worker-1")
    assert read_credential((), NAME, CertificateRules(frozenset({"tron"}))) is None


def test_a_certificate_of_another_system_does_not_keep_a_token_from_counting() -> None:
    other = {"peer_spiffe_id": [b"spiffe://other/worker-1"]}
    assert read_credential((BEARER,), other, RULES) == Credential(token="tron_abc")
