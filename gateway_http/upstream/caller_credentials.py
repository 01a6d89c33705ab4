"""Makes the gateway's calls to the registry and TRON in the name of the client that caused them.

If the client has a token, the gateway forwards the token, and the server decides as if the client had called directly.
If clients of this network need no token, the gateway sends the name of the client's principal, and acts as a relay for
this principal. Only calls that no client caused are made in the gateway's own name.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from grid_model.access import CALLER_TOKEN, LOCAL, ON_BEHALF_OF

from grid_hosting.open_calls import current_credential, current_principal


def caller_metadata() -> tuple[tuple[str, str | bytes], ...]:
    """Return the gRPC metadata that identifies the client of the current request: its token, or the name of its
    principal. It is empty if no client caused the call."""
    principal, credential = current_principal(), current_credential()
    if principal is LOCAL:
        return ()
    if credential is not None and credential.token:
        return ((CALLER_TOKEN, credential.token),)
    return ((ON_BEHALF_OF, principal.name.encode()),)


class CallerCredentials(grpc.aio.UnaryUnaryClientInterceptor):
    """A gRPC interceptor that adds `caller_metadata` to each unary call of a channel. The gateway opens no streams in
    the name of a client."""

    async def intercept_unary_unary(
        self,
        continuation: Callable[[grpc.aio.ClientCallDetails, Any], Awaitable[Any]],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        """Make the call in the name of the client whose request is being served."""
        details: Any = client_call_details  # a named tuple
        more = caller_metadata()
        if more:
            details = details._replace(metadata=grpc.aio.Metadata(*(details.metadata or ()), *more))
        return await continuation(details, request)
