"""How the servers of a run are secured, and what their clients present."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from grid_model.access import Grant, Role

from grid_hosting.access import programs
from grid_hosting.access.book import Registered
from grid_hosting.access.store import AccessStore
from grid_hosting.access.tokens import RANDOM_BYTES, make_secret
from tests.support.certificates import Issued, TestAuthority

PLAINTEXT, TLS, MUTUAL = "plaintext", "TLS", "mutual TLS"
"""The three ways. With TLS, callers have tokens; with mutual TLS, their certificates authenticate them. In both, every
caller has rights."""

CLIENT = "client"
GRANTS = (Grant(Role.AGENT, "*"), Grant(Role.OBSERVER, "*"))


@dataclass
class Way:
    """One way: the variables of the servers, and the files of clients."""

    name: str
    env: dict[str, str] = field(default_factory=dict)
    client: Issued | None = None
    token: Path | None = None

    def flags(self) -> dict[str, str]:
        """What the driver is started with."""
        found = {}
        if self.client is not None:
            found["ca"] = str(self.client.ca)
            if self.token is None:
                found |= {"cert": str(self.client.cert), "key": str(self.client.key)}
        if self.token is not None:
            found["token_file"] = str(self.token)
        return found

    def channel(self, address: str) -> grpc.aio.Channel:
        """A connection of a client."""
        if self.client is None:
            return grpc.aio.insecure_channel(address)
        pair = (None, None) if self.token else (self.client.key.read_bytes(), self.client.cert.read_bytes())
        return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(self.client.ca.read_bytes(), *pair))

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What each call of a client has."""
        return () if self.token is None else (("authorization", f"Bearer {self.token.read_text().strip()}"),)


def secured(name: str, folder: Path) -> Way:
    """Make the certificates, the principals and the tokens of a system below `folder`; see `_servers.Servers`."""
    if name == PLAINTEXT:
        return Way(name)
    authority = TestAuthority(folder / "ca")
    server, client = authority.server(), authority.issue(CLIENT)
    way = Way(name, client=client)
    way.env = {
        "TRON_SECURITY_CERT": str(server.cert),
        "TRON_SECURITY_KEY": str(server.key),
        "TRON_SECURITY_CA": str(authority.ca),
        "TRON_SECURITY_AUTHENTICATION": "true",
        "TRON_CA": str(authority.ca),
    }
    store = AccessStore(folder / "registry" / "data")
    if name == MUTUAL:
        way.env |= {"TRON_SECURITY_CLIENT_CA": str(authority.ca), "TRON_SECURITY_TRUST_DOMAINS": "tests"}
        store.change(lambda book: book.put(Registered(f"spiffe:tests/{CLIENT}", grants=GRANTS)))
        for program in (programs.REGISTRY, programs.MONITOR):
            store.change(lambda book, each=program: programs.admit(book, each, "spiffe:tests/server"))  # type: ignore[misc]
    else:
        monitor, way.token = folder / "monitor.token", folder / "client.token"
        secrets = [make_secret(os.urandom(RANDOM_BYTES)) for _ in range(2)]
        for path, secret in zip((monitor, way.token), secrets, strict=True):
            path.touch(mode=0o600)
            path.write_text(secret + "\n")
        now = time.time()
        store.change(lambda book: programs.issue(book, programs.MONITOR, secrets[0], now))
        store.change(lambda book: book.create_token(secrets[1], f"token:{CLIENT}", now=now, grants=GRANTS))
        way.env["TRON_MONITOR_TOKEN_FILE"] = str(monitor)
    store.close()
    return way
