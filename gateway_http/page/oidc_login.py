"""The login to the dashboard at an issuer (OpenID Connect). The page sends the browser to the issuer, the browser comes
back with a code, and the gateway exchanges the code for an ID token. The rest is a login with a JWT."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from grid_model.errors import PermissionDenied, TronError, Unauthenticated

from gateway_http.http.asgi import client_of, headers_of
from gateway_http.http.authentication import HttpAuthentication
from gateway_http.http.callers import cookie, cookie_values, peer_of, session_numbers
from gateway_http.http.problems import Refused, SafeJSONResponse
from gateway_http.http.route_table import Need
from gateway_http.http.sessions import key_of
from gateway_http.page import messages
from gateway_http.page.files import HEADERS
from gateway_http.page.flow_cookies import FlowCookies, flow_cookie, flow_cookie_name
from gateway_http.page.oidc_flow import Flow, LoginRefused, authorization_url, read_code
from gateway_http.page.oidc_issuer import OidcIssuer
from grid_hosting.addresses import client_block
from grid_hosting.http_rules import READ, HttpRules
from grid_hosting.issuer_http import IssuerUnreachableError
from grid_hosting.open_counts import OpenCounts

PATH = "/session/oidc"
"""POST begins a login; the issuer then sends the browser back to the same path, with GET."""

RANDOM_BYTES = 32
MOST_OF_CLIENT = 8
"""Maximum number of answers of the issuer that are processed at the same time for one client address. Overflow rule: a
further one is refused before its code is used, so it can be sent again."""
MOST_ANSWERS = 64
"""The same maximum for all addresses together: each answer causes a request to the issuer, which may be slow."""


class OidcLogin:
    """Handles the logins of one gateway at one issuer."""

    def __init__(
        self,
        authentication: HttpAuthentication,
        rules: HttpRules,
        need: Need,
        issuer: OidcIssuer,
        root_path: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`rules`: the HTTP rules of the port; `need`: what the dashboard requires of a principal; `root_path`: the
        path prefix under which a proxy serves the page; `clock` returns seconds since the epoch."""
        self._authentication = authentication
        self._rules = rules
        self._need = need
        self._issuer = issuer
        self._path = f"{root_path}{PATH}"
        self._clock = clock
        self._cookies = FlowCookies()
        self._answers = OpenCounts()

    def begin(self, request: Request) -> Response:
        """Begin a login: set the login cookie, and return the URL of the issuer, which the browser opens next. Raises
        PermissionDenied if no page of this port sent the request, because a page of another site could otherwise
        replace a person's session. Raises Refused (503) if the issuer is unreachable."""
        scope = request.scope
        try:
            if not self._rules.is_own_page(headers_of(scope, READ), client_of(scope)):
                raise PermissionDenied("only a page that this port serves may begin a login")
        except PermissionDenied as error:
            self._authentication.count_refusal(scope, self._rules, f"POST {PATH}", error)
            raise
        try:
            provider = self._issuer.provider
        except IssuerUnreachableError:
            raise Refused(503, messages.ISSUER_AWAY) from None
        state, nonce, verifier = (secrets.token_urlsafe(RANDOM_BYTES) for _ in range(3))
        former = tuple(map(key_of, session_numbers(scope, self._rules)[:2]))
        flow = Flow(state, nonce, verifier, former)
        url = authorization_url(provider, self._issuer.settings, flow, self._redirect_uri(request))
        value = self._cookies.seal(flow, self._clock())
        headers = {"set-cookie": flow_cookie(value, tls=self._is_tls(request)), "cache-control": "no-store"}
        return SafeJSONResponse({"url": url}, headers=headers)

    async def answer(self, request: Request) -> Response:
        """Process the issuer's answer: open a session, or return a page that explains why the login failed."""
        peer = peer_of(request.scope, self._rules)
        block = client_block(peer)
        if self._answers.total >= MOST_ANSWERS or self._answers.of(block) >= MOST_OF_CLIENT:
            return _page(503, messages.BUSY)
        with self._answers.one(block):
            return await self._answer(request, peer)

    async def _answer(self, request: Request, peer: str) -> Response:
        tls = self._is_tls(request)
        answer: dict[str, list[str]] = {}
        for name, value in request.query_params.multi_items():
            answer.setdefault(name, []).append(value)
        cookies = cookie_values(request.scope, flow_cookie_name(tls=tls))
        headers: list[str] = []
        try:
            flow = self._cookies.take(cookies, answer.get("state", [""])[0], self._clock())
            headers.append(flow_cookie("", tls=tls))
            code = read_code(answer, self._issuer.provider, self._issuer.settings.issuer)
            token = await self._issuer.exchange(code, flow, self._redirect_uri(request))
            callers = self._authentication.callers
            number, _, ended = await callers.log_in(token, peer, self._need, flow.former)
        except (Unauthenticated, PermissionDenied) as error:
            self._authentication.count_refusal(request.scope, self._rules, f"GET {PATH}", error)
            return _page(403, _why(error), *headers)
        except IssuerUnreachableError:
            return _page(502, messages.ISSUER_AWAY, *headers)
        except TronError:
            return _page(503, messages.REGISTRY_AWAY, *headers)
        self._authentication.end(*ended)
        return _page(200, "", *headers, cookie(number, tls=tls))

    def _is_tls(self, request: Request) -> bool:
        return self._rules.is_tls(headers_of(request.scope, READ), client_of(request.scope))

    def _redirect_uri(self, request: Request) -> str:
        """Return the address of PATH as the browser knows it."""
        origin = self._rules.requested_origin(headers_of(request.scope, READ), client_of(request.scope))
        return f"{origin}{self._path}"


def router(login: OidcLogin) -> APIRouter:
    """Return the routes POST and GET /session/oidc."""
    routes = APIRouter(tags=["session"])

    @routes.post(PATH)
    async def begin(request: Request) -> Any:
        """Begin a login at the issuer: return the URL of the issuer, which the browser opens next. Only a page that
        this port serves may send this request."""
        return login.begin(request)

    @routes.get(PATH, include_in_schema=False)
    async def answer(request: Request) -> Any:
        return await login.answer(request)

    return routes


def _why(error: TronError) -> str:
    match error:
        case LoginRefused():
            return error.message
        case Unauthenticated():
            return messages.TOKEN_REFUSED
    return messages.may_nothing(error.message)


def _page(status: int, why: str, *cookies: str) -> Response:
    """Return the page that the browser shows between the issuer and the dashboard.

    Without `why`, the person is logged in, and the page goes to the dashboard. A redirect would not do: the browser
    would count the request for the dashboard to the site of the issuer, and send it without the cookie of the session.
    """
    refresh = "" if why else '<meta http-equiv="refresh" content="0; url=../" />'
    title = messages.NOT_LOGGED_IN if why else messages.LOGGED_IN
    link = messages.AGAIN if why else messages.CONTINUE
    body = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8" /><title>System Status</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1" />'
        f'<meta name="color-scheme" content="light dark" />{refresh}'
        '<link rel="stylesheet" href="../dashboard/dashboard.css" /></head><body><section class="login">'
        f'<div class="login-form"><h2 class="login-title">{escape(title)}</h2>'
        f'<p id="login-answer">{escape(why)}</p><a href="../">{escape(link)}</a></div></section></body></html>\n'
    )
    answer = HTMLResponse(body, status, {**HEADERS, "cache-control": "no-store"})
    for each in cookies:
        answer.headers.append("set-cookie", each)
    return answer
