"""The interceptor that authenticates the callers of a gRPC server, and checks their roles.

It decides once for each call or stream, before the handler runs, so messages on an open stream cost nothing. It wraps
the handlers because only a handler sees the certificate of the client. The new handler is of the same kind (unary or
streaming) as the handler that it wraps: if a handler of another kind refused a stream, the client would receive no
answer.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
from grid_model.access import ANONYMOUS, ON_BEHALF_OF, Principal, Role
from grid_model.errors import CredentialExpired, PermissionDenied, QuotaExceeded, TronError, Unauthenticated

from grid_hosting.access.audit import AuditKind, AuditRecord, network_of
from grid_hosting.addresses import client_block
from grid_hosting.auditing import outcome_of, record_of
from grid_hosting.credential import CertificateRules, Credential, read_credential, read_forwarded
from grid_hosting.handlers import Handler, WrappingInterceptor, kind_of
from grid_hosting.open_call_checks import Authority, OpenCallChecks, principal_of
from grid_hosting.open_calls import OpenCall, OpenCalls, act_as, current_call, current_principal, forwarded_by
from grid_hosting.open_counts import OpenCounts
from grid_hosting.status import abort

__all__ = ["ANONYMOUS", "ANY_PRINCIPAL", "Authentication", "Authority", "current_call", "current_principal"]

ANY_PRINCIPAL: frozenset[Role] = frozenset()
"""The entry in a table of roles for a method that every authenticated caller may call."""

WATCHES_PER_PEER = 4
"""Maximum number of health watches that callers without a credential may have open from one address."""

MOST_WATCHES = 1000
"""Maximum number of health watches that all callers without a credential may have open together."""

_HEALTH_CHECK, _HEALTH_WATCH = "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"
_OPEN = frozenset({_HEALTH_CHECK, _HEALTH_WATCH})
_REFLECTION = {
    f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo": ANY_PRINCIPAL for version in ("v1alpha", "v1")
}

Context = grpc.aio.ServicerContext[Any, Any]


class Authentication(WrappingInterceptor):
    """Authenticates the callers of one server, and checks their roles. `roles` maps each method to a set of roles, of
    which a caller needs at least one. Calls of a method that is not in `roles` are refused. Health checks need no
    credential, and every authenticated caller may use reflection."""

    def __init__(
        self,
        authority: Authority,
        roles: Mapping[str, frozenset[Role]],
        rules: CertificateRules = CertificateRules(),  # noqa: B008 - a frozen value
        refused: Callable[[AuditRecord], None] = lambda _: None,
        longest: timedelta | None = None,
    ) -> None:
        """`refused` is called with each refusal, for the audit log; it must not block. `longest` is how long a stream
        may last; if it is None, only the credential of the caller limits a stream."""
        super().__init__()
        self._authority = authority
        self._refused = refused
        self._roles = {**_REFLECTION, **roles}
        self._rules = rules
        self._watches = OpenCounts()
        self._streams: set[str] = set()
        self._aborting: set[asyncio.Future[Any]] = set()
        """Calls that are being ended while their clients do not read, each for a bounded time: see `abort`."""
        self.open_calls = OpenCalls(longest=longest)
        """The open streams."""

    async def run(self) -> None:
        """End open streams whose credential expires or is revoked, or whose caller loses rights, until cancelled."""
        await OpenCallChecks(self._authority, self.open_calls).run()

    async def _admit(self, method: str, context: Context) -> tuple[Principal, Credential | None]:
        """Return the caller. Raises Unauthenticated, PermissionDenied."""
        try:
            return await self._identified(method, context)
        except Unauthenticated as error:
            network = network_of(context.peer())
            self._refused(
                AuditRecord(time.time(), AuditKind.REFUSAL, network, method, "", outcome_of(error), context.peer())
            )
            raise

    async def _identified(self, method: str, context: Context) -> tuple[Principal, Credential | None]:
        tls = {name: tuple(values) for name, values in context.auth_context().items()}
        metadata = tuple(context.invocation_metadata() or ())
        credential = read_credential(metadata, tls, self._rules)
        if credential is None and method in _OPEN:
            return ANONYMOUS, None
        if credential is None or not (credential.identifies or method in _OPEN):
            raise Unauthenticated
        try:
            principal = await self._valid(credential, context)
        except (Unauthenticated, CredentialExpired):
            raise
        except TronError:
            if method in _OPEN:  # a probe must not restart this server because the registry is away
                return ANONYMOUS, None
            raise
        if not credential.identifies:
            return ANONYMOUS, credential
        forwarded, named = read_forwarded(metadata), any(name == ON_BEHALF_OF for name, _ in metadata)
        if (forwarded or named) and Role.RELAY not in principal.roles:
            why = f"{principal.name} has no relay grant, so it cannot call for another principal"
            raise self._denied(why, method, context, principal)
        if (forwarded or named) and method in self._streams:
            # A stream is ended with the rights of its own principal, so it must have no others.
            why = "a relay may call for another principal in unary calls only, not in streams"
            raise self._denied(why, method, context, principal)
        if forwarded is not None:
            forwarded_by(principal.name)
            principal, credential = await self._valid(forwarded, context), forwarded
        if method in _OPEN:
            return principal, credential
        needed = self._roles.get(method)
        if needed is None or (needed and not needed & principal.roles):
            names = " or ".join(sorted(role.name.lower() for role in needed or ()))
            why = f"needs the role {names}, which {principal.name} does not have" if names else "no role may call it"
            raise self._denied(f"{method}: {why}", method, context, principal)
        if named and needed and Role.RELAY not in needed:
            raise self._denied(
                f"{method}: a relay cannot call this method for another principal", method, context, principal
            )
        return principal, credential

    async def _valid(self, credential: Credential, context: Context) -> Principal:
        """Return the principal of a credential. Raises CredentialExpired if it has expired, as the certificate of an
        open connection may have."""
        principal = await principal_of(self._authority, credential, context.peer())
        if principal.has_ended(datetime.now(UTC)):
            raise CredentialExpired("the credential of this call has expired")
        return principal

    def _denied(self, why: str, method: str, context: Context, principal: Principal) -> PermissionDenied:
        """Return the refusal of a call, which is counted for the audit log."""
        refusal = PermissionDenied(why)
        self._refused(record_of(AuditKind.REFUSAL, method, context, "", outcome_of(refusal), principal))
        return refusal

    @contextmanager
    def _opened(
        self, method: str, principal: Principal, credential: Credential | None, context: Context
    ) -> Iterator[OpenCall]:
        """Register the stream of this task as open. Raises QuotaExceeded if too many health watches are open."""
        host = client_block(context.peer()) if method == _HEALTH_WATCH and principal is ANONYMOUS else ""
        if host and self._watches.of(host) >= WATCHES_PER_PEER:
            raise QuotaExceeded(
                f"{WATCHES_PER_PEER} health watches without a credential are already open from this address"
            )
        if host and self._watches.total >= MOST_WATCHES:
            raise QuotaExceeded(f"{MOST_WATCHES} health watches without a credential are already open")
        counted = self._watches.one(host) if host else nullcontext()
        with counted, self.open_calls.opened(principal, credential, context.peer()) as call:
            yield call

    def _abandon(self, context: Context, error: TronError) -> None:
        """Send the error to a client that does not read; it receives the error once it reads."""
        aborting = asyncio.ensure_future(abort(context, error))
        self._aborting.add(aborting)
        aborting.add_done_callback(lambda task: task.cancelled() or task.exception())
        aborting.add_done_callback(self._aborting.discard)

    def _wrap(self, handler: Any, method: str) -> Handler:
        function, make = kind_of(handler)
        streaming = handler.request_streaming or handler.response_streaming
        if streaming:
            self._streams.add(method)

        async def answer(request: Any, context: Context) -> Any:
            try:
                principal, credential = await self._admit(method, context)
            except TronError as error:
                await abort(context, error)
            act_as(principal, credential)
            if not streaming:
                return await function(request, context)
            with self._opened(method, principal, credential, context) as call, call:
                return await function(request, context)

        async def answer_many(request: Any, context: Context) -> AsyncIterator[Any]:
            try:
                principal, credential = await self._admit(method, context)
                act_as(principal, credential)
                with self._opened(method, principal, credential, context) as call:
                    call.abandon = lambda error: self._abandon(context, error)
                    responses = function(request, context)
                    try:
                        while True:
                            with call:
                                response = await anext(responses)
                            yield response
                    except StopAsyncIteration:
                        return
                    finally:
                        await responses.aclose()
            except TronError as error:
                await abort(context, error)

        wrapper: Any = answer_many if inspect.isasyncgenfunction(function) else answer
        return make(wrapper, handler.request_deserializer, handler.response_serializer)
