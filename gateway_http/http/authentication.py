"""The authentication layer around the application of each port: every request needs a caller with the right role,
except on open routes (`Need.authenticated` is False). A stream ends within a second after the credential of its caller
has expired or was revoked, or the session of its caller has ended.

The application runs in the name of the caller, which `grid_hosting.open_calls.current_principal` returns.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager

from grid_model.errors import CredentialExpired, PermissionDenied, TronError, Unauthenticated

from gateway_http.http.admission import acts
from gateway_http.http.asgi import App, Message, Receive, Scope, Send, refuse, with_headers
from gateway_http.http.callers import Caller, Callers, peer_of
from gateway_http.http.problems import headers_of, status_of
from gateway_http.http.route_table import NoRoute, RouteTable
from gateway_http.http.sessions import Session
from grid_hosting.access.audit import AuditKind, AuditRecord, network_of
from grid_hosting.auditing import outcome_of
from grid_hosting.authentication import ANONYMOUS
from grid_hosting.http_rules import HttpRules, Network
from grid_hosting.open_call_checks import LOOK_EVERY, Authority, OpenCallChecks
from grid_hosting.open_calls import OpenCall, OpenCalls, act_as

CALLER = "tron.caller"
"""The key of a scope under which an application finds the Caller; absent on open routes."""

NO_STORE = ((b"cache-control", b"no-store"),)
"""Caches must not store an answer that is meant for one caller. The application may set its own header instead."""

LOGGED_OUT = "the session has ended"
ENDED_WITHIN = 1.0
"""Seconds within which the last bytes of an ended stream must be sent."""

Refusals = Callable[[str, int, str, str], tuple[bytes, bytes]]
"""A function that returns the body and the content type of a refusal, given a path, a status, a text and a reason."""


class HttpAuthentication:
    """Authenticates the callers of all ports of one gateway. While `run` runs, it ends the streams of callers whose
    credential has expired or was revoked, or whose session has ended."""

    def __init__(
        self,
        authority: Authority,
        legacy_open_to: Iterable[Network] = (),
        origins: Iterable[str] = (),
        refused: Callable[[AuditRecord], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        act: Callable[[AuditRecord], Awaitable[None]] | None = None,
    ) -> None:
        """`legacy_open_to`: the networks from which legacy clients may call without a credential. `origins`: the
        origins whose pages may send requests with a token. `refused` receives a record of each refusal for the audit
        log; it must not block. `act` stores a record of a change in the audit log, and raises Draining if it cannot."""
        self.origins = tuple(origins)
        self.callers = Callers(authority, legacy_open_to, clock)
        self.open_calls = OpenCalls()
        """The open streams of all callers."""
        self._refused = refused
        self._act = act
        self._checks = OpenCallChecks(authority, self.open_calls)
        self._streams: dict[Session, set[OpenCall]] = {}

    async def run(self) -> None:
        """Until cancelled, end the streams of callers whose credential has expired or was revoked, or whose session has
        ended."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._checks.run())
            while True:
                await asyncio.sleep(LOOK_EVERY)
                self.end(*self.callers.expire(self.streaming_sessions()))

    def streaming_sessions(self) -> list[Session]:
        """Return the browser sessions that have an open stream."""
        return list(self._streams)

    def end(self, *sessions: Session) -> None:
        """End sessions, and immediately end their open streams."""
        for session in sessions:
            self.callers.sessions.end(session)
            for call in list(self._streams.get(session, ())):
                call.stop(CredentialExpired(LOGGED_OUT))

    def around(self, app: App, routes: RouteTable, rules: HttpRules, refusals: Refusals) -> App:
        """Return the application wrapped in a layer that serves only the callers that `routes` permits. `rules`: the
        HTTP rules of the port, which must already have admitted each request; `refusals` builds the body of a
        refusal."""
        return _Layer(self, app, routes, rules, refusals)

    def count_refusal(
        self, scope: Scope, rules: HttpRules, route: str, error: TronError, caller: Caller | None = None
    ) -> None:
        """Report a refused request to the audit log. Without `caller`, the record names the network of the client, such
        as `network:10.1.2.0/24`, instead of a principal."""
        peer = peer_of(scope, rules)
        actor = network_of(peer) if caller is None else caller.principal.name
        record = AuditRecord(time.time(), AuditKind.REFUSAL, actor, route, "", outcome_of(error), peer)
        self._refused(record)

    async def record_act(self, caller: Caller, route: str) -> None:
        """Record in the audit log that the caller changed something with this route, and return once the record is
        durable. Raises Draining if the record cannot be stored."""
        if self._act is not None:
            await self._act(AuditRecord(time.time(), AuditKind.ACT, caller.principal.name, route, peer=caller.peer))

    @contextmanager
    def opened(self, caller: Caller) -> Iterator[OpenCall]:
        """Register the stream that the current task serves, so that `run` and `end` can end the stream. Yields the
        OpenCall of the stream. When the block ends, the stream is unregistered."""
        with self.open_calls.opened(caller.principal, caller.credential, caller.peer) as call:
            session = caller.session
            if session is None:
                yield call
                return
            self._streams.setdefault(session, set()).add(call)
            try:
                yield call
            finally:
                self._streams[session].discard(call)
                if not self._streams[session]:
                    del self._streams[session]


