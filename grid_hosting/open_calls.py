"""The open streams of a server by their credentials: each is ended once its credential ends, is revoked, or has other
rights."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

from grid_model.access import LOCAL, Principal
from grid_model.errors import CredentialExpired, TronError

from grid_hosting.credential import Credential
from grid_hosting.drain_time import drain_before

EXTEND_WITHIN = 30.0
"""Seconds over which clients connect again to use further rights."""

FAREWELL = 3.0
"""Seconds that a client has to read the message that is on its way when its stream ends."""

_current: ContextVar[OpenCall | None] = ContextVar("open_call", default=None)
_principal: ContextVar[Principal] = ContextVar("principal", default=LOCAL)
_credential: ContextVar[Credential | None] = ContextVar("credential", default=None)
_relay: ContextVar[str] = ContextVar("relay", default="")


def current_principal() -> Principal:
    """Return the caller of the handler that runs now; LOCAL without authentication."""
    return _principal.get()


def current_relay() -> str:
    """Return the name of the relay that forwarded the token of the current caller; empty if it called itself."""
    return _relay.get()


def forwarded_by(relay: str) -> None:
    """Set the relay of the call that runs now."""
    _relay.set(relay)


def current_call() -> OpenCall | None:
    """Return the stream whose handler runs now; None without authentication, and for a unary call."""
    return _current.get()


def current_credential() -> Credential | None:
    """Return the credential of the caller of the handler that runs now; None without one."""
    return _credential.get()


def act_as(principal: Principal, credential: Credential | None = None) -> None:
    """Set the caller of the handler that runs now: of this task, and of the tasks that it starts later."""
    _principal.set(principal)
    _credential.set(credential)


class OpenCall:
    """One open stream. A handler that has its own way to end replaces `end`, and may set `drain`. As a context
    manager, it surrounds each part of the handler that may be cancelled."""

    def __init__(
        self, principal: Principal, credential: Credential | None, peer: str, now: datetime, draw: float = 0.5
    ) -> None:
        """`draw`: a random number, 0 to 1."""
        self.principal = principal
        self.credential = credential
        self.peer = peer
        self.end: Callable[[TronError], None] = self._cancel
        """Ends the stream with an error; called at most once."""
        self.drain: Callable[[float], None] | None = None
        """Asks the client to open its next stream, with a renewed credential, within this many seconds; called once, as
        `drain_time` decides."""
        self.error: TronError | None = None
        """Why the stream is ended."""
        self.lost_rights: Callable[[], TronError | None] | None = None
        """Returns why the stream must end although the rights of its caller have not changed: those of others, for
        which it speaks, have."""
        self.abandon: Callable[[TronError], None] | None = None
        """Sends the error to a client that does not read, FAREWELL seconds after the end, before the call is
        cancelled."""
        self._task = asyncio.current_task()
        self._inside = False
        self._cancelled = False
        self._overdue: asyncio.TimerHandle | None = None
        self._opened_at, self._draw = now, draw
        self._drained = False

    def __enter__(self) -> None:
        """Enter a part of the handler that may be cancelled. Raises the error that ends the stream."""
        if self.error is not None:
            raise self.error
        self._inside = True

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        """Leave it. Raises the error that ends the stream if that is why the handler was cancelled."""
        self._inside = False
        if isinstance(error, asyncio.CancelledError) and self._cancelled and self._task and self.error is not None:
            # gRPC sends no status for a cancelled handler, and its client would wait forever.
            self._task.uncancel()
            raise self.error from None

    def check_time(self, now: datetime, streams: int) -> None:
        """End the stream if its credential has ended; ask the client to open its next one before. `streams`: the open
        streams whose credentials end."""
        ends_at = self.principal.ends_at
        if ends_at is None:
            return
        if self.principal.has_ended(now):
            self.stop(CredentialExpired("the credential of this call has ended"))
        elif self.drain is not None and not self._drained:
            left = (ends_at - now).total_seconds()
            if left <= drain_before((ends_at - self._opened_at).total_seconds(), streams, self._draw):
                self._drained = True
                self.drain(left)

    def extend(self, principal: Principal) -> None:
        """Take note of further rights of the caller. The stream keeps those that it began with; a handler that can ask
        its client to connect again does so."""
        self.principal = principal
        if self.drain is not None:
            self.drain(EXTEND_WITHIN)

    def stop(self, error: TronError) -> None:
        """End the stream, once."""
        if self.error is None:
            self.error = error
            self.end(error)

    def close(self) -> None:
        """Record that the handler has ended."""
        if self._overdue is not None:
            self._overdue.cancel()

    def _cancel(self, _: TronError) -> None:
        # Between two parts of the handler gRPC writes, and must not be cancelled; the next part raises the error. A
        # client that does not read would keep the handler between two parts.
        if self._task is None:
            return
        if self._inside:
            self._cancelled = True
            self._task.cancel()
        elif self.abandon is not None:
            self._overdue = asyncio.get_running_loop().call_later(FAREWELL, self._abandon)

    def _abandon(self) -> None:
        if self.abandon is not None and self.error is not None and self._task is not None:
            self.abandon(self.error)
            self._task.cancel()


class OpenCalls:
    """All open streams of one server."""

    def __init__(
        self, now: Callable[[], datetime] = lambda: datetime.now(UTC), draw: Callable[[], float] = random.random
    ) -> None:
        self._now, self._draw = now, draw
        self._calls: dict[OpenCall, None] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[OpenCall]:
        return iter(list(self._calls))

    @contextmanager
    def opened(self, principal: Principal, credential: Credential | None, peer: str) -> Iterator[OpenCall]:
        """Keep the stream of this task while the block runs."""
        call = OpenCall(principal, credential, peer, self._now(), self._draw())
        self._calls[call] = None
        _current.set(call)
        try:
            yield call
        finally:
            call.close()
            del self._calls[call]

    def check_time(self) -> None:
        """End the streams whose credentials have ended, and ask the clients of those that end soon to move."""
        now = self._now()
        ending = [call for call in self if call.principal.ends_at is not None]
        for call in ending:
            call.check_time(now, len(ending))
