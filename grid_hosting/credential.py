"""Reads the credential of a call: a bearer token, or the identity of a client certificate that TLS has verified. Pure.

A URI is read only from the property `peer_spiffe_id` that gRPC reports. Another property mixes URIs with DNS names,
mail addresses and the common name, so a DNS name in it could look like the URI of an administrator.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.x509.oid import NameOID
from grid_model.access import CALLER_TOKEN, ON_BEHALF_OF
from grid_model.errors import Unauthenticated

MOST_BYTES = 8192
"""Maximum size of a token in bytes."""

_HEADER = "authorization"
_SCHEME = "bearer "


@dataclass(frozen=True, slots=True)
class Credential:
    """The credential of a call. If it identifies a caller, exactly one of `token`, `spiffe_id`, `common_name` and
    `principal` is set. A certificate may admit its holder to the port without identifying a principal; then none of
    them is set."""

    token: str = field(default="", repr=False)
    spiffe_id: str = ""
    common_name: str = ""
    principal: str = ""
    """The name of a principal for which a relay calls. A caller cannot send it as a credential."""
    not_after: datetime | None = None
    """When the certificate expires, in UTC; None for a token."""
    serial: str = ""
    """The serial number of the client certificate of the connection, in hexadecimal; empty if there is none. The
    certificate may be refused even if the caller authenticates with a token."""

    @property
    def identifies(self) -> bool:
        """Whether the credential identifies a caller."""
        return bool(self.token or self.spiffe_id or self.common_name or self.principal)


@dataclass(frozen=True, slots=True)
class CertificateRules:
    """Rules for which client certificates are accepted as credentials."""

    trust_domains: frozenset[str] = frozenset()
    """A SPIFFE URI is accepted if it is in one of these SPIFFE trust domains."""
    accept_common_name: bool = False
    """Whether the common name of a certificate without any URI is accepted."""


def read_credential(
    metadata: Iterable[tuple[str, str | bytes]], tls: Mapping[str, Sequence[bytes]], rules: CertificateRules
) -> Credential | None:
    """Return the credential of a call; None if the call has neither a token nor a client certificate. `tls` is the
    authentication context of gRPC.

    Raises Unauthenticated if the call has two credentials or two `authorization` values, or a value that is not a
    bearer token.
    """
    headers = [value for name, value in metadata if name.lower() == _HEADER]
    certificate = _of_certificate(tls, rules)
    bearer = bearer_credential(headers)
    if bearer is not None and certificate is not None:
        raise Unauthenticated
    if certificate is not None:
        return certificate
    _, serial = _end_and_serial(tls)
    if not serial:
        return bearer
    return replace(bearer or Credential(), serial=serial)


def bearer_credential(headers: Sequence[str | bytes]) -> Credential | None:
    """Return the credential in the `authorization` headers of a call; None if there are no such headers. Raises
    Unauthenticated if there are two, or if the value is not a bearer token."""
    if not headers:
        return None
    if len(headers) > 1:
        raise Unauthenticated
    return Credential(token=bearer_token(headers[0]))


def read_forwarded(metadata: Sequence[tuple[str, str | bytes]]) -> Credential | None:
    """Return the credential of a caller that a relay forwards in the metadata; None if it forwards none. Raises
    Unauthenticated if there are two, if the value does not have the form of a token, or if the metadata also has the
    name of a principal."""
    names = [name for name, _ in metadata if name in (CALLER_TOKEN, ON_BEHALF_OF)]
    if CALLER_TOKEN not in names:
        return None
    if len(names) > 1:
        raise Unauthenticated
    (value,) = (value for name, value in metadata if name == CALLER_TOKEN)
    text = value if isinstance(value, str) else value.decode("ascii", "replace")
    return Credential(token=bearer_token(f"Bearer {text}"))


def bearer_token(header: str | bytes) -> str:
    """Return the token in the value of an `authorization` header. Raises Unauthenticated if the value is not a bearer
    token."""
    text = header.decode("ascii", "replace") if isinstance(header, bytes) else header
    token = text[len(_SCHEME) :]
    printable = token.isascii() and token.isprintable() and " " not in token
    if len(token) > MOST_BYTES or text[: len(_SCHEME)].lower() != _SCHEME or not token or not printable:
        raise Unauthenticated
    return token


def principal_of_spiffe(spiffe_id: str) -> str:
    """Return the name of the principal with a SPIFFE id: `spiffe:tron/worker-1` for `spiffe://tron/worker-1`."""
    return "spiffe:" + spiffe_id.removeprefix("spiffe://")


def principal_of_certificate(pem: bytes, rules: CertificateRules) -> str:
    """Return the name of the principal that the first certificate of a PEM file authenticates as a client; empty if it
    authenticates none. Raises ValueError if the file has no certificate."""
    certificate = x509.load_pem_x509_certificates(pem)[0]
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except x509.ExtensionNotFound:
        uris = []
    commons = [str(each.value) for each in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    tls = {
        "peer_spiffe_id": [each.encode() for each in uris if len(uris) == 1],
        "peer_uri": [each.encode() for each in uris],
        "x509_common_name": [each.encode() for each in commons],
    }
    found = _of_certificate(tls, rules)
    if found is None:
        return ""
    return principal_of_spiffe(found.spiffe_id) if found.spiffe_id else f"cn:{found.common_name}"


@lru_cache(maxsize=1024)
def serial_of(der: bytes | None) -> str:
    """Return the serial number of a verified client certificate, in hexadecimal; empty if there is no certificate.
    `der` is the certificate in DER format."""
    return f"{x509.load_der_x509_certificate(der).serial_number:x}" if der else ""


def _of_certificate(tls: Mapping[str, Sequence[bytes]], rules: CertificateRules) -> Credential | None:
    uris = tls.get("peer_spiffe_id", ())
    if len(uris) == 1:
        uri = _text(uris[0])
        domain, slash, path = uri.removeprefix("spiffe://").partition("/")
        known = uri.startswith("spiffe://") and bool(slash and path) and domain in rules.trust_domains
        end, serial = _end_and_serial(tls)
        return Credential(spiffe_id=uri, not_after=end, serial=serial) if known else None
    names = tls.get("x509_common_name", ())
    if not rules.accept_common_name or uris or tls.get("peer_uri") or len(names) != 1 or not _text(names[0]):
        return None
    end, serial = _end_and_serial(tls)
    return Credential(common_name=_text(names[0]), not_after=end, serial=serial)


def _text(value: bytes) -> str:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return ""
    return text if text.isprintable() else ""


def _end_and_serial(tls: Mapping[str, Sequence[bytes]]) -> tuple[datetime | None, str]:
    pem = tls.get("x509_pem_cert", ())
    return _parsed(bytes(pem[0])) if pem else (None, "")


@lru_cache(maxsize=1024)  # it is asked for at each call; a fleet presents few certificates at a time
def _parsed(pem: bytes) -> tuple[datetime, str]:
    certificate = x509.load_pem_x509_certificate(pem)
    return certificate.not_valid_after_utc, f"{certificate.serial_number:x}"
