"""The table of the gRPC status codes of all error reasons, and the interceptor that uses it.

Handlers raise TronErrors. The client receives a google.rpc.Status with ErrorInfo (reason, domain "grid") and, for
refused fields, BadRequest. Any other exception is a bug: the client receives INTERNAL without details, and the server's
log one line with a traceback.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from typing import Any, NoReturn
from weakref import ref

import grpc
import structlog
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grid_model.errors import FieldError, InternalError, NotImplementedYet, TronError
from grpc_status import rpc_status
from tron_client import status_details

from grid_hosting.handlers import Handler, WrappingInterceptor, kind_of
from grid_hosting.requests import undecodable

log = structlog.get_logger("rpc")

DOMAIN = "grid"

REASON_CODES: dict[str, grpc.StatusCode] = {
    "ERROR_REASON_INVALID_REQUEST": grpc.StatusCode.INVALID_ARGUMENT,
    "ERROR_REASON_SERVICE_NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "ERROR_REASON_ALERT_NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "ERROR_REASON_SUPERSEDED": grpc.StatusCode.ABORTED,
    "ERROR_REASON_UNKNOWN_INCARNATION": grpc.StatusCode.FAILED_PRECONDITION,
    "ERROR_REASON_REVISION_COMPACTED": grpc.StatusCode.OUT_OF_RANGE,
    "ERROR_REASON_READER_TOO_SLOW": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "ERROR_REASON_QUOTA_EXCEEDED": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "ERROR_REASON_DRAINING": grpc.StatusCode.UNAVAILABLE,
    "ERROR_REASON_SILENT_STREAM": grpc.StatusCode.DEADLINE_EXCEEDED,
    "ERROR_REASON_NOT_IMPLEMENTED": grpc.StatusCode.UNIMPLEMENTED,
    "ERROR_REASON_INTERNAL": grpc.StatusCode.INTERNAL,
    "ERROR_REASON_PAGE_TOKEN_EXPIRED": grpc.StatusCode.ABORTED,
    "ERROR_REASON_UNAUTHENTICATED": grpc.StatusCode.UNAUTHENTICATED,
    "ERROR_REASON_PERMISSION_DENIED": grpc.StatusCode.PERMISSION_DENIED,
    "ERROR_REASON_NOT_OWNER": grpc.StatusCode.PERMISSION_DENIED,
    "ERROR_REASON_CREDENTIAL_EXPIRED": grpc.StatusCode.UNAUTHENTICATED,
    "ERROR_REASON_PRINCIPAL_NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "ERROR_REASON_TOKEN_NOT_FOUND": grpc.StatusCode.NOT_FOUND,
}


def to_status(error: TronError) -> grpc.Status:
    """Return the gRPC status of an error, with all data that a client needs in order to react: the reason, the facts
    and the refused fields."""
    details = [_packed(error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.facts))]
    if error.fields:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=each.field, description=each.description)
            for each in error.fields
        ]
        details.append(_packed(error_details_pb2.BadRequest(field_violations=violations)))
    code = REASON_CODES[error.reason]
    status: grpc.Status = rpc_status.to_status(
        status_pb2.Status(code=code.value[0], message=str(error), details=details)
    )
    return status


class PassedOn(TronError):
    """An error that another server of the system returned, and that is passed on to the client unchanged."""

    def __init__(self, message: str, reason: str, facts: Mapping[str, str], fields: tuple[FieldError, ...]) -> None:
        super().__init__(message, reason=reason)
        self.facts, self.fields = facts, fields


def to_error(error: grpc.aio.AioRpcError) -> TronError | None:
    """Return the error that another server of the system returned, to pass it on. Return None if it is not about the
    request (the server is unavailable, or the error is a bug), or if it cannot be read."""
    trailers = error.trailing_metadata() or ()
    payload: Any = next((value for key, value in trailers if key == status_details.METADATA_KEY), b"")
    details = status_details.decode(payload)
    fields = tuple(FieldError(name, description) for name, description in details.fields)
    unknown = ("ERROR_REASON_INTERNAL", "ERROR_REASON_DRAINING")
    if details.reason not in REASON_CODES or details.reason in unknown:
        return None
    return PassedOn(error.details() or "", details.reason, details.metadata, fields)


_TASK: ContextVar[ref[asyncio.Task[Any]]] = ContextVar("_TASK")
"""The task of the call that is being handled. A weak reference, because a task refers to its context."""

ABORT_WITHIN = 3.0
"""Seconds that a client has to read the end of its call."""


async def abort(context: grpc.aio.ServicerContext[Any, Any], error: TronError) -> NoReturn:
    """End the call with the error. Raises AbortError. If the client does not read in time, raises CancelledError, so
    that the handler ends; gRPC sends the error to the client once it reads."""
    status = to_status(error)
    del error
    await _abort(context, status)


async def _abort(context: grpc.aio.ServicerContext[Any, Any], status: grpc.Status) -> NoReturn:
    """End the call with this status, as `abort` does.

    gRPC keeps the AbortError in a cycle with the frames through which it passes, and the collector does not visit those
    of a stream that was open for long. So its traceback is dropped in the end; and these frames must not refer to the
    error that is answered, because that has all frames of the handler.
    """
    try:
        async with asyncio.timeout(ABORT_WITHIN):
            await context.abort(status.code, status.details, status.trailing_metadata)
    except TimeoutError:
        raise asyncio.CancelledError from None
    except grpc.aio.AbortError as ended:
        ended.__context__ = None
        _forget_frames_later(ended)
        raise


def _forget_frames_later(ended: grpc.aio.AbortError) -> None:
    """Drop the traceback of the error once the task of its call has ended: gRPC raises the error there again."""
    call = _TASK.get(None)
    if call is not None and (task := call()) is not None:
        task.add_done_callback(partial(_forget_frames, ended))


def _this_task() -> ref[asyncio.Task[Any]]:
    task = asyncio.current_task()
    assert task is not None
    return ref(task)


def _forget_frames(ended: grpc.aio.AbortError, _: object) -> None:
    ended.__traceback__ = None


def _packed(message: Any) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


class _Undecodable:
    """A placeholder for a request whose bytes are not a valid message."""


UNDECODABLE = _Undecodable()


def decoded(request: Any) -> Any:
    """Return the request. Raises InvalidRequest if its bytes could not be decoded. The handler of a stream must call
    this for every message that it reads."""
    if request is UNDECODABLE:
        raise undecodable()
    return request


def _tolerant(deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Return a deserializer that does not raise: gRPC would answer UNKNOWN with the text of the exception."""

    def tolerant(data: bytes) -> Any:
        try:
            return deserialize(data)
        except DecodeError:
            return UNDECODABLE

    return tolerant


