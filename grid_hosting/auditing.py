"""The interceptor that records the acts of operators and administrators, and what callers were refused.

It comes after the authentication. An act is recorded before it is answered, also if its client cancels the call: what
has begun to change must not be left without a record. Without authentication it does nothing.
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
"""Returns the id or name that a request is about."""


def field_of(path: str) -> TargetOf:
    """Return what reads a field of a request, such as `service.service_id`, as text."""
    read = attrgetter(path)
    return lambda request: str(read(request))


Find = Callable[[str], Principal | None]
"""Returns the principal with a name; None if there is none."""

NO_TARGETS: Mapping[str, TargetOf] = {}


class Trail(Protocol):
    """Where records go."""

    async def act(self, record: AuditRecord) -> None:
        """Store a record, and return once it is durable. Raises Draining if it cannot be stored."""
        ...

    def refused(self, record: AuditRecord) -> None:
        """Count a refusal; never blocks."""
        ...

    async def completed(self, act: Coroutine[Any, Any, T]) -> T:
        """Return the result of an act and its record, which go on to their end if this call is cancelled."""
        ...


class Auditing(WrappingInterceptor):
    """The interceptor of one server. `acts`: the methods by which operators and administrators change something;
    `targets`: what the requests of other methods are about."""

    def __init__(
        self,
        trail: Trail,
        acts: Mapping[str, TargetOf],
        targets: Mapping[str, TargetOf] = NO_TARGETS,
        find: Find = lambda _: None,
    ) -> None:
        """`find`: see record_of."""
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
    """Return a record about the call that runs now. `actor`: the caller if it is not the current principal; `named`:
    the principal for which it speaks if it is a relay, else that of the metadata. The actor is the named one only if
    `find` knows it, else the relay: a name that nobody has is only a text."""
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
    """Return the reason of an error without its prefix: `PERMISSION_DENIED`."""
    return error.reason.removeprefix("ERROR_REASON_")


def _metadata(context: Context) -> tuple[tuple[str, str | bytes], ...]:
    return tuple(context.invocation_metadata() or ())


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "replace")
