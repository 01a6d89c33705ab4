"""Decides how a broken stream of changes resumes; both clients use it. This module does no I/O.

A resume object provides the request, converts each answer into a value, and decides at the end of the stream what
follows: the seconds to wait before the next attempt, or a final error.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from grid.events.v1 import event_service_pb2
from grid.registry.v1 import registry_service_pb2

from tron_client import arguments
from tron_client.errors import RETRYABLE, CredentialExpired, RevisionCompacted, TronError, Unauthenticated
from tron_client.models import Event, Service, ServiceChange
from tron_client.requests import subscription
from tron_client.schedule import Backoff

if TYPE_CHECKING:
    from collections.abc import Sequence

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")

Draw = Callable[[], float]
"""A function that returns a random number from 0 to 1."""


LATE_RENEWALS = 60
"""The number of attempts without a valid credential after the credential of a stream has expired: about a minute,
because the renewal may be late. Then the error is raised, because the credential may have been revoked."""


class Resume(Protocol[T_co]):
    """The state of a stream that is opened again after it broke."""

    reconnect: bool

    def request(self) -> Any:
        """Return the request for the next stream."""

    def accept(self, answer: Any) -> T_co:
        """Convert an answer to the value that it carries, and record the position in the stream."""

    def ended(self, error: TronError | None) -> tuple[float, T_co | None]:
        """Handle the end of a stream. Return the seconds to wait before the next stream, and a value that must be
        yielded first (or None). Raises `error` if another attempt cannot help."""


class _Patience(Generic[T]):
    """The waiting that both kinds of stream share."""

    def __init__(self, *, reconnect: bool, draw: Draw = random.random) -> None:
        self.reconnect = arguments.flag("reconnect", reconnect)
        self._backoff = Backoff()
        self._draw = draw
        self._late_renewals = 0

    def _went_on(self) -> None:
        """Forget the failures so far, because an answer came."""
        self._backoff.reset()
        self._late_renewals = 0

    def _wait(self, error: TronError | None) -> float:
        if isinstance(error, CredentialExpired):
            self._late_renewals = self._late_renewals or LATE_RENEWALS
        if isinstance(error, Unauthenticated) and self._late_renewals > 1:
            self._late_renewals -= 1
            return self._backoff.next_delay(self._draw())
        # What is wrong with the request stays wrong; what we do not know is not ours to repeat.
        if error is not None and not isinstance(error, RETRYABLE):
            raise error
        return self._backoff.next_delay(self._draw())


class ServiceResume(_Patience[ServiceChange]):
    """Follows the changes of services by their revisions.

    If a snapshot breaks off, the next stream begins a new snapshot after a `reset`, because an incomplete snapshot has
    no revision to resume from. The same happens if the registry no longer keeps the revision. So no change is lost
    without notice.
    """

    def __init__(self, start_revision: int = 0, *, reconnect: bool = True, draw: Draw = random.random) -> None:
        super().__init__(reconnect=reconnect, draw=draw)
        self._revision = arguments.whole("start_revision", start_revision)
        self._in_snapshot = start_revision == 0
        self._said_some = False

    def request(self) -> registry_service_pb2.WatchServicesRequest:
        """Return the request for the changes after the last revision. If no snapshot has been received completely,
        return the request for a new snapshot."""
        return registry_service_pb2.WatchServicesRequest(start_revision=0 if self._in_snapshot else self._revision)

    def accept(self, answer: registry_service_pb2.WatchServicesResponse) -> ServiceChange:
        """Return the change in an answer, and record its revision."""
        self._went_on()
        self._revision = max(self._revision, answer.revision)
        self._said_some = True
        match answer.WhichOneof("change"):
            case "upserted":
                service = Service.from_proto(answer.upserted)
                return ServiceChange(answer.revision, "upserted", service, service.service_id)
            case "removed":
                return ServiceChange(answer.revision, "removed", service_id=answer.removed.service_id)
        self._in_snapshot = False
        return ServiceChange(answer.revision, "snapshot_complete")

    def ended(self, error: TronError | None) -> tuple[float, ServiceChange | None]:
        """Return the seconds to wait and the value to yield first, as described in `Resume.ended`."""
        if isinstance(error, RevisionCompacted):
            if self._revision == 0:
                raise error
            return 0.0, self._start_over()
        if not self.reconnect and error is not None:
            raise error
        delay = self._wait(error)
        return delay, self._start_over() if self._in_snapshot and self._said_some else None

    def _start_over(self) -> ServiceChange:
        self._revision, self._in_snapshot, self._said_some = 0, True, False
        return ServiceChange(0, "reset")


class EventResume(_Patience[Event]):
    """Follows the event log by sequence numbers. Raises RevisionCompacted if the log no longer keeps the next event.

    With `only_new`, a stream that breaks before its first event misses the events during the break.
    """

    def __init__(
        self,
        after_sequence: int = 0,
        *,
        recipient: str = "",
        service_id: str = "",
        types: Sequence[str] = (),
        only_new: bool = False,
        reconnect: bool = True,
        draw: Draw = random.random,
    ) -> None:
        super().__init__(reconnect=reconnect, draw=draw)
        self._request = subscription(
            after_sequence=after_sequence, recipient=recipient, service_id=service_id, types=types, only_new=only_new
        )

    def request(self) -> event_service_pb2.SubscribeEventsRequest:
        """Return the request for the events after the last received one."""
        return self._request

    def accept(self, answer: event_service_pb2.SubscribeEventsResponse) -> Event:
        """Return the event in an answer, and record its sequence number."""
        self._went_on()
        self._request.after_sequence = answer.event.sequence
        self._request.only_new = False
        return Event.from_proto(answer.event)

    def ended(self, error: TronError | None) -> tuple[float, Event | None]:
        """Return the seconds to wait before the next stream, and None, because no value must be yielded first. Raises
        `error` as `Resume.ended` does."""
        if not self.reconnect and error is not None:
            raise error
        return self._wait(error), None
