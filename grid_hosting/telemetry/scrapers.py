"""Decides who may read the metrics page of a program with authentication: any principal with the role observer."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from grid_model.access import Role
from grid_model.errors import PermissionDenied, TronError, Unauthenticated

from grid_hosting.credential import bearer_credential
from grid_hosting.http_rules import Refusal
from grid_hosting.open_call_checks import NO_PEER, Authority, principal_of

ANSWER_WITHIN = 8.0
"""Seconds within which the authority must identify a caller; it may have to ask the registry."""

NO_CREDENTIAL = Refusal(401, "UNAUTHENTICATED", "a valid credential is required")
AWAY = Refusal(503, "DRAINING", "callers cannot be identified now; try again")


class Scrapers:
    """Checks the callers of one metrics page."""

    def __init__(self, authority: Authority, loop: asyncio.AbstractEventLoop) -> None:
        """`loop` is the event loop on which `authority` must be called."""
        self._authority = authority
        self._loop = loop

    def refuse(self, authorization: str, serial: str = "") -> Refusal | None:
        """Return why a request is refused; None if it is served. `authorization` is the value of its header; `serial`
        is the serial number of the client certificate, in hexadecimal. This blocks until the event loop has answered,
        so it must not be called in the thread of the event loop."""
        asking = asyncio.run_coroutine_threadsafe(self._check(authorization, serial), self._loop)
        try:
            asking.result(ANSWER_WITHIN)
        except Unauthenticated:
            return NO_CREDENTIAL
        except PermissionDenied as error:
            return Refusal(403, "PERMISSION_DENIED", error.message)
        except (TronError, TimeoutError):
            asking.cancel()
            return AWAY
        return None

    async def _check(self, authorization: str, serial: str) -> None:
        credential = bearer_credential([authorization] if authorization else [])
        if credential is None:
            raise Unauthenticated
        # The page has one thread: a refusal that is delayed would delay the scrapes of others.
        principal = await principal_of(self._authority, replace(credential, serial=serial), NO_PEER)
        if Role.OBSERVER not in principal.roles:
            raise PermissionDenied(f"reading the metrics needs the role observer, which {principal.name} does not have")