class _Layer:
    """The authentication layer around the application of one port."""

    def __init__(
        self, authentication: HttpAuthentication, app: App, routes: RouteTable, rules: HttpRules, refusals: Refusals
    ) -> None:
        self._authentication = authentication
        self._app = app
        self._routes = routes
        self._rules = rules
        self._refusals = refusals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["type"] == "http" else "GET"
        route = self._routes.find(method, scope["path"])
        need = None if isinstance(route, NoRoute) else route.need
        name = "HTTP" if isinstance(route, NoRoute) else route.name
        caller: Caller | None = None
        if need is not None and not need.authenticated:
            try:
                await self._authentication.callers.admit(scope)
            except Unauthenticated as error:
                self._authentication.count_refusal(scope, self._rules, name, error)
                await self._refuse(scope, receive, send, error)
                return
            act_as(ANONYMOUS)
            await self._app(scope, receive, send)
            return
        try:
            caller = await self._authentication.callers.identify(scope, self._rules, need, acts=acts(scope))
            if isinstance(route, NoRoute):
                await self._refuse_unknown(scope, receive, send, route)
                return
            if not route.need.permits(caller.principal):
                raise PermissionDenied(f"{name} needs the role {need}, which {caller.principal.name} does not have")
        except TronError as error:
            if isinstance(error, Unauthenticated | PermissionDenied):
                self._authentication.count_refusal(scope, self._rules, name, error, caller)
            await self._refuse(scope, receive, send, error)
            return
        act_as(caller.principal, caller.credential)
        scope[CALLER] = caller
        send = with_headers(send, defaults=NO_STORE)
        if route.need.recorded:
            send = self._recording(scope, receive, send, caller, name)
        if not route.need.stream:
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._stream(scope, receive, send, caller)
        else:
            await self._web_socket(scope, receive, send, caller)

    def _recording(self, scope: Scope, receive: Receive, send: Send, caller: Caller, name: str) -> Send:
        """Return an ASGI `send` that records a change before the answer is sent; if recording fails, the client gets an
        error instead."""
        failed = False

        async def record_first(message: Message) -> None:
            nonlocal failed
            if message["type"] == "http.response.start" and message["status"] < 400:
                try:
                    await self._authentication.record_act(caller, name)
                except TronError as error:
                    failed = True
                    await self._refuse(scope, receive, send, error)
            if not failed:
                await send(message)

        return record_first

    # --- refusals ---------------------------------------------------------------------------------------------------

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, error: TronError) -> None:
        status = status_of(error)
        text = "a valid credential is required" if isinstance(error, Unauthenticated) else error.message
        headers = [(name.lower().encode(), value.encode()) for name, value in headers_of(status).items()]
        if status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        await self._answer(scope, receive, send, status, text, outcome_of(error), headers)

    async def _refuse_unknown(self, scope: Scope, receive: Receive, send: Send, route: NoRoute) -> None:
        if route.allowed:
            allow = [(b"allow", ", ".join(route.allowed).encode())]
            await self._answer(scope, receive, send, 405, "Method Not Allowed", "METHOD_NOT_ALLOWED", allow)
        else:
            await self._answer(scope, receive, send, 404, "Not Found", "NOT_FOUND", [])

    async def _answer(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        status: int,
        text: str,
        reason: str,
        headers: list[tuple[bytes, bytes]],
    ) -> None:
        body, media_type = self._refusals(scope["path"], status, text, reason)
        content = (b"content-type", media_type)
        await refuse(scope, receive, send, body, (content, *headers), status, reason=text)

    # --- streams ----------------------------------------------------------------------------------------------------

    async def _stream(self, scope: Scope, receive: Receive, send: Send, caller: Caller) -> None:
        began = ended = False

        async def noted(message: Message) -> None:
            nonlocal began, ended
            began = began or message["type"] == "http.response.start"
            ended = message["type"] == "http.response.body" and not message.get("more_body", False)
            await send(message)

        with self._authentication.opened(caller) as call:
            try:
                with call:
                    await self._app(scope, receive, noted)
            except TronError as error:
                if error is not call.error:
                    raise
                if not began:
                    await self._refuse(scope, receive, send, error)
                elif not ended:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(ENDED_WITHIN):
                            await send({"type": "http.response.body", "body": b""})

    async def _web_socket(self, scope: Scope, receive: Receive, send: Send, caller: Caller) -> None:
        """Serve a WebSocket. When it is ended, the application sees that its client has disconnected, and cleans up."""
        ended, closed = asyncio.Event(), False

        async def receive_unless_ended() -> Message:
            nonlocal closed
            message = await _next(receive, ended)
            if message is not None:
                return message
            if not closed:
                closed = True
                await send({"type": "websocket.close", "code": 1008, "reason": LOGGED_OUT})
            return {"type": "websocket.disconnect", "code": 1008}

        async def send_unless_ended(message: Message) -> None:
            if not ended.is_set():
                await send(message)

        with self._authentication.opened(caller) as call:
            call.end = lambda _: ended.set()
            await self._app(scope, receive_unless_ended, send_unless_ended)


async def _next(receive: Receive, ended: asyncio.Event) -> Message | None:
    """Return the next message; None if the event is set before one arrives."""
    message, end = asyncio.ensure_future(receive()), asyncio.ensure_future(ended.wait())
    try:
        await asyncio.wait({message, end}, return_when=asyncio.FIRST_COMPLETED)
        return None if ended.is_set() else message.result()
    finally:
        message.cancel()
        end.cancel()
