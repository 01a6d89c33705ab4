"""Ends open calls whose credential expires or is revoked, or whose caller loses rights: for gRPC and for HTTP."""

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
"""Seconds between two checks for credentials that have expired."""

AT_ONCE = 50
"""Maximum number of credentials that are checked at the same time."""

NO_PEER = ""

UNCONFIRMED_FOR = 30.0
"""Seconds for which open calls continue while it cannot be determined whether their credentials are still valid."""


class Authority(Protocol):
    """Finds the principal to which a credential belongs."""

    @property
    def revisions(self) -> Watermark:
        """A number that grows when an answer of `identify` may have changed. Open streams are then checked again."""
        ...

    async def identify(self, credential: Credential, peer: str) -> Principal:
        """Return the principal of a credential that came from the address `peer`. Raises Unauthenticated if the
        credential is not valid, and another TronError if that cannot be determined now. If `peer` is empty, a refusal
        is not counted as a failed attempt, and is not delayed."""
        ...


async def principal_of(authority: Authority, credential: Credential, peer: str) -> Principal:
    """Return the principal of a credential. Its `ends_at` is the end of its token or of its certificate, whichever
    comes first. Raises as `Authority.identify` does."""
    principal = await authority.identify(credential, peer)
    ends = [each for each in (principal.ends_at, credential.not_after) if each is not None]
    return replace(principal, ends_at=min(ends)) if ends else principal


class OpenCallChecks:
    """Checks the credentials of the open calls of one server."""

    def __init__(self, authority: Authority, open_calls: OpenCalls) -> None:
        self._authority = authority
        self._open_calls = open_calls

    async def run(self) -> None:
        """Until cancelled, check at regular intervals whether the credentials of open calls have expired, and check the
        rights of their callers whenever rights may have changed."""
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
        """Check the callers of all open calls; return whether all could be checked. If `late`, end the calls whose
        callers cannot be checked."""
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
        """Return the current principal of a credential, or the error if it has none now. This is not an attempt of a
        caller, so nothing delays the answer."""
        try:
            return await principal_of(self._authority, credential, NO_PEER)
        except Unauthenticated:
            return CredentialExpired("the credential of this call was revoked")
        except TronError as error:
            return error


def _apply(call: OpenCall, principal: Principal) -> None:
    """Compare the principal of a call with its current state, and end the call if it has lost rights. Further rights
    end no stream, because all streams of a fleet with one credential would reconnect at once."""
    if call.principal != principal:
        if not call.principal.is_extended_by(principal):
            call.stop(CredentialExpired("the rights of this caller have changed; connect again"))
            return
        call.extend(principal)
    if call.lost_rights is not None and (error := call.lost_rights()) is not None:
        call.stop(error)
