"""Decides the contents of the certificates of the private CA: names, purposes and validity, from arguments and the
time. Pure.

The names follow SPIFFE: a certificate contains the URI `spiffe://TRUST_DOMAIN/NAME`, and the certificate of the CA
itself `spiffe://TRUST_DOMAIN`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

CA_DAYS = 3650
LEAF_DAYS = 90
MOST_DAYS = 825
"""The longest validity of a certificate; some TLS libraries refuse a longer one."""

EARLIER = timedelta(minutes=10)
"""How long before its creation a certificate becomes valid, because the clocks of other machines may be behind."""

LOCAL_DNS = ("localhost",)
LOCAL_IPS = ("127.0.0.1", "::1")

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")
_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}")
_DNS_LABEL = r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)"
_DNS = re.compile(rf"(?:\*\.)?{_DNS_LABEL}(?:\.{_DNS_LABEL})*\.?")
_CA_NAME = "ca"
_KEY_SUFFIX = "-key"


@dataclass(frozen=True, slots=True)
class Contents:
    """The contents of a certificate, except its key. `server`: whether the certificate may authenticate a server. Every
    certificate except that of a CA may authenticate a client."""

    name: str
    spiffe_id: str
    not_before: datetime
    not_after: datetime
    dns: tuple[str, ...] = ()
    ips: tuple[str, ...] = ()
    server: bool = False
    is_ca: bool = False


def checked_trust_domain(text: str) -> str:
    """Return the text, which must be a trust domain that SPIFFE allows; otherwise raise ValueError."""
    if not _TRUST_DOMAIN.fullmatch(text):
        raise ValueError(f"{text!r} is not a trust domain; use 1 to 255 of: a-z, 0-9, dots, dashes and underscores")
    return text


def checked_name(text: str) -> str:
    """Return the text, which must be a valid name of a certificate. Raises ValueError if the text cannot be a part of a
    SPIFFE ID and of a file name, or if a certificate with this name would have a file with the same name as a file of
    the CA or the key of another certificate."""
    if not _NAME.fullmatch(text):
        raise ValueError(f"{text!r} is not a valid name; use 1 to 64 letters, digits, dots, dashes and underscores")
    if text == _CA_NAME or text.endswith(_KEY_SUFFIX):
        raise ValueError(f"the name {text!r} is reserved, as is every name that ends in {_KEY_SUFFIX!r}")
    return text


def is_dns_name(text: str) -> bool:
    """Return whether a text may be a DNS name in a certificate."""
    return bool(_DNS.fullmatch(text)) and len(text) <= 253


def ca_contents(trust_domain: str, now: datetime) -> Contents:
    """Return the contents of the CA's own certificate. Raises ValueError for an invalid trust domain."""
    return Contents(
        name=f"TRON CA {trust_domain}"[:64],
        spiffe_id=f"spiffe://{checked_trust_domain(trust_domain)}",
        not_before=now - EARLIER,
        not_after=now + timedelta(days=CA_DAYS),
        is_ca=True,
    )


def leaf_contents(
    name: str,
    ca: Contents,
    now: datetime,
    *,
    dns: Sequence[str] = (),
    ips: Sequence[str] = (),
    server: bool = False,
    days: int = LEAF_DAYS,
) -> Contents:
    """Return the contents of a certificate that the CA signs. Without `dns` and `ips`, a server certificate is for
    localhost. The certificate never outlives the CA.

    Raises ValueError for an invalid name, address or number of days, for host names in the certificate of a client, and
    for a CA that has expired.
    """
    checked_name(name)
    if (dns or ips) and not server:
        raise ValueError("host names are for servers only: add --server, or leave out --dns and --ip")
    for each in dns:
        if not is_dns_name(each):
            raise ValueError(f"{each!r} is not a DNS name")
    found_ips = tuple(_checked_ip(each) for each in ips)
    if server and not dns and not ips:
        dns, found_ips = LOCAL_DNS, LOCAL_IPS
    return Contents(
        name=name,
        spiffe_id=f"{ca.spiffe_id}/{name}",
        not_before=now - EARLIER,
        not_after=_end(ca, now, timedelta(days=_checked_days(days))),
        dns=tuple(dict.fromkeys(each.rstrip(".").lower() for each in dns)),
        ips=tuple(dict.fromkeys(found_ips)),
        server=server,
    )


def renewed_contents(former: Contents, ca: Contents, now: datetime, days: int | None = None) -> Contents:
    """Return the contents of a certificate that replaces `former`, with the same names and purposes. It is valid for as
    long as `former` was, unless `days` is given. Raises ValueError if `former` belongs to another CA, if `days` is out
    of range, or if the CA has expired."""
    if former.spiffe_id != f"{ca.spiffe_id}/{former.name}":
        raise ValueError(f"the certificate is for {former.spiffe_id}, but this CA is for {ca.spiffe_id}")
    valid_for = former.not_after - former.not_before - EARLIER if days is None else timedelta(days=_checked_days(days))
    return Contents(
        name=former.name,
        spiffe_id=former.spiffe_id,
        not_before=now - EARLIER,
        not_after=_end(ca, now, valid_for),
        dns=former.dns,
        ips=former.ips,
        server=former.server,
    )


def _end(ca: Contents, now: datetime, valid_for: timedelta) -> datetime:
    if ca.not_after <= now:
        raise ValueError(f"the CA expired on {ca.not_after:%Y-%m-%d}; create a new one")
    return now + min(valid_for, ca.not_after - now)


def _checked_days(days: int) -> int:
    if not 1 <= days <= MOST_DAYS:
        raise ValueError(f"a certificate cannot be valid for {days} days; use 1 to {MOST_DAYS} days")
    return days


def _checked_ip(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise ValueError(f"{text!r} is not an IP address") from error
