"""Completes /openapi.json with the error responses that FastAPI does not describe, such as problem+json below /v1."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, Field

from gateway_http.http.problems import PROBLEM_TYPE


class Problem(BaseModel):
    """An error response in the format of RFC 9457 (problem+json)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[dict[str, Any]] = Field(default_factory=list)
    """The invalid parameters, if any."""


def problem(status: int, description: str) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of a problem+json response with this status, for a route below /v1."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {status: {"description": description, "content": {PROBLEM_TYPE: {"schema": schema}}}}


def describe(app: FastAPI) -> None:
    """Add the schema `Problem`, for error responses, to the OpenAPI document of an app."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
            schemas = schema.setdefault("components", {}).setdefault("schemas", {})
            schemas["Problem"] = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
