"""A small certificate authority for tests: certificates of any validity, with keys that only their owner may read."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from grid_hosting.whole_file import write_whole

NOW = datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its key, in PEM."""

    cert: bytes
    key: bytes

    def write(self, folder: Path, name: str = "server") -> tuple[Path, Path]:
        """Replace `NAME.crt` and `NAME.key` as a renewal does, each as a whole; return their paths."""
        cert, key = folder / f"{name}.crt", folder / f"{name}.key"
        write_whole(cert, self.cert, mode=0o644)
        write_whole(key, self.key, mode=0o600)
        return cert, key


class Authority:
    """A CA; `below` is the CA that issued its certificate, if it is not a root."""

    def __init__(self, name: str = "test CA", below: Authority | None = None) -> None:
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        issuer, signer = (self.name, self._key) if below is None else (below.name, below._key)  # noqa: SLF001
        self.certificate = (
            _builder(self.name, issuer, self._key.public_key(), NOW - timedelta(days=1), NOW + timedelta(days=3650))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(signer, hashes.SHA256())
        )

    @property
    def pem(self) -> bytes:
        """The certificate of the CA."""
        return self.certificate.public_bytes(Encoding.PEM)

    def write(self, folder: Path, name: str = "ca") -> Path:
        """Write the bundle `NAME.crt`; return its path."""
        path = folder / f"{name}.crt"
        path.write_bytes(self.pem)
        return path

    def issue(
        self,
        name: str = "server",
        begin: datetime = NOW - timedelta(hours=1),
        end: datetime = NOW + timedelta(days=90),
        uris: tuple[str, ...] = (),
        dns: tuple[str, ...] = (),
    ) -> Issued:
        """Return a new certificate for loopback, `localhost`, these names and the URIs, with a new key."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.DNSName(each) for each in ("localhost", *dns)]
        names += [x509.IPAddress(ipaddress.ip_address(each)) for each in ("127.0.0.1", "::1")]
        names += [x509.UniformResourceIdentifier(each) for each in uris]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = (
            _builder(subject, self.name, key.public_key(), begin, end)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return Issued(
            certificate.public_bytes(Encoding.PEM),
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, begin: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
    )
