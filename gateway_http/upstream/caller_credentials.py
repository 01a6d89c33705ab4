"""Calls of the registry and of TRON that the gateway makes for a client are made in the name of that client.

A client that has a token: the gateway forwards the token, and the server decides as if the client had called. A client
without one, of a network that needs none: the gateway names the principal, and speaks for it as a relay. Only calls
that no client caused are made in the name of the gateway.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from grid_model.access import CALLER_TOKEN, LOCAL, ON_BEHALF_OF

from grid_hosting.open_calls import current_credential, current_principal


def caller_metadata() -> tuple[tuple[str, str | bytes], ...]:
    """Return what a call says about the client whose request is served now; nothing without a client."""
    principal, credential = current_principal(), current_credential()
    if principal is LOCAL:
        return ()
    if credential is not None and credential.token:
        return ((CALLER_TOKEN, credential.token),)
    return ((ON_BEHALF_OF, principal.name.encode()),)


class CallerCredentials(grpc.aio.UnaryUnaryClientInterceptor):
    """Adds it to each single call of a channel. No stream is opened for a client."""

    async def intercept_unary_unary(
        self,
        continuation: Callable[[grpc.aio.ClientCallDetails, Any], Awaitable[Any]],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        """Make the call in the name of the client."""
        details: Any = client_call_details  # a named tuple
        more = caller_metadata()
        if more:
            details = details._replace(metadata=grpc.aio.Metadata(*(details.metadata or ()), *more))
        return await continuation(details, request)
