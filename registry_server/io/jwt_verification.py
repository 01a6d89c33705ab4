"""Verifies JSON Web Tokens for the registry, on a thread of its own. So a flood of wrong tokens does not delay the
event loop, and does not delay the tokens of other addresses.

The calls of one address take turns, so the thread has at most one token of each address to verify.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from grid_model.errors import Draining, QuotaExceeded

from grid_hosting.access.jwt_form import InvalidJwtError
from grid_hosting.access.jwt_issuers import Proven
from grid_hosting.access.jwt_key_sources import key_source
from grid_hosting.access.jwt_keys import KeySet
from grid_hosting.access.verified_jwts import KeysMissingError, ToVerify, VerifiedJwts
from grid_hosting.jwt_settings import JwtIssuer

MOST_OF_ADDRESS = 500
MOST_WAITING = 5_000
"""MOST_OF_ADDRESS is the maximum number of tokens from one address that wait to be verified, MOST_WAITING that from all
addresses. Overflow rule: a further call is refused with QUOTA_EXCEEDED, and its client tries again."""


@dataclass(slots=True)
class _Turns:
    """The calls of one address: one is served, the others wait."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0


class JwtVerification:
    """Verifies the JSON Web Tokens of the issuers that one registry accepts. Raises StartError if the keys of an issuer
    cannot be used."""

    def __init__(self, issuers: Iterable[JwtIssuer], now: Callable[[], float] = time.time) -> None:
        """`now` returns the seconds since the epoch."""
        settings = tuple(issuers)
        self.verified = VerifiedJwts(each.description() for each in settings)
        self._now = now
        self._dropped: Callable[[], None] = lambda: None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="jwt")
        self._turns: dict[str, _Turns] = {}
        self._waiting = 0
        self._sources = [key_source(each, self._replace) for each in settings]
        for source in self._sources:
            source.load()

    def on_dropped(self, call: Callable[[], None]) -> None:
        """Set the function to call when verified tokens are no longer valid because their key was withdrawn."""
        self._dropped = call

    async def run(self) -> None:
        """Keep the keys of the issuers up to date until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for source in self._sources:
                    tasks.create_task(source.run())
        finally:
            self._thread.shutdown(wait=False, cancel_futures=True)

    async def verify(self, text: str, address: str) -> Proven | None:
        """Return what a valid token proves about its holder; None if the token is not valid. `address` is the address
        of the caller. Raises Draining if the keys of the issuer are not available now, and QuotaExceeded if too many
        tokens wait to be verified."""
        known = self.verified.known(text, self._now())
        if known is not None:
            return known
        try:
            work = self.verified.prepare(text, self._now())
            async with self._turn(address):
                known = self.verified.known(text, self._now())  # another call may have brought it
                return known or await self._verify(work)
        except InvalidJwtError:
            return None
        except KeysMissingError:
            raise Draining("the keys of the token's issuer are not available now; try again") from None

    async def _verify(self, work: ToVerify) -> Proven:
        proven = await asyncio.get_running_loop().run_in_executor(self._thread, work.verify)
        self.verified.keep(work.token.text, proven)
        return proven

    @asynccontextmanager
    async def _turn(self, address: str) -> AsyncIterator[None]:
        turns = self._turns.get(address) or _Turns()
        if turns.waiting >= MOST_OF_ADDRESS or self._waiting >= MOST_WAITING:
            raise QuotaExceeded("too many tokens are waiting to be verified; try again")
        self._turns[address] = turns
        turns.waiting += 1
        self._waiting += 1
        try:
            async with turns.lock:
                yield
        finally:
            turns.waiting -= 1
            self._waiting -= 1
            if not turns.waiting:
                del self._turns[address]

    def _replace(self, issuer: str, keys: KeySet | None) -> None:
        if self.verified.replace_keys(issuer, keys):
            self._dropped()
