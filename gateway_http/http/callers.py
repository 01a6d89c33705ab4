"""Identifies the caller of a request: by its bearer token, by its session cookie, or by the address of the client if
legacy clients with this address may call without a credential."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from grid_model.access import Principal
from grid_model.errors import PermissionDenied, TronError, Unauthenticated

from gateway_http.http.asgi import Scope, client_of, headers_of, serial_of
from gateway_http.http.route_table import Need
from gateway_http.http.sessions import LONGEST, Session, Sessions
from grid_hosting.addresses import grpc_peer
from grid_hosting.credential import Credential, bearer_credential, bearer_token
from grid_hosting.http_rules import FORWARDED_FOR, READ, HttpRules, Network, in_networks
from grid_hosting.open_call_checks import Authority, principal_of

LEGACY = "token:legacy"
"""The principal of callers that `legacy_open_to` admits. Its rights are granted like those of any other principal."""

COOKIE = "__Host-tron-session"
"""The name of the session cookie over TLS. Because of its prefix, browsers accept it only over TLS, and send it only to
the host that set it."""

PLAIN_COOKIE = "tron-session"
"""The name of the session cookie without TLS, where browsers reject the prefix `__Host-`."""

NUMBER_BYTES = 32

NOBODY_GUESSES = ""
"""Passed in place of an address if the caller sent no secret: a refusal then does not count as a failed attempt, and is
not delayed."""

_AUTHORIZATION, _COOKIE = b"authorization", b"cookie"
_PROXY = (b"forwarded", b"via", b"x-real-ip")
_PROXY_PREFIX = b"x-forwarded-"


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of one request: its principal, credential, address and session."""

    principal: Principal
    credential: Credential = field(repr=False)
    peer: str
    """The address of the client in the format of gRPC."""
    session: Session | None = None


