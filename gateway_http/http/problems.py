"""Error responses: converts the errors of the SDK to HTTP statuses, and makes the values that clients sent safe to
show."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from tron_client import AlertNotFound, InvalidRequest, NotImplementedYet, ServiceNotFound, TronError
from tron_client.errors import RETRYABLE, CredentialExpired, PermissionDenied, Unauthenticated

from gateway_http.http.json_bounds import showable

RETRY_AFTER_S = "1"
PROBLEM_TYPE = "application/problem+json"


def status_of(error: TronError) -> int:
    """Return the HTTP status for an error of the SDK."""
    match error:
        case ServiceNotFound() | AlertNotFound():
            return 404
        case InvalidRequest():
            return 422
        case Unauthenticated() | CredentialExpired():
            return 401
        case PermissionDenied():
            return 403
        case NotImplementedYet():
            return 501
        case _ if isinstance(error, RETRYABLE):
            return 503
    return 502


def headers_of(status: int) -> dict[str, str]:
    """Return the additional headers of an error response: `Retry-After` for status 503, and none for any other
    status."""
    return {"Retry-After": RETRY_AFTER_S} if status == 503 else {}


class Refused(Exception):
    """Raised to answer a request with this HTTP status and this detail, in the format of `error_response`."""

    def __init__(self, status: int, detail: str | list[dict[str, Any]]) -> None:
        super().__init__(str(detail))
        self.status = status
        self.detail = detail


def shown_errors(error: RequestValidationError) -> list[dict[str, Any]]:
    """Return the validation errors of pydantic as JSON objects. Values that the client sent are made safe to show."""
    return [
        {key: showable(value) for key, value in each.items() if key in ("type", "loc", "msg", "input", "ctx")}
        for each in error.errors()
    ]


class SafeJSONResponse(JSONResponse):
    """A JSON response in the format of the legacy services: compact, and in UTF-8."""

    def render(self, content: Any) -> bytes:
        """Return the content as JSON, encoded in UTF-8."""
        return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def error_response(
    path: str, status: int, detail: str | list[dict[str, Any]], headers: Mapping[str, str] | None = None
) -> Response:
    """Return an error response: problem+json for a path below /v1, and otherwise the legacy format `{"detail": ...}`.
    `detail` is a text, or a list of invalid fields."""
    headers = {**headers_of(status), **(headers or {})}
    if not path.startswith("/v1/"):
        return SafeJSONResponse({"detail": detail}, status, headers)
    wrong = detail if isinstance(detail, list) else []
    text = "; ".join(str(each["msg"]) for each in wrong) if wrong else detail
    return SafeJSONResponse({**_problem(status, text), "errors": wrong}, status, headers, media_type=PROBLEM_TYPE)


def refusal_body(path: str, status: int, text: str, reason: str) -> tuple[bytes, bytes]:
    """Return the body and the content type of a refusal, in the format of `error_response`. For a path below /v1, the
    body also contains `reason`."""
    if not path.startswith("/v1/"):
        return json.dumps({"detail": text}, ensure_ascii=False).encode(), b"application/json"
    return problem_body(status, text, reason), PROBLEM_TYPE.encode()


def problem_body(status: int, text: str, reason: str) -> bytes:
    """Return the body of a refusal in the format of RFC 9457 (problem+json), with the additional field `reason`."""
    document = {**_problem(status, text), "reason": reason, "errors": []}
    return json.dumps(document, ensure_ascii=False).encode()


def _problem(status: int, detail: object) -> dict[str, object]:
    return {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}


def what_is_wrong(error: HTTPException) -> str:
    """Return the text of an HTTP error that the framework raised. If the body of the request could not be read, the
    text says why."""
    match error.__cause__:
        case UnicodeDecodeError(object=body, start=start):
            return f"the body is not valid UTF-8: byte 0x{body[start]:02x} at position {start}"
        case RecursionError():
            return "the body is nested too deeply to be read"
        case ValueError() as cause if error.status_code == 400:
            return f"the body cannot be read: {cause}"
    return str(error.detail)


def install_errors(app: FastAPI) -> None:
    """Make an app answer all errors in the format of `error_response`."""

    def answer(request: Request, status: int, detail: Any, headers: Mapping[str, str] | None = None) -> Response:
        return error_response(request.url.path, status, detail, headers)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return answer(request, 422, shown_errors(error))

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        return answer(request, error.status, error.detail)

    async def failed(request: Request, error: Exception) -> Response:
        assert isinstance(error, TronError)
        detail: Any = error.message or error.reason
        if isinstance(error, InvalidRequest) and error.fields:
            detail = [
                {"type": "value_error", "loc": ["body", each.field], "msg": each.description, "input": None}
                for each in error.fields
            ]
        return answer(request, status_of(error), detail)

    async def http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return answer(request, error.status_code, what_is_wrong(error), error.headers)

    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(TronError, failed)
    app.add_exception_handler(HTTPException, http_error)
