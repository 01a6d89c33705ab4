"""The pages `/docs` and `/redoc` of each port, with all their files served from here, so that they work without the
internet.

FastAPI's own pages load their scripts from other hosts, and stay blank if these cannot be reached. The files come from
the package `fastapi-offline`; all addresses are relative, so that a proxy may serve the port under any path.
"""

from __future__ import annotations

from pathlib import Path

import fastapi_offline
from fastapi import FastAPI
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

DOCS, REDOC = "/docs", "/redoc"
_ASSETS = "docs-assets"
_POLICY = "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'"
"""Redoc would load its maker's logo from another host."""

_FOLDER = Path(fastapi_offline.__file__).parent / "static"


def add_docs(app: FastAPI) -> None:
    """Add the pages to an app, which must have been created with `docs_url=None, redoc_url=None`."""
    swagger = get_swagger_ui_html(
        openapi_url="openapi.json",
        title=f"{app.title}: API",
        swagger_js_url=f"{_ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{_ASSETS}/swagger-ui.css",
        swagger_favicon_url=f"{_ASSETS}/favicon.png",
    )
    redoc = get_redoc_html(
        openapi_url="openapi.json",
        title=f"{app.title}: API",
        redoc_js_url=f"{_ASSETS}/redoc.standalone.js",
        redoc_favicon_url=f"{_ASSETS}/favicon.png",
        with_google_fonts=False,
    )

    for page in (swagger, redoc):
        page.headers["content-security-policy"] = _POLICY

    async def show_swagger(_: Request) -> HTMLResponse:
        return swagger

    async def show_redoc(_: Request) -> HTMLResponse:
        return redoc

    app.add_route(DOCS, show_swagger, include_in_schema=False)
    app.add_route(REDOC, show_redoc, include_in_schema=False)
    app.mount(f"/{_ASSETS}", StaticFiles(directory=_FOLDER), name=_ASSETS)
