"""Signs and reads the certificates of the private CA, with the package `cryptography`. Keys are EC P-256."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tron_cli.ca_contents import Contents

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes


class Authority:
    """A CA: its certificate, and the key with which it signs."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._certificate = certificate
        self._key = key
        self.contents = contents_of(certificate)

    @classmethod
    def create(cls, contents: Contents) -> Authority:
        """Return a new CA, with a new key."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, contents.name)])
        return cls(_sign(contents, key.public_key(), name, key), key)

    @classmethod
    def load(cls, certificate: bytes, key: bytes) -> Authority:
        """Return the CA with this certificate and this key, which are in PEM. Raises ValueError if they are damaged or
        do not belong together."""
        found = load_pem_private_key(key, password=None)
        signed = x509.load_pem_x509_certificate(certificate)
        if not isinstance(found, ec.EllipticCurvePrivateKey) or signed.public_key() != found.public_key():
            raise ValueError("the key does not belong to the certificate of the CA")
        return cls(signed, found)

    @property
    def files(self) -> tuple[bytes, bytes]:
        """The certificate and the key, as PEM."""
        return self._certificate.public_bytes(Encoding.PEM), _pem(self._key)

    def issue(self, contents: Contents) -> tuple[bytes, bytes]:
        """Create a key and a certificate for it. Return the certificate and the key, both as PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        return self._leaf(contents, key.public_key()), _pem(key)

    def renew(self, former: bytes, contents: Contents) -> bytes:
        """Return a new certificate for the key of the certificate `former`, as PEM. Raises ValueError if this CA did
        not sign `former`."""
        certificate = x509.load_pem_x509_certificate(former)
        try:
            certificate.verify_directly_issued_by(self._certificate)
        except Exception as error:  # InvalidSignature is not a ValueError
            raise ValueError("the certificate was not signed by this CA") from error
        return self._leaf(contents, certificate.public_key())

    def _leaf(self, contents: Contents, key: CertificatePublicKeyTypes) -> bytes:
        return _sign(contents, key, self._certificate.subject, self._key).public_bytes(Encoding.PEM)


def read_contents(certificate: bytes) -> Contents:
    """Return the contents of a certificate in PEM. Raises ValueError if it is damaged, or was not created by `tron
    ca`."""
    return contents_of(x509.load_pem_x509_certificate(certificate))


def contents_of(certificate: x509.Certificate) -> Contents:
    """Return the contents of a certificate. Raises ValueError if it does not have exactly one SPIFFE ID, or was not
    created by `tron ca`."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        is_ca = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound as error:
        raise ValueError(f"the certificate was not created by `tron ca` ({error})") from error
    (spiffe_id, *more) = names.get_values_for_type(x509.UniformResourceIdentifier) or [""]
    if more or not spiffe_id.startswith("spiffe://"):
        raise ValueError("the certificate was not created by `tron ca`: it does not have exactly one SPIFFE ID")
    common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return Contents(
        name=str(common[0].value) if common else "",
        spiffe_id=spiffe_id,
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        dns=tuple(names.get_values_for_type(x509.DNSName)),
        ips=tuple(str(each) for each in names.get_values_for_type(x509.IPAddress)),
        server=not is_ca and ExtendedKeyUsageOID.SERVER_AUTH in _purposes(certificate),
        is_ca=is_ca,
    )


def _purposes(certificate: x509.Certificate) -> x509.ExtendedKeyUsage:
    return certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value


def _sign(
    contents: Contents, key: CertificatePublicKeyTypes, issuer: x509.Name, signer: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(contents.spiffe_id)]
    names += [x509.DNSName(each) for each in contents.dns]
    names += [x509.IPAddress(ipaddress.ip_address(each)) for each in contents.ips]
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, contents.name)]))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(contents.not_before)
        .not_valid_after(contents.not_after)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(contents.is_ca, 0 if contents.is_ca else None), critical=True)
        .add_extension(_usage(contents.is_ca), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if not contents.is_ca:
        # The servers of a system call each other, so each certificate may also prove a client.
        server = [ExtendedKeyUsageOID.SERVER_AUTH] if contents.server else []
        purposes = x509.ExtendedKeyUsage([*server, ExtendedKeyUsageOID.CLIENT_AUTH])
        builder = builder.add_extension(purposes, critical=False)
    return builder.sign(signer, hashes.SHA256())


def _usage(is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