class ErrorInterceptor(WrappingInterceptor):
    """Turns the exceptions of handlers into gRPC statuses."""

    def _wrap(self, handler: Any, method: str) -> Handler:
        return _wrap(handler, method)


def _wrap(handler: Any, method: str) -> Handler:
    function, make = kind_of(handler)

    async def fail(error: Exception, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        if isinstance(error, (grpc.aio.AbortError, grpc.aio.InternalError, grpc.aio.UsageError)):
            raise error  # already answered, or nobody is there to be answered
        if isinstance(error, DecodeError):  # a servicer of a library read a message of its stream
            error = undecodable()
        if isinstance(error, NotImplementedError):  # a method of a newer version of a standard service
            error = NotImplementedYet(f"{method} is not implemented")
        if not isinstance(error, TronError) or error.reason not in REASON_CODES:
            log.exception("call_failed", method=method)
            error = InternalError("internal error; see the server's log")
        status = to_status(error)
        del error
        with suppress(grpc.aio.InternalError):  # the client went away meanwhile
            await _abort(context, status)

    if inspect.isasyncgenfunction(function):

        async def answer_many(request: Any, context: Any) -> AsyncIterator[Any]:
            _TASK.set(_this_task())
            try:
                async for response in function(request, context):
                    yield response
            except Exception as error:
                await fail(error, context)

        # A handler that iterates over its requests is that of a library: it gets no placeholder, but the exception.
        return make(answer_many, handler.request_deserializer, handler.response_serializer)

    async def answer(request: Any, context: Any) -> Any:
        _TASK.set(_this_task())
        try:
            return await function(request, context)
        except Exception as error:
            await fail(error, context)

    return make(answer, _tolerant(handler.request_deserializer), handler.response_serializer)
