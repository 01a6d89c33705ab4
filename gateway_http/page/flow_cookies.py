"""The cookies of logins by OpenID Connect: each stores one login in progress, encrypted and authenticated, and is
accepted for one answer of the issuer."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict

from cryptography.fernet import Fernet, InvalidToken

from gateway_http.page import messages
from gateway_http.page.oidc_flow import Flow, LoginRefused, is_same

WITHIN = 600
"""Seconds within which the issuer's answer must arrive."""

MOST_USED = 10_000
"""Maximum number of finished logins that are remembered, so that their cookies are not accepted again. Overflow rule:
the oldest is forgotten; the issuer accepts its code only once anyway."""

COOKIE = "__Host-tron-login"
PLAIN_COOKIE = "tron-login"
"""The name of the login cookie without TLS, where browsers reject the prefix `__Host-`."""


class FlowCookies:
    """Creates and accepts the login cookies of one gateway. The key that encrypts the cookies is new at each start of
    the gateway, so a login must finish at the gateway process that began it."""

    def __init__(self) -> None:
        self._fernet = Fernet(Fernet.generate_key())
        self._used: OrderedDict[str, float] = OrderedDict()

    def seal(self, flow: Flow, now: float) -> str:
        """Return the value of the cookie for a login that begins at `now`, in seconds since the epoch."""
        return self._fernet.encrypt_at_time(json.dumps(asdict(flow)).encode(), int(now)).decode()

    def take(self, values: Sequence[str], state: str, now: float) -> Flow:
        """Return the login in a cookie, if it belongs to the issuer's answer with this `state`. Each login can be taken
        only once. Raises LoginRefused if there is not exactly one valid cookie, or if the cookie belongs to another
        login."""
        if len(values) != 1:
            raise LoginRefused(messages.NO_LOGIN)
        try:
            content = json.loads(self._fernet.decrypt_at_time(values[0].encode(), WITHIN, int(now)))
        except InvalidToken:
            raise LoginRefused(messages.NO_LOGIN) from None
        flow = Flow(**{**content, "former": tuple(content["former"])})
        if not is_same(flow.state, state):
            raise LoginRefused(messages.OTHER_LOGIN)
        while self._used and now - next(iter(self._used.values())) > WITHIN:
            self._used.popitem(last=False)
        if flow.state in self._used:
            raise LoginRefused(messages.NO_LOGIN)
        if len(self._used) >= MOST_USED:
            self._used.popitem(last=False)
        self._used[flow.state] = now
        return flow


def flow_cookie(value: str, *, tls: bool) -> str:
    """Return the value of the Set-Cookie header for the login cookie. An empty value deletes the cookie. The cookie is
    not SameSite=Strict, because the issuer's answer comes from another site."""
    age = WITHIN if value else 0
    secure = "; Secure" if tls else ""
    return f"{flow_cookie_name(tls=tls)}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax{secure}"


def flow_cookie_name(*, tls: bool) -> str:
    """Return the name of the login cookie, with or without TLS."""
    return COOKIE if tls else PLAIN_COOKIE
