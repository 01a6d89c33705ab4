"""The credential with which the registry, which is also an agent of itself, authenticates to itself."""

from __future__ import annotations

import os
import secrets
import time

from tron_client.address import parse_address
from tron_client.bearer import TokenSource
from tron_client.endpoint import Endpoint
from tron_client.tls import NO_FILES

from grid_hosting.access import programs
from grid_hosting.access.tokens import RANDOM_BYTES, make_secret
from grid_hosting.own_credential import own_principal
from grid_hosting.security import SecuritySettings
from registry_server.io.access import Access


async def own_endpoint(access: Access, settings: SecuritySettings, address: str) -> str | Endpoint:
    """Return the endpoint at which the registry calls itself. The registry authenticates with the client certificate
    that its environment or its settings name, or else with a token that is created at each start and kept only in
    memory. Raises AccessStoreError."""
    if not settings.authentication:
        return address
    if certified := own_principal(settings, os.environ):
        await access.change(lambda book: programs.admit(book, programs.REGISTRY, certified))
        return address
    secret = make_secret(secrets.token_bytes(RANDOM_BYTES))
    await access.change(lambda book: programs.issue(book, programs.REGISTRY, secret, time.time()))
    token = TokenSource(text=secret, named="the registry's own token")
    return Endpoint.with_files(parse_address(address, "listen"), NO_FILES, token)
