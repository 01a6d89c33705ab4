"""The open streams of a server and their callers. A stream is ended once its credential expires or is revoked, or its
caller loses rights."""

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
"""If the client of a stream must be asked to open its next one within this many seconds, the stream is looked at in
every check."""

EXTEND_WITHIN = 30.0
"""Seconds over which clients that received further rights are asked, one after the other, to open their next
streams."""

FAREWELL = 3.0
"""Seconds that a client has to read a message that is being sent when its stream ends."""

_current: ContextVar[OpenCall | None] = ContextVar("open_call", default=None)
_principal: ContextVar[Principal] = ContextVar("principal", default=LOCAL)
_credential: ContextVar[Credential | None] = ContextVar("credential", default=None)
_relay: ContextVar[str] = ContextVar("relay", default="")


def current_principal() -> Principal:
    """Return the caller of the current handler; LOCAL without authentication."""
    return _principal.get()


def current_relay() -> str:
    """Return the name of the relay that forwarded the token of the current caller; empty if the caller called
    directly."""
    return _relay.get()


def forwarded_by(relay: str) -> None:
    """Record that a relay has forwarded the current call."""
    _relay.set(relay)


def current_call() -> OpenCall | None:
    """Return the open stream of the current handler; None without authentication, and for a unary call."""
    return _current.get()


def current_credential() -> Credential | None:
    """Return the credential of the caller of the current handler; None if there is none."""
    return _credential.get()


def act_as(principal: Principal, credential: Credential | None = None) -> None:
    """Set the caller of the current handler, for this task and for tasks that it starts later."""
    _principal.set(principal)
    _credential.set(credential)


class OpenCall:
    """One open stream. The stream is ended by cancelling its handler. A handler that must end its stream in another way
    replaces `end`, and may set `drain`. Each part of a handler that may be cancelled must run in a `with` block of this
    object."""

    def __init__(
        self,
        principal: Principal,
        credential: Credential | None,
        peer: str,
        now: datetime,
        draw: float = 0.5,
        longest: timedelta | None = None,
    ) -> None:
        """`draw` is a random number from 0 to 1. `longest` is how long the stream may last; if it is None, only its
        credential limits it."""
        self.principal = principal
        self.credential = credential
        self.peer = peer
        self.end: Callable[[TronError], None] = self._cancel
        """Ends the stream with an error. It is called at most once."""
        self.drain: Callable[[float, str], None] | None = None
        """Asks the client to open its next stream within this many seconds, after which this one ends with the given
        error reason. It is called as `drain_time` decides, and after the caller received further rights."""
        self.error: TronError | None = None
        """The error with which the stream is ended; None as long as it is open."""
        self.lost_rights: Callable[[], TronError | None] | None = None
        """Returns the error with which the stream must end because other principals, for which its caller speaks, have
        lost rights; None if they have not."""
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
        """The time before which `check_time` has nothing to do; None if it never has."""

    def __enter__(self) -> None:
        """Enter a part of the handler that may be cancelled. If the stream was ended before, raises the error that
        ended it."""
        if self.error is not None:
            raise self.error
        self._inside = True

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        """Leave this part of the handler. Raises the error that ends the stream if the handler was cancelled because of
        it."""
        self._inside = False
        if isinstance(error, asyncio.CancelledError) and self._cancelled and self._task and self.error is not None:
            # gRPC sends no status for a cancelled handler, and its client would wait forever.
            self._task.uncancel()
            raise self.error from None

    def check_time(self, now: datetime, streams: int) -> None:
        """End the stream if its credential has expired, or if the stream is too old. If the stream will soon end for
        one of these reasons, ask the client to open its next stream. `streams` is the number of open streams that will
        end for these reasons."""
        ends_at = self._ends_at
        if ends_at is None:
            return
        of_credential = ends_at == self.principal.ends_at
        if now >= ends_at and of_credential:
            self.stop(CredentialExpired("the credential of this call has expired"))
        elif now >= ends_at:
            self.stop(Draining("the connection has reached its maximum age; connect again"))
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
        """Record that the caller received further rights. The stream keeps its present rights; if its handler has set
        `drain`, the client is asked to open its next stream, at a random moment within EXTEND_WITHIN seconds."""
        self.principal = principal
        if self.drain is not None and self._extending is None:
            loop = asyncio.get_running_loop()
            self._extending = loop.call_later(EXTEND_WITHIN * self._draw, self._drain_to_extend)

    def _drain_to_extend(self) -> None:
        self._extending = None
        if self.drain is not None and self.error is None:
            self.drain(EXTEND_WITHIN, Draining.reason)  # the next stream needs no other credential

    def stop(self, error: TronError) -> None:
        """End the stream with an error; do nothing if it was ended before."""
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
        """`longest` is how long a stream may last; if it is None, only its credential limits it."""
        self._now, self._draw, self._longest = now, draw, longest
        self._calls: dict[OpenCall, None] = {}
        self._look_at: datetime | None = None
        """The earliest `look_at` of the open streams, or an earlier time; None: `check_time` has nothing to do."""

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[OpenCall]:
        return iter(list(self._calls))

    @contextmanager
    def opened(self, principal: Principal, credential: Credential | None, peer: str) -> Iterator[OpenCall]:
        """Register the stream of the current task as open while the block runs."""
        call = OpenCall(principal, credential, peer, self._now(), self._draw(), self._longest)
        self._calls[call] = None
        self._look_at = _earlier(self._look_at, call.look_at)
        _current.set(call)
        try:
            yield call
        finally:
            call.close()
            del self._calls[call]

    def check_time(self) -> None:
        """End the streams whose credentials have expired, and those that are too old. Ask the clients of streams that
        will end soon to open their next ones."""
        now = self._now()
        if self._look_at is None or now < self._look_at:
            return  # twice a second, a look at each of tens of thousands of streams would be 2 % of the registry's time
        ending = [call for call in self._calls if call.look_at is not None]
        self._look_at = None
        for call in ending:
            if call.look_at is not None and call.look_at <= now:
                call.check_time(now, len(ending))
            self._look_at = _earlier(self._look_at, call.look_at)


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((each for each in (one, other) if each is not None), default=None)
