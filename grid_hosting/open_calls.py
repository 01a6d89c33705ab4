"""The open streams of a server by their credentials: each is ended once its credential ends, is revoked, or has other
rights."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta

from grid_model.access import LOCAL, Principal
from grid_model.errors import CredentialExpired, Draining, TronError

from grid_hosting.credential import Credential
from grid_hosting.drain_time import LARGEST_SHARE, drain_before

SOON = 2.0
"""Seconds before the time at which a client is asked from which on its stream is looked at each time."""

EXTEND_WITHIN = 30.0
"""Seconds over which clients are asked to open their next streams, so that they can use further rights."""

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
        self,
        principal: Principal,
        credential: Credential | None,
        peer: str,
        now: datetime,
        draw: float = 0.5,
        longest: timedelta | None = None,
    ) -> None:
        """`draw`: a random number, 0 to 1. `longest`: how long the stream may last; None: as long as its credential."""
        self.principal = principal
        self.credential = credential
        self.peer = peer
        self.end: Callable[[TronError], None] = self._cancel
        """Ends the stream with an error; called at most once."""
        self.drain: Callable[[float, str], None] | None = None
        """Asks the client to open its next stream within this many seconds, after which this one ends with the given
        error reason; called once, as `drain_time` decides."""
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
        self._extending: asyncio.TimerHandle | None = None
        self._opened_at, self._draw = now, draw
        self._drained = False
        ends = [each for each in (principal.ends_at, None if longest is None else now + longest) if each is not None]
        self._ends_at = min(ends) if ends else None
        self.look_at = None if self._ends_at is None else now + (self._ends_at - now) * LARGEST_SHARE
        """The time before which `check_time` does nothing; None: it never does."""

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
        """End the stream if its credential has ended, or if it is too old; ask the client to open its next one before.
        `streams`: the open streams that end."""
        ends_at = self._ends_at
        if ends_at is None:
            return
        of_credential = ends_at == self.principal.ends_at
        if now >= ends_at and of_credential:
            self.stop(CredentialExpired("the credential of this call has ended"))
        elif now >= ends_at:
            self.stop(Draining("the connection is old; connect again"))
        elif self.drain is None or self._drained:
            self.look_at = ends_at
        else:
            left = (ends_at - now).total_seconds()
            early = left - drain_before((ends_at - self._opened_at).total_seconds(), streams, self._draw)
            if early <= 0.0:
                self._drained, self.look_at = True, ends_at
                self.drain(left, CredentialExpired.reason if of_credential else Draining.reason)
            elif early > SOON:
                self.look_at = now + timedelta(seconds=early / 2)  # more streams mean an earlier time

    def extend(self, principal: Principal) -> None:
        """Take note of further rights of the caller. The stream keeps those that it began with; a handler that can ask
        its client to open its next stream does so, at a random moment within EXTEND_WITHIN."""
        self.principal = principal
        if self.drain is not None and self._extending is None:
            loop = asyncio.get_running_loop()
            self._extending = loop.call_later(EXTEND_WITHIN * self._draw, self._drain_to_extend)

    def _drain_to_extend(self) -> None:
        self._extending = None
        if self.drain is not None and self.error is None:
            self.drain(EXTEND_WITHIN, Draining.reason)  # the next stream needs no other credential

    def stop(self, error: TronError) -> None:
        """End the stream, once."""
        if self.error is None:
            self.error = error
            self.end(error)

    def close(self) -> None:
        """Record that the handler has ended."""
        for timer in (self._overdue, self._extending):
            if timer is not None:
                timer.cancel()

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
        self,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        draw: Callable[[], float] = random.random,
        longest: timedelta | None = None,
    ) -> None:
        """`longest`: how long a stream may last; None: as long as its credential."""
        self._now, self._draw, self._longest = now, draw, longest
        self._calls: dict[OpenCall, None] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[OpenCall]:
        return iter(list(self._calls))

    @contextmanager
    def opened(self, principal: Principal, credential: Credential | None, peer: str) -> Iterator[OpenCall]:
        """Keep the stream of this task while the block runs."""
        call = OpenCall(principal, credential, peer, self._now(), self._draw(), self._longest)
        self._calls[call] = None
        _current.set(call)
        try:
            yield call
        finally:
            call.close()
            del self._calls[call]

    def check_time(self) -> None:
        """End the streams whose credentials have ended, and those that are too old, and ask the clients of those that
        end soon to move."""
        now = self._now()
        # A server may have tens of thousands of streams: most of them cost one comparison.
        ending = [call for call in self._calls if call.look_at is not None]
        for call in ending:
            if call.look_at is not None and call.look_at <= now:
                call.check_time(now, len(ending))
