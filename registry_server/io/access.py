"""Manages the principals and tokens of the registry: answers from memory, and stores changes on a thread of its own.

The file is opened when it is first needed, so that a system without authentication has no such file.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import structlog
from grid_model.access import ANONYMOUS, Principal
from grid_model.errors import Unauthenticated

from grid_hosting.access.audit import AuditFilter, AuditRecord
from grid_hosting.access.book import AccessBook
from grid_hosting.access.failed_attempts import FailedAttempts
from grid_hosting.access.jwt_form import is_jwt
from grid_hosting.access.store import AccessStore, AccessStoreError
from grid_hosting.addresses import client_block
from grid_hosting.credential import Credential, principal_of_spiffe
from grid_hosting.uninterrupted import Uninterrupted
from grid_hosting.watermark import Watermark
from registry_server.io.jwt_verification import JwtVerification

T = TypeVar("T")

log = structlog.get_logger("access")

LOOK_EVERY = 0.5
"""Seconds between two checks for changes by other processes: a command may change the file while the registry runs."""

RECORD_EVERY = 60.0
"""Seconds between two writes of the times at which tokens were last used."""

CLOSE_WITHIN = 5.0
"""Maximum seconds for which the registry waits for changes in progress when it stops."""

MOST_DELAYED = 1000
"""Maximum number of refusals that are delayed at the same time. Overflow rule: a further refusal is answered at
once."""


_EMPTY = AccessBook()


class Access:
    """All principals and tokens. It is the `Authority` for the servers of this process."""

    def __init__(self, folder: Path, jwts: JwtVerification | None = None) -> None:
        """`jwts` verifies JSON Web Tokens; None means that no such token is accepted."""
        self._folder = folder
        self._jwts = jwts
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="access")
        self._store: AccessStore | None = None
        self._failed = FailedAttempts()
        self._delayed = 0
        self._used: dict[str, float] = {}
        self._revisions = Watermark()
        self._published = _EMPTY
        self._changing = Uninterrupted()
        self._opened = asyncio.Event()
        if jwts is not None:
            jwts.on_dropped(self._revisions.step)

    @property
    def revision(self) -> int:
        """A number that grows when answers about credentials may have changed. Servers compare it with the number that
        they saw last, to notice such a change."""
        return self.book.revision + (0 if self._jwts is None else self._jwts.verified.generation)

    @property
    def revisions(self) -> Watermark:
        """A counter that rises with each change, so that others can wait for changes. It counts separately from
        `revision`, so the two numbers cannot be compared."""
        return self._revisions

    @property
    def book(self) -> AccessBook:
        """The stored principals and tokens; empty until the file was opened."""
        return _EMPTY if self._store is None else self._store.book

    @property
    def failed_attempts(self) -> int:
        """Number of credentials that were refused."""
        return self._failed.total

    async def open(self) -> None:
        """Open the file of the principals and tokens. Raises AccessStoreError."""
        await self._run(lambda store: store)

    async def change(self, apply: Callable[[AccessBook], T]) -> T:
        """Change the book with the function `apply`, and return its result once the change is on disk; see
        AccessStore.change. Once a change has begun, it takes effect even if this call is cancelled, because a
        revocation must end open streams."""
        return await self._changing.run(self._changed(apply))

    async def _changed(self, apply: Callable[[AccessBook], T]) -> T:
        try:
            return await self._run(lambda store: store.change(apply))
        finally:
            self._publish()

    async def last_used(self) -> dict[str, float]:
        """Return when each token was last used, in seconds since the epoch, by id."""
        stored = await self._run(lambda store: store.last_used())
        return {**stored, **self._used}

    def find(self, name: str) -> Principal | None:
        """Return the principal with a name, for a relay that speaks for it; None if it is unknown or disabled."""
        now = time.time()
        proven = None if self._jwts is None else self._jwts.verified.of_principal(name, now)
        if proven is not None:
            return self.book.of_jwt(proven, now)
        found = self.book.principals.get(name)
        return None if found is None or found.disabled else found.principal()

    async def append_audit(self, records: Sequence[AuditRecord]) -> None:
        """Store records of the audit log, and return once they are on disk. Raises AccessStoreError."""
        await self._run(lambda store: store.append_audit(records))

    async def read_audit(
        self, after: int, limit: int, wanted: AuditFilter, *, newest: bool = False
    ) -> list[AuditRecord]:
        """Return a page of the audit log; see AccessStore.read_audit."""
        return await self._run(lambda store: store.read_audit(after, limit, wanted, newest=newest))

    async def identify(self, credential: Credential, peer: str) -> Principal:
        """Return the principal of a credential. `peer` is the address of the caller. It is empty if the call is already
        open and its credential is checked again; such a check does not count as an attempt.

        Raises Unauthenticated if the credential is not valid, after a delay if the address has failed often. Raises
        Draining if the keys of the token's issuer are not available now, and QuotaExceeded if too many tokens wait to
        be verified.
        """
        found: Principal | None
        if self.book.refuses_certificate(credential.serial):
            found = None
        elif self._jwts is not None and is_jwt(credential.token):
            proven = await self._jwts.verify(credential.token, client_block(peer))
            found = None if proven is None else self.book.of_jwt(proven, time.time())
        else:
            found = self._find(credential)
        if found is None:
            if peer:
                await self._delay(client_block(peer))
            raise Unauthenticated
        return found

    async def run(self) -> None:
        """Until cancelled, read the changes that other processes make, keep the keys of issuers up to date, and store
        when tokens were last used."""
        async with asyncio.TaskGroup() as tasks:
            if self._jwts is not None:
                tasks.create_task(self._jwts.run())
            await self._follow_store()

    async def _follow_store(self) -> None:
        try:
            await self._opened.wait()
            recorded = time.monotonic()
            while True:
                await asyncio.sleep(LOOK_EVERY)
                try:
                    await self._run(lambda store: store.refresh())
                    if time.monotonic() - recorded >= RECORD_EVERY:
                        recorded = time.monotonic()
                        await self._record_use()
                except AccessStoreError as error:
                    log.error("access_store_failed", why=str(error))
                self._publish()
        finally:
            await asyncio.shield(self._close())

    async def _close(self) -> None:
        await self._changing.finish(CLOSE_WITHIN)
        if self._store is not None:
            try:
                await self._record_use()
            except AccessStoreError as error:
                log.error("access_store_failed", why=str(error))
            await self._run(lambda store: store.close())
        self._thread.shutdown(wait=False)

    async def _record_use(self) -> None:
        used, self._used = self._used, {}
        if used:
            await self._run(lambda store: store.record_use(used))

    def _find(self, credential: Credential) -> Principal | None:
        book = self.book
        if credential.token:
            now = time.time()
            found = book.of_token(credential.token, now)
            if found is None:
                return None
            token, principal = found
            self._used[token.token_id] = now
            return principal
        if credential.spiffe_id:
            return book.of_certificate(principal_of_spiffe(credential.spiffe_id), credential.serial)
        if credential.principal:
            named = self.find(credential.principal)
            return named if named is not None and named.can_be_carried else None
        if not credential.common_name:
            return ANONYMOUS
        return book.of_certificate(f"cn:{credential.common_name}", credential.serial)

    async def _delay(self, host: str) -> None:
        delay = self._failed.failed(host, time.monotonic())
        if not delay or self._delayed >= MOST_DELAYED:
            return
        self._delayed += 1
        try:
            await asyncio.sleep(delay)
        finally:
            self._delayed -= 1

    def _publish(self) -> None:
        """Notify the checks of open calls if the book has changed since they were last notified."""
        if self.book is not self._published:
            self._published = self.book
            self._revisions.step()

    async def _run(self, call: Callable[[AccessStore], T]) -> T:
        def on_thread() -> T:
            if self._store is None:
                self._store = AccessStore(self._folder)
            return call(self._store)

        result = await asyncio.get_running_loop().run_in_executor(self._thread, on_thread)
        self._opened.set()
        return result
