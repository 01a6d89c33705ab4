"""An authority for tests, which knows a few credentials."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from grid_model.access import ANONYMOUS, Grant, Principal, Role
from grid_model.errors import TronError, Unauthenticated

from grid_hosting.credential import Credential
from grid_hosting.watermark import Watermark

WORKER = Principal("token:worker", (Grant(Role.AGENT, "*"),))
READER = Principal("token:reader", (Grant(Role.OBSERVER, "*"),))


@dataclass
class Known:
    """An authority that knows these credentials."""

    tokens: dict[str, Principal] = field(default_factory=lambda: {"worker": WORKER, "reader": READER})
    certificates: dict[str, Principal] = field(default_factory=dict)
    revisions: Watermark = field(default_factory=Watermark)
    named: dict[str, Principal] = field(default_factory=dict)
    fails: TronError | None = None
    failed: int = 0
    denied: set[str] = field(default_factory=set)
    """Serial numbers of certificates."""
    asking: Watermark = field(default_factory=Watermark)
    answering: asyncio.Event | None = None
    """With it, answers wait until it is set; `asking` rises with each question."""

    async def identify(self, credential: Credential, peer: str) -> Principal:
        """Return the principal of a known one."""
        if self.answering is not None:
            self.asking.step()
            await self.answering.wait()
        if self.fails is not None:
            self.failed += 1
            self.asking.step()
            raise self.fails
        if credential.serial in self.denied:
            raise Unauthenticated
        if not credential.identifies:
            return ANONYMOUS
        if credential.principal:
            found = self.named.get(credential.principal)
        else:
            name = credential.token or credential.spiffe_id
            found = (self.tokens if credential.token else self.certificates).get(name)
        if found is None:
            raise Unauthenticated
        return found

    def deny(self, serial: str) -> None:
        """Refuse a certificate."""
        self.denied.add(serial)
        self.revisions.step()

    def change(self, token: str, principal: Principal | None) -> None:
        """Replace or revoke a token."""
        self.tokens.pop(token, None)
        if principal is not None:
            self.tokens[token] = principal
        self.revisions.step()
