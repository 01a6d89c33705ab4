"""Certificates for tests: a private CA, and what it signs, also certificates that no careful CA would sign."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import grpc
from tron_cli.ca_contents import Contents, ca_contents
from tron_cli.ca_signing import Authority

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Issued:
    """The files of one certificate."""

    ca: Path
    cert: Path
    key: Path

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of an Endpoint."""
        return {"ca": self.ca, "cert": self.cert, "key": self.key}

    @property
    def texts(self) -> dict[str, Any]:
        """The same arguments, as text."""
        return {name: str(path) for name, path in self.arguments.items()}

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a client."""
        return {"TRON_CA": str(self.ca), "TRON_CERT": str(self.cert), "TRON_KEY": str(self.key)}


class TestAuthority:
    """A CA in a directory of its own."""

    __test__ = False

    def __init__(self, folder: Path, trust_domain: str = "tests") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.authority = Authority.create(ca_contents(trust_domain, datetime.now(UTC)))
        self.ca = folder / "ca.pem"
        self.ca.write_bytes(self.authority.files[0])

    def issue(
        self,
        name: str,
        *,
        server: bool = False,
        dns: tuple[str, ...] = (),
        ips: tuple[str, ...] = (),
        starts: timedelta = timedelta(hours=-1),
        ends: timedelta = timedelta(hours=1),
    ) -> Issued:
        """Sign a certificate; an earlier one with this name is replaced."""
        now = datetime.now(UTC)
        contents = Contents(
            name=name,
            spiffe_id=f"{self.authority.contents.spiffe_id}/{name}",
            not_before=now + starts,
            not_after=now + ends,
            dns=dns,
            ips=ips,
            server=server,
        )
        issued = Issued(self.ca, self.folder / f"{name}.pem", self.folder / f"{name}-key.pem")
        cert, key = self.authority.issue(contents)
        issued.cert.write_bytes(cert)
        issued.key.write_bytes(key)
        issued.key.chmod(0o600)
        return issued

    def server(self, name: str = "server", *, ips: tuple[str, ...] = ("127.0.0.1",), **options: timedelta) -> Issued:
        """Sign a certificate of a server on loopback."""
        return self.issue(name, server=True, dns=("localhost",), ips=ips, **options)


def server_credentials(issued: Issued, client_ca: Path | None = None) -> grpc.ServerCredentials:
    """Return what a server with this certificate uses; with `client_ca` it requires certificates of its clients."""
    pair = (issued.key.read_bytes(), issued.cert.read_bytes())
    roots = None if client_ca is None else client_ca.read_bytes()
    return grpc.ssl_server_credentials([pair], roots, require_client_auth=client_ca is not None)
