"""Decides whether a server may use a certificate, based on the contents of its files and the current time. Pure: it
reads no file and no clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

WARN_BEFORE = (timedelta(days=3), timedelta(days=14))
"""How long before a certificate expires operators are warned, shortest period first."""

_BEGIN = b"-----BEGIN CERTIFICATE-----"


class CertificateError(Exception):
    """A certificate, a key or a CA bundle cannot be used. The message begins with the name of its setting."""


@dataclass(frozen=True, slots=True)
class Material:
    """The contents of the certificate files of one server, in PEM."""

    cert: bytes
    """The server's certificate, followed by those of its issuers, without the root."""
    key: bytes
    client_ca: bytes = b""
    """A CA bundle. Clients must present a certificate that one of its CAs issued; if it is empty, they need none."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A server certificate that passed all checks, with the contents of its files."""

    material: Material
    not_after: datetime
    """When the first certificate of the chain expires, in UTC."""
    names: tuple[str, ...] = ()
    """The DNS names for which the certificate is valid, in lower case."""


def check(material: Material, now: datetime) -> Certificate:
    """Check the certificate files of a server, and return the certificate. Raises CertificateError. `now` must have a
    time zone."""
    chain = _parse("cert", material.cert)
    for number, (each, issuer) in enumerate(pairwise(chain), start=1):
        _check_issued(each, issuer, number)
    _check_key(material.key, chain[0].public_key())
    for each in chain:
        _check_time(each, now)
    if material.client_ca:
        _parse("client_ca", material.client_ca)
    return Certificate(material, min(each.not_valid_after_utc for each in chain), _dns_names(chain[0]))


def check_authorities(setting: str, bundle: bytes) -> None:
    """Raise CertificateError, with the name of the setting, if a CA bundle has no certificates or invalid ones."""
    _parse(setting, bundle)


def warning_due(not_after: datetime, now: datetime) -> timedelta | None:
    """Return the period of the warning that is due for a certificate: the shortest of the periods in WARN_BEFORE within
    which the certificate expires. Return None if it expires later, and zero if it has already expired."""
    left = not_after - now
    if left <= timedelta(0):
        return timedelta(0)
    return next((period for period in WARN_BEFORE if left <= period), None)


def _parse(setting: str, text: bytes) -> list[x509.Certificate]:
    if _BEGIN not in text:
        raise CertificateError(f"{setting}: contains no certificate in PEM format")
    try:
        found = x509.load_pem_x509_certificates(text)
        for each in found:  # the library reads these parts when they are asked for
            each.public_key()
            _name(each)
        return found
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateError(f"{setting}: contains a certificate that cannot be read: {error}") from error


def _check_issued(certificate: x509.Certificate, issuer: x509.Certificate, number: int) -> None:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as error:
        raise CertificateError(
            f"cert: certificate {number} of the file is not issued by certificate {number + 1}; the file must contain "
            "the server's certificate first, and then those of its issuers in order"
        ) from error


def _check_key(text: bytes, certified: PublicKeyTypes) -> None:
    try:
        key = load_pem_private_key(text, password=None)
    except TypeError as error:
        raise CertificateError("key: is encrypted; remove its passphrase") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateError("key: is not a private key in PEM format") from error
    if _encoded(key.public_key()) != _encoded(certified):
        raise CertificateError("key: does not match the certificate of the setting `cert`")


def _check_time(certificate: x509.Certificate, now: datetime) -> None:
    if now < (begin := certificate.not_valid_before_utc):
        raise CertificateError(
            f"cert: {_name(certificate)} is not valid before {begin.isoformat()}, but it is now {_shown(now)}; "
            "check the clock of this machine"
        )
    if now >= (end := certificate.not_valid_after_utc):
        raise CertificateError(f"cert: {_name(certificate)} expired at {end.isoformat()}; renew it")


def _dns_names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return tuple(each.lower() for each in names.get_values_for_type(x509.DNSName))


def _name(certificate: x509.Certificate) -> str:
    return f"the certificate {certificate.subject.rfc4514_string() or 'without a name'}"


def _shown(moment: datetime) -> str:
    return moment.replace(microsecond=0).isoformat()


def _encoded(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
