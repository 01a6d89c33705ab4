"""The login to the dashboard with a token, which is exchanged for a session cookie that scripts on the page cannot
read."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from grid_model.errors import PermissionDenied, Unauthenticated
from pydantic import BaseModel, Field

from gateway_http.http.asgi import client_of, headers_of
from gateway_http.http.authentication import CALLER, HttpAuthentication
from gateway_http.http.callers import Caller, cookie, peer_of, session_numbers
from gateway_http.http.problems import SafeJSONResponse
from gateway_http.http.route_table import Need
from gateway_http.http.sessions import key_of
from grid_hosting.credential import MOST_BYTES
from grid_hosting.http_rules import READ, HttpRules

LOGIN = "POST /session"

MOST_BODY = 16 << 10
"""Maximum size of the body of a login, in bytes: a token has at most MOST_BYTES."""


class Login(BaseModel):
    """The body of POST /session."""

    token: Annotated[str, Field(max_length=MOST_BYTES, repr=False)]


def router(authentication: HttpAuthentication, rules: HttpRules, need: Need) -> APIRouter:
    """Return the routes `/session`. `rules`: the HTTP rules of the port; `need`: what the dashboard requires of a
    principal."""

    class OwnPageRoute(APIRoute):
        """A route that checks which page sent a login before its body is read, because anybody may send one."""

        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            """Return the handler of the route, with the check before it."""
            handle = super().get_route_handler()

            async def checked(request: Request) -> Response:
                if request.method == "POST":
                    check_page(request)
                return await handle(request)

            return checked

    routes = APIRouter(tags=["session"], route_class=OwnPageRoute)

    def check_page(request: Request) -> None:
        if rules.is_own_page(headers_of(request.scope, READ), client_of(request.scope)):
            return
        error = PermissionDenied("only pages of this port can log in; programs must send Authorization: Bearer")
        authentication.count_refusal(request.scope, rules, LOGIN, error)
        raise error

    def is_tls(request: Request) -> bool:
        return rules.is_tls(headers_of(request.scope, READ), client_of(request.scope))

    @routes.get("/session")
    async def who(request: Request) -> dict[str, Any]:
        """Return the caller's principal and roles, and whether the caller has a session that can be logged out."""
        return _shown(request.scope[CALLER])

    @routes.post("/session", max_body_size=MOST_BODY)
    async def log_in(request: Request, body: Login) -> Response:
        """Log in with a token: open a session, and set the session cookie. The browser's former session ends. Only a
        page that this port serves may send this request."""
        peer = peer_of(request.scope, rules)
        try:
            former = map(key_of, session_numbers(request.scope, rules))
            number, caller, ended = await authentication.callers.log_in(body.token, peer, need, former)
        except (Unauthenticated, PermissionDenied) as error:
            authentication.count_refusal(request.scope, rules, LOGIN, error)
            if isinstance(error, Unauthenticated):
                raise Unauthenticated("this token is not valid") from None
            raise
        authentication.end(*ended)
        return SafeJSONResponse(_shown(caller), headers={"set-cookie": cookie(number, tls=is_tls(request))})

    @routes.delete("/session")
    async def log_out(request: Request) -> Response:
        """End the caller's session and its open streams, and delete the cookie."""
        caller: Caller = request.scope[CALLER]
        if caller.session is not None:
            authentication.end(caller.session)
        return Response(status_code=204, headers={"set-cookie": cookie("", tls=is_tls(request))})

    return routes


def _shown(caller: Caller) -> dict[str, Any]:
    roles = sorted(role.name.lower() for role in caller.principal.roles)
    return {"principal": caller.principal.name, "roles": roles, "session": caller.session is not None}
