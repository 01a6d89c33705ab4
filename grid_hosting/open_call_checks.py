"""Ends open calls of a server whose credential ends, is revoked, or has other rights: for gRPC and for HTTP."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from itertools import islice
from typing import Protocol

from grid_model.access import Principal
from grid_model.errors import CredentialExpired, QuotaExceeded, TronError, Unauthenticated

from grid_hosting.credential import Credential
from grid_hosting.open_calls import OpenCall, OpenCalls
from grid_hosting.turns import Turn
from grid_hosting.watermark import Watermark

LOOK_EVERY = 0.5
"""Seconds between two looks for credentials that have ended."""

AT_ONCE = 50
"""Credentials that are asked about at the same time."""

NO_PEER = ""

UNCONFIRMED_FOR = 30.0
"""Seconds for which open calls go on while it cannot be known whether their credentials are still valid."""


class Authority(Protocol):
    """Knows which principal a credential belongs to."""

    @property
    def revisions(self) -> Watermark:
        """Rises when an answer of `identify` may have changed: open streams are then checked again."""
        ...

    async def identify(self, credential: Credential, peer: str) -> Principal:
        """Return the principal of a credential that came from the address `peer`. Raises Unauthenticated, and another
        TronError if it cannot be known now. Without an address, a refusal is no failed attempt, and is not delayed."""
        ...


async def principal_of(authority: Authority, credential: Credential, peer: str) -> Principal:
    """Return the principal of a credential, with the earliest end of both. Raises as `Authority.identify` does."""
    principal = await authority.identify(credential, peer)
    ends = [each for each in (principal.ends_at, credential.not_after) if each is not None]
    return replace(principal, ends_at=min(ends)) if ends else principal


class OpenCallChecks:
    """The checks of the open calls of one server."""

    def __init__(self, authority: Authority, open_calls: OpenCalls) -> None:
        self._authority = authority
        self._open_calls = open_calls

    async def run(self) -> None:
        """Check the open calls when time passes and when rights change, until cancelled."""
        seen = self._authority.revisions.value
        unconfirmed_at: float | None = None
        while True:
            await self._authority.revisions.beyond(seen, LOOK_EVERY)
            self._open_calls.check_time()
            value = self._authority.revisions.value
            if value == seen and unconfirmed_at is None:
                continue
            seen = value
            late = unconfirmed_at is not None and time.monotonic() - unconfirmed_at > UNCONFIRMED_FOR
            if await self._check_again(late=late):
                unconfirmed_at = None
            elif unconfirmed_at is None:
                unconfirmed_at = time.monotonic()

    async def _check_again(self, *, late: bool) -> bool:
        """Check the callers of all open calls; return whether that was possible. `late`: end the calls for which it is
        not."""
        turn = Turn("credentials")
        calls: dict[Credential, list[OpenCall]] = {}
        async for call in turn.each(list(self._open_calls)):
            if call.credential is not None:
                calls.setdefault(call.credential, []).append(call)
        credentials = iter(list(calls))
        while group := list(islice(credentials, AT_ONCE)):
            turn.end()
            found = await asyncio.gather(*map(self._now, group))
            turn = Turn("credentials")
            possible = True
            checked = ((call, now) for credential, now in zip(group, found, strict=True) for call in calls[credential])
            async for call, now in turn.each(checked):
                if isinstance(now, Principal):
                    _apply(call, now)
                elif isinstance(now, CredentialExpired) or (late and not isinstance(now, QuotaExceeded)):
                    call.stop(now)
                else:
                    possible = False
            if not possible:
                turn.end()
                return False  # no further ones: each group would wait for the registry
        turn.end()
        return True

    async def _now(self, credential: Credential) -> Principal | TronError:
        """Return the principal of a credential, or why it has none now. This is no attempt of a caller, and so nothing
        delays the answer."""
        try:
            return await principal_of(self._authority, credential, NO_PEER)
        except Unauthenticated:
            return CredentialExpired("the credential of this call was revoked")
        except TronError as error:
            return error


def _apply(call: OpenCall, principal: Principal) -> None:
    """Compare the principal of a call with the one that it has now. Further rights end no stream: a fleet with one
    credential would connect again all at once."""
    if call.principal != principal:
        if not call.principal.is_extended_by(principal):
            call.stop(CredentialExpired("the rights of this caller have changed; connect again"))
            return
        call.extend(principal)
    if call.lost_rights is not None and (error := call.lost_rights()) is not None:
        call.stop(error)
