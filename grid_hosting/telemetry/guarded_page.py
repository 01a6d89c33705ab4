"""Applies the rules and headers of all HTTP ports to the metrics page of a program without an HTTP server of its
own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from grid_hosting.http_hosts import split_target
from grid_hosting.http_rules import HEADERS, HOST, HttpRules
from grid_hosting.telemetry.scrapers import Scrapers

Headers = list[tuple[str, str]]
Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

CERTIFICATE_SERIAL = "tron.certificate_serial"
"""The key, in the WSGI environment of a request, for the serial number of the client certificate. The serial number is
empty if there is no certificate."""

_ADDED = [(name.decode(), value.decode()) for name, value in HEADERS]


def guarded(page: Wsgi, rules: HttpRules, scrapers: Scrapers | None = None) -> Wsgi:
    """Return a WSGI application that serves a page to the requests that the rules admit. A request for the page must
    not change anything. `scrapers` decides which callers are served; if it is None, all callers are."""

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        def start(status: str, headers: Headers, *rest: Any) -> Any:
            return start_response(status, [*headers, *_ADDED], *rest)

        asked = {HOST: [environ["HTTP_HOST"].encode("latin-1")]} if "HTTP_HOST" in environ else {}
        version = environ.get("SERVER_PROTOCOL", "").rpartition("/")[2]
        refusal = rules.refuse(asked, version=version)
        if refusal is None and scrapers is not None:
            authorization, serial = environ.get("HTTP_AUTHORIZATION", ""), environ.get(CERTIFICATE_SERIAL, "")
            refusal = scrapers.refuse(authorization, serial)
        if refusal is None:
            return page(environ, start)
        title = HTTPStatus(refusal.status).phrase
        problem = {"type": "about:blank", "title": title, "status": refusal.status}
        body = json.dumps({**problem, "detail": refusal.detail, "reason": refusal.reason}).encode()
        headers = [("content-type", "application/problem+json")]
        if refusal.status == 401:
            headers.append(("www-authenticate", "Bearer"))
        start(f"{refusal.status} {title}", headers)
        return [body]

    return serve


def with_asked_host(environ: dict[str, Any], target: str) -> dict[str, Any]:
    """Return the WSGI environment of a request. If the request target is a full URL, its host replaces the host of the
    Host header, as RFC 9112 requires. A host that is not valid is refused by the rules later."""
    if target.startswith("/"):
        return environ
    return {**environ, "HTTP_HOST": split_target(target)[0]}
