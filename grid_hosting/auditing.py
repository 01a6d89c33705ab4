"""The interceptor that records the acts of operators and administrators, and the calls that were refused, for the audit
log.

It runs after the authentication. An act is recorded before its call is answered, even if the client cancels the call,
so that no change is left without a record. Without authentication, the interceptor does nothing.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from operator import attrgetter
from typing import Any, Protocol, TypeVar

import grpc
from grid_model.access import LOCAL, ON_BEHALF_OF, Principal, Role
from grid_model.errors import PermissionDenied, TronError

from grid_hosting.access.audit import AuditKind, AuditRecord
from grid_hosting.handlers import Handler, WrappingInterceptor, kind_of
from grid_hosting.open_calls import current_principal, current_relay

T = TypeVar("T")

Context = grpc.aio.ServicerContext[Any, Any]

TargetOf = Callable[[Any], str]
"""A function that returns the id or name that a request is about."""


def field_of(path: str) -> TargetOf:
    """Return a function that reads a field of a request, such as `service.service_id`, as text."""
    read = attrgetter(path)
    return lambda request: str(read(request))


Find = Callable[[str], Principal | None]
"""A function that returns the principal with a name; None if there is no such principal."""

NO_TARGETS: Mapping[str, TargetOf] = {}


class Trail(Protocol):
    """Stores the audit records of a server."""

    async def act(self, record: AuditRecord) -> None:
        """Store the record of an act, and return once it is durable. Raises Draining if it cannot be stored now."""
        ...

    def refused(self, record: AuditRecord) -> None:
        """Count a refusal; never blocks."""
        ...

    async def completed(self, act: Coroutine[Any, Any, T]) -> T:
        """Run the coroutine of an act, which also writes the record of the act, and return its result. The coroutine
        runs to its end even if this call is cancelled."""
        ...


class Auditing(WrappingInterceptor):
    """Records the acts and refusals at one server. `acts` and `targets` map the name of a method to the function that
    returns the target of a request: the id or name that the request is about. The methods in `acts` are those with
    which operators and administrators change something. `targets` has further methods, of which only refusals are
    recorded, with a target."""

    def __init__(
        self,
        trail: Trail,
        acts: Mapping[str, TargetOf],
        targets: Mapping[str, TargetOf] = NO_TARGETS,
        find: Find = lambda _: None,
    ) -> None:
        """For `find`, see `record_of`."""
        super().__init__()
        self._find = find
        self._trail = trail
        self._acts = acts
        self._targets = targets

    def _wrap(self, handler: Any, method: str) -> Handler:
        function, make = kind_of(handler)
        target_of = self._acts.get(method)
        refused_at = target_of or self._targets.get(method)

        def refused(request: Any, context: Context, error: TronError) -> None:
            target = "" if refused_at is None else refused_at(request)
            self._trail.refused(
                record_of(AuditKind.REFUSAL, method, context, target, outcome_of(error), find=self._find)
            )

        async def served(request: Any, context: Context) -> Any:
            try:
                return await function(request, context)
            except PermissionDenied as error:
                refused(request, context, error)
                raise

        async def recorded(request: Any, context: Context, target: str) -> Any:
            response = await served(request, context)
            await self._trail.act(record_of(AuditKind.ACT, method, context, target))
            return response

        async def answer(request: Any, context: Context) -> Any:
            if current_principal() is LOCAL:
                return await function(request, context)
            if target_of is not None and Role.OPERATOR in current_principal().roles:
                return await self._trail.completed(recorded(request, context, target_of(request)))
            return await served(request, context)

        async def answer_many(request: Any, context: Context) -> AsyncIterator[Any]:
            try:
                async for response in function(request, context):
                    yield response
            except PermissionDenied as error:
                refused(request, context, error)
                raise

        wrapper: Any = answer_many if inspect.isasyncgenfunction(function) else answer
        return make(wrapper, handler.request_deserializer, handler.response_serializer)


def record_of(
    kind: AuditKind,
    method: str,
    context: Context,
    target: str = "",
    outcome: str = "OK",
    actor: Principal | None = None,
    named: str = "",
    find: Find = lambda _: None,
) -> AuditRecord:
    """Return an audit record about the current call. `actor` is the principal that called; None means the current
    principal.

    If the caller is a relay, it may call for another principal: `named` is the name of that principal; if `named` is
    empty, the name is taken from the metadata of the call. If `find` knows the name, that principal is the actor of the
    record. In all other cases the caller is the actor, because anyone can send an invented name.
    """
    principal = actor or current_principal()
    names = [named] if named else [_text(value) for name, value in _metadata(context) if name == ON_BEHALF_OF]
    found = find(names[0]) if len(names) == 1 and Role.RELAY in principal.roles else None
    return AuditRecord(
        time.time(),
        kind,
        principal.name if found is None else found.name,
        method,
        target[:512],
        outcome,
        context.peer(),
        current_relay() if found is None else principal.name,
    )


def outcome_of(error: TronError) -> str:
    """Return the reason of an error without the prefix ERROR_REASON_; for example `PERMISSION_DENIED`."""
    return error.reason.removeprefix("ERROR_REASON_")


def _metadata(context: Context) -> tuple[tuple[str, str | bytes], ...]:
    return tuple(context.invocation_metadata() or ())


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "replace")
