"""The routes of the dashboard's files. The dashboard reads its data from /v1."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header
from fastapi.responses import Response

from gateway_http.http.problems import Refused
from gateway_http.page.files import HEADERS, load_page


def router(root_path: str = "", *, secured: bool = False, issuer: str = "") -> APIRouter:
    """Return the routes `/` and `/dashboard/...`. `root_path`: the path prefix under which a proxy serves them;
    `secured`: whether people must log in; `issuer`: the name of the issuer at which they can log in."""
    routes = APIRouter(include_in_schema=False)
    files = load_page(root_path=root_path, secured=secured, issuer=issuer)

    def send_file(name: str, if_none_match: str) -> Response:
        file = files.get(name)
        if file is None:
            raise Refused(404, "Not Found")
        headers = {**HEADERS, "etag": file.etag}
        if file.etag in if_none_match.split(", "):
            return Response(None, 304, headers)
        return Response(file.body, 200, headers, file.media_type)

    @routes.api_route("/", methods=["GET", "HEAD"])
    async def page(if_none_match: Annotated[str, Header()] = "") -> Response:
        return send_file("index.html", if_none_match)

    @routes.api_route("/dashboard/{name}", methods=["GET", "HEAD"])
    async def page_file(name: str, if_none_match: Annotated[str, Header()] = "") -> Response:
        return send_file(name, if_none_match)

    return routes
