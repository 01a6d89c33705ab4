"""The cookies of logins by OpenID Connect: each carries one login that is under way, encrypted and authenticated, and
is accepted for one answer of the issuer."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict

from cryptography.fernet import Fernet, InvalidToken

from gateway_http.page import messages
from gateway_http.page.oidc_flow import Flow, LoginRefused, is_same

WITHIN = 600
"""Seconds within which the answer of the issuer must come."""

MOST_USED = 10_000
"""Answered logins whose cookie would still be accepted. Overflow rule: the oldest is forgotten; the issuer accepts a
code only once, too."""

COOKIE = "__Host-tron-login"
PLAIN_COOKIE = "tron-login"
"""The name without TLS, where browsers do not accept the other one."""


class FlowCookies:
    """The cookies of one gateway; the key is new at each start, so a login ends at the gateway at which it began."""

    def __init__(self) -> None:
        self._fernet = Fernet(Fernet.generate_key())
        self._used: OrderedDict[str, float] = OrderedDict()

    def seal(self, flow: Flow, now: float) -> str:
        """Return the value of the cookie of a login that begins now, in seconds since the epoch."""
        return self._fernet.encrypt_at_time(json.dumps(asdict(flow)).encode(), int(now)).decode()

    def take(self, values: Sequence[str], state: str, now: float) -> Flow:
        """Return the login of a cookie to which the answer of the issuer with this `state` belongs. It cannot be taken
        again. Raises LoginRefused."""
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
    """Return the value of the header that gives a browser the cookie of its login; that takes it away, if the value is
    empty. The answer of the issuer comes from another site, so the cookie is not SameSite=Strict."""
    age = WITHIN if value else 0
    secure = "; Secure" if tls else ""
    return f"{flow_cookie_name(tls=tls)}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax{secure}"


def flow_cookie_name(*, tls: bool) -> str:
    """Return the name of the cookie."""
    return COOKIE if tls else PLAIN_COOKIE