class Callers:
    """Identifies the callers of all ports of a gateway, and stores their sessions."""

    def __init__(
        self,
        authority: Authority,
        legacy_open_to: Iterable[Network] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`legacy_open_to`: the networks from which a request without a credential is attributed to the principal
        `LEGACY`."""
        self._authority = authority
        self._legacy_networks = tuple(legacy_open_to)
        self._clock = clock
        self.sessions = Sessions()

    async def identify(self, scope: Scope, rules: HttpRules, need: Need | None, *, acts: bool) -> Caller:
        """Return the caller of a request that `rules` has admitted. `need`: the requirements of its route, or None if
        there is no such route; `acts`: whether the request changes something or opens a stream.

        Raises Unauthenticated if there is no valid credential, and PermissionDenied if a request with a session cookie
        changes something or opens a stream, but its headers do not prove that a page of this port sent it. Raises
        another TronError if the caller cannot be identified now.
        """
        asked = headers_of(scope, READ | {_AUTHORIZATION})
        client, peer = client_of(scope), peer_of(scope, rules)
        numbers, serial = session_numbers(scope, rules), serial_of(scope)
        credential = bearer_credential(asked.get(_AUTHORIZATION, ()))
        if credential is not None and not numbers:
            credential = replace(credential, serial=serial)
            return Caller(await self._principal(credential, peer), credential, peer)
        if numbers:
            if len(numbers) > 1 or credential is not None:
                raise Unauthenticated
            if acts and not rules.is_own_page(asked, client):
                raise PermissionDenied(
                    "a request with a session cookie may change data or open a stream only if it comes from a page of "
                    "this port"
                )
            return await self._of_session(numbers[0], peer, serial)
        if need is not None and need.legacy and self._is_legacy(scope, rules):
            credential = Credential(principal=LEGACY, serial=serial)
            return Caller(await self._principal(credential, NOBODY_GUESSES), credential, peer)
        raise Unauthenticated

    async def admit(self, scope: Scope) -> None:
        """Check the client certificate of a request to an open route, which needs no authentication. Raises
        Unauthenticated if the certificate is refused. A request without a certificate is admitted, and so is one whose
        certificate cannot be checked now."""
        if serial := serial_of(scope):
            try:
                await self._principal(Credential(serial=serial), NOBODY_GUESSES)
            except Unauthenticated:
                raise
            except TronError:
                return

    async def log_in(
        self, token: str, peer: str, need: Need, former: Iterable[str] = ()
    ) -> tuple[str, Caller, list[Session]]:
        """Open a session for a token. Return the random number for the session cookie, the caller, and the sessions
        that ended because the new session was opened.

        `need`: what the dashboard requires of a principal; `former`: the keys of the browser's earlier sessions, which
        end. Raises Unauthenticated if the token is not valid, and PermissionDenied if the principal of the token does
        not fulfill `need`.
        """
        credential = Credential(token=bearer_token(f"Bearer {token}"))
        principal = await self._principal(credential, peer)
        if not need.permits(principal):
            raise PermissionDenied(f"the dashboard needs the role {need}, which {principal.name} does not have")
        now = self._clock()
        replaced = [each for old in former if (each := self.sessions.of_key(old, now)) is not None]
        for each in replaced:
            self.sessions.end(each)
        number = secrets.token_urlsafe(NUMBER_BYTES)
        session, ended = self.sessions.begin(number, principal.name, credential, now)
        return number, Caller(principal, credential, peer, session), [*replaced, *ended]

    def expire(self, in_use: Iterable[Session]) -> list[Session]:
        """End the sessions that have been idle or open for too long, and return them. `in_use`: the sessions with an
        open stream, which are not idle."""
        return self.sessions.expire(self._clock(), in_use)

    async def _of_session(self, number: str, peer: str, serial: str) -> Caller:
        session = self.sessions.find(number, self._clock())
        if session is None:
            raise Unauthenticated
        credential = replace(session.credential, serial=serial)
        try:
            principal = await self._principal(credential, NOBODY_GUESSES)
        except Unauthenticated:
            self.sessions.end(session)
            raise
        if not self.sessions.is_open(session, self._clock()):  # it has ended while the authority was asked
            raise Unauthenticated
        return Caller(principal, credential, peer, session)

    async def _principal(self, credential: Credential, peer: str) -> Principal:
        principal = await principal_of(self._authority, credential, peer)
        if principal.has_ended(datetime.now(UTC)):
            raise Unauthenticated
        return principal

    def _is_legacy(self, scope: Scope, rules: HttpRules) -> bool:
        """Return whether a request comes directly from a legacy client: a proxy or a browser on a listed address would
        pass on requests of others."""
        client = client_of(scope)
        if not in_networks(client, self._legacy_networks) or rules.is_trusted_proxy(client):
            return False
        names = {name for name, _ in scope["headers"]}
        if any(each in _PROXY or each.startswith(_PROXY_PREFIX) for each in names):
            return False
        asked = headers_of(scope, READ)
        return not rules.is_of_page(asked) or rules.is_own_page(asked, client)


def peer_of(scope: Scope, rules: HttpRules) -> str:
    """Return the address of the client of a request in the format of gRPC. For a client behind a trusted proxy, the
    port is 0."""
    client = scope.get("client")
    if not client:
        return "unknown:"
    connected, port = client
    host = rules.reported_client(headers_of(scope, {FORWARDED_FOR}), connected)
    return grpc_peer(host, port if host == connected else 0)


def session_numbers(scope: Scope, rules: HttpRules) -> list[str]:
    """Return the session numbers in the cookies of a request."""
    tls = rules.is_tls(headers_of(scope, READ), client_of(scope))
    return cookie_values(scope, _cookie_name(tls=tls))


def cookie(number: str, *, tls: bool) -> str:
    """Return the value of the Set-Cookie header that stores a session number in a browser. An empty number deletes the
    cookie."""
    age = int(LONGEST) if number else 0
    secure = "; Secure" if tls else ""
    return f"{_cookie_name(tls=tls)}={number}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}"


def _cookie_name(*, tls: bool) -> str:
    return COOKIE if tls else PLAIN_COOKIE


def cookie_values(scope: Scope, name: str) -> list[str]:
    """Return the values of all cookies in a request that have this name."""
    found = []
    for header in headers_of(scope, {_COOKIE}).get(_COOKIE, ()):
        for each in header.decode("latin-1").split(";"):
            known, separator, value = each.strip().partition("=")
            if separator and known == name:
                found.append(value)
    return found
