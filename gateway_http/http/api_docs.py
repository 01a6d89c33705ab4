"""The pages `/docs` and `/redoc` of each port. The gateway serves all their files itself, so that they work without the
internet.

FastAPI's own pages load scripts from other hosts and contain inline scripts; the content security policy of the gateway
forbids both. The files come from the package `fastapi-offline`; all addresses are relative, so that a proxy may serve
the port under any path.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

import fastapi_offline
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

DOCS, REDOC = "/docs", "/redoc"
_ASSETS = "docs-assets"
_START = "start-swagger-ui.js"

_COMMON = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; font-src 'self' data:; img-src 'self' data: blob:; "
    # Both programs write styles into the page while they run.
    "style-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_POLICIES = {DOCS: _COMMON, REDOC: f"{_COMMON}; worker-src blob:"}
"""The content security policy of each page. Redoc searches in a worker; it would also load a logo from another host,
which its policy forbids."""

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: API</title>
<link rel="shortcut icon" href="{assets}/favicon.png">
{head}</head>
<body>
{body}</body>
</html>
"""

_SWAGGER_HEAD = '<link rel="stylesheet" href="{assets}/swagger-ui.css">\n'
_SWAGGER = """<div id="swagger-ui" data-url="openapi.json"></div>
<script src="{assets}/swagger-ui-bundle.js"></script>
<script src="{assets}/{start}"></script>
"""
_SWAGGER_START = b"""SwaggerUIBundle({
  url: document.getElementById("swagger-ui").dataset.url,
  dom_id: "#swagger-ui",
  layout: "BaseLayout",
  deepLinking: true,
  showExtensions: true,
  showCommonExtensions: true,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset],
});
"""
_REDOC = """<redoc spec-url="openapi.json"></redoc>
<script src="{assets}/redoc.standalone.js"></script>
"""

_FOLDER = Path(fastapi_offline.__file__).parent / "static"


def add_docs(app: FastAPI) -> None:
    """Add the pages `/docs` and `/redoc` to an app, which must have been created with `docs_url=None,
    redoc_url=None`."""
    head = _SWAGGER_HEAD.format(assets=_ASSETS)
    pages = {
        DOCS: _page(app.title, _SWAGGER.format(assets=_ASSETS, start=_START), head),
        REDOC: _page(app.title, _REDOC.format(assets=_ASSETS)),
    }

    async def show(request: Request) -> HTMLResponse:
        path = DOCS if request.url.path.endswith(DOCS) else REDOC
        return HTMLResponse(pages[path], headers={"content-security-policy": _POLICIES[path]})

    async def start(_: Request) -> Response:
        return Response(_SWAGGER_START, media_type="text/javascript")

    for path in pages:
        app.add_route(path, show, include_in_schema=False)
    app.add_route(f"/{_ASSETS}/{_START}", start, include_in_schema=False)
    app.mount(f"/{_ASSETS}", StaticFiles(directory=_FOLDER), name=_ASSETS)


def _page(title: str, body: str, head: str = "") -> str:
    return _PAGE.format(title=escape(title), assets=_ASSETS, head=head, body=body)
