"""What a certificate of the private CA says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tron_cli.ca_contents import CA_DAYS, EARLIER, LEAF_DAYS, Contents, ca_contents, leaf_contents, renewed_contents

NOW = datetime(2026, 3, 1, tzinfo=UTC)
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
CA = ca_contents("grid.example", NOW)


def test_a_ca_is_valid_for_ten_years_and_names_its_trust_domain() -> None:
    assert CA.is_ca
    assert CA.spiffe_id == "spiffe://grid.example"
    assert CA.not_after == NOW + timedelta(days=CA_DAYS)
    assert CA.not_before < NOW


def test_a_client_has_a_spiffe_id_and_no_host() -> None:
    contents = leaf_contents("worker-1", CA, NOW)
    assert contents == Contents(
        name="worker-1",
        spiffe_id="spiffe://grid.example/worker-1",
        not_before=NOW - EARLIER,
        not_after=NOW + timedelta(days=LEAF_DAYS),
    )


def test_a_server_without_hosts_is_on_this_machine() -> None:
    here = leaf_contents("registry", CA, NOW, server=True)
    assert (here.dns, here.ips) == (("localhost",), ("127.0.0.1", "::1"))
    named = leaf_contents("registry", CA, NOW, server=True, dns=["R.example.", "r.example"], ips=["::0001"])
    assert (named.dns, named.ips) == (("r.example",), ("::1",))


def test_a_certificate_does_not_outlive_its_ca() -> None:
    late = CA.not_after - timedelta(days=1)
    assert leaf_contents("a", CA, late).not_after == CA.not_after
    with pytest.raises(ValueError, match="the CA expired on 2036"):
        leaf_contents("a", CA, CA.not_after)


def test_a_certificate_that_was_valid_for_all_time_is_renewed_for_the_time_of_its_ca() -> None:
    former = replace(leaf_contents("a", CA, NOW), not_before=FIRST, not_after=LAST)
    assert renewed_contents(former, replace(CA, not_after=LAST), NOW).not_after == LAST


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "a b", "ca", "worker-key", "x" * 65, "ü", "a\n"])
def test_a_name_that_is_no_file_name_or_spiffe_path_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"is not a valid name|is reserved"):
        leaf_contents(name, CA, NOW)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dns": ["a.example"]}, "host names are for servers only"),
        ({"server": True, "dns": ["a b"]}, "'a b' is not a DNS name"),
        ({"server": True, "dns": ["-a.example"]}, "is not a DNS name"),
        ({"server": True, "ips": ["10.0.0.256"]}, "'10.0.0.256' is not an IP address"),
        ({"days": 0}, "cannot be valid for 0 days"),
        ({"days": 826}, "cannot be valid for 826 days"),
    ],
)
def test_options_that_make_no_certificate_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        leaf_contents("a", CA, NOW, **options)


@pytest.mark.parametrize("domain", ["", "Grid", "a/b", "x" * 256, "a b"])
def test_a_trust_domain_that_spiffe_does_not_allow_is_refused(domain: str) -> None:
    with pytest.raises(ValueError, match="is not a trust domain"):
        ca_contents(domain, NOW)


def test_a_renewal_keeps_names_purposes_and_the_length_of_validity() -> None:
    former = leaf_contents("registry", CA, NOW, server=True, dns=["r.example"], days=30)
    later = NOW + timedelta(days=20)
    renewed = renewed_contents(former, CA, later)
    assert (renewed.name, renewed.spiffe_id, renewed.dns, renewed.ips, renewed.server) == (
        former.name,
        former.spiffe_id,
        former.dns,
        former.ips,
        True,
    )
    assert renewed.not_after == later + timedelta(days=30)
    assert renewed_contents(former, CA, later, 7).not_after == later + timedelta(days=7)


def test_a_certificate_of_another_trust_domain_is_not_renewed() -> None:
    foreign = leaf_contents("a", ca_contents("other", NOW), NOW)
    with pytest.raises(ValueError, match=r"is for spiffe://other/a, but this CA is for spiffe://grid\.example"):
        renewed_contents(foreign, CA, NOW)
