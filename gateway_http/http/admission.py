"""The layer around every port: refuses requests that the rules of `grid_hosting.http_rules` do not admit, and adds the
headers that restrict what a browser may do with an answer."""

from __future__ import annotations

from gateway_http.http.asgi import App, Receive, Scope, Send, client_of, headers_of, refuse, with_headers
from gateway_http.http.problems import problem_body
from grid_hosting.http_rules import HEADERS, READ, SAFE_METHODS, HttpRules

STREAMS = ("/v1/stream", "/events/stream")
"""Paths that end with one of these serve a stream. Pages of other sites may not open a stream."""

SOCKET_IO = "/socket.io"

PROBLEM = (b"content-type", b"application/problem+json")


class Admission:
    """Wraps the application of one port, and passes on only the requests that `rules` admits (see
    `grid_hosting.http_rules`)."""

    def __init__(self, app: App, rules: HttpRules) -> None:
        self._app = app
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request or connection on to the application, or answer it with a refusal."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        send = with_headers(send, defaults=HEADERS)
        asked = headers_of(scope, READ)
        refusal = self._rules.refuse(asked, client=client_of(scope), version=scope["http_version"], acts=acts(scope))
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            body = problem_body(refusal.status, refusal.detail, refusal.reason)
            await refuse(scope, receive, send, body, (PROBLEM,), refusal.status, reason=refusal.detail)


def acts(scope: Scope) -> bool:
    """Return whether a request changes something or opens a stream; a WebSocket counts as a stream."""
    if scope["type"] != "http" or scope["method"] not in SAFE_METHODS:
        return True
    path: str = scope["path"]
    return scope["method"] != "OPTIONS" and (path.rstrip("/").endswith(STREAMS) or SOCKET_IO in path)
