"""Short ways to say what a test is about: a spec, a moment, an event, and a registry with agents on it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, TypeVar

from grid_model.declaration import Declaration
from grid_model.event import Event
from grid_model.liveness import LivenessCause
from grid_model.observation import Delivery
from grid_model.service import ServiceRole
from grid_model.verdict import Verdict, VerdictKind, VerdictOutcome, VerdictResult

from registry_server.core.changes import Change
from registry_server.core.effects import Effects, EndStream, Message, Write
from registry_server.core.observations import ObservationFeed
from registry_server.core.record import Record
from registry_server.core.registry import Registry
from registry_server.core.service import Instant, Report, Service
from tests.support.end_stream import end_stream

EPOCH = 1_700_000_000.0
OBSERVER = "tron"

M = TypeVar("M")


def at(attentive: float) -> Instant:
    """A moment, this many attentive seconds after the start."""
    return Instant(EPOCH + attentive, attentive)


def read(parts: Iterable[Sequence[Change]]) -> list[Change]:
    """All changes that a reader yields in parts."""
    return list(chain.from_iterable(parts))


def make_spec(service_id: str = "a", **fields: Any) -> Declaration:
    """What a client declares; the name is the id unless told."""
    return Declaration(**{"service_id": service_id, "name": service_id, **fields})


def make_event(kind: str = "note", **fields: Any) -> Event:
    """An event; its alert_id is its type unless told."""
    return Event(**{"type": kind, "alert_id": kind, "occurred_at": EPOCH, **fields})


def make_copy(kind: str = "note", **fields: Any) -> Delivery:
    """A copy of an event that waits for its recipient."""
    return Delivery(make_event(kind, **fields), 0.0)


def make_record(service_id: str = "a", *, incarnation: int = 1, **fields: Any) -> Record:
    """What a registry knows of a service that was registered at its start."""
    return Record(
        spec=make_spec(service_id),
        declared_role=ServiceRole.PRODUCTION,
        incarnation=incarnation,
        instances=(),
        registered_at=EPOCH,
        last_heartbeat_at=EPOCH,
        heard_at=0.0,
        **fields,
    )


class Grid:
    """A registry with its clock at hand. Sessions are opened as they are first named."""

    def __init__(self, registry: Registry | None = None) -> None:
        self.registry = registry or Registry()
        self.time = 0.0
        self._sessions: set[int] = set()

    def later(self, seconds: float = 1.0) -> Instant:
        """Let time pass; return the moment."""
        self.time += seconds
        return at(self.time)

    def register(
        self,
        service_id: str = "a",
        session: int | None = None,
        *,
        incarnation: int = 0,
        instance: str = "",
        **fields: Any,
    ) -> Service:
        """Register on a stream, or by the unary call where `session` is None."""
        self.open(session)
        spec = make_spec(service_id, **fields)
        return self.registry.register(spec, incarnation, instance, session, self.later())

    def beat(
        self,
        session: int,
        service_id: str = "a",
        incarnation: int = 0,
        report: Report | None = None,
        *,
        relayed: bool = False,
    ) -> bool:
        """Beat; return whether it was heard."""
        self.open(session)
        now = self.later()
        return self.registry.beat(session, service_id, incarnation, report, now, relayed=relayed) is not None

    def goodbye(self, session: int, service_id: str = "a", reason: str = "") -> None:
        """Leave on purpose."""
        self.open(session)
        self.registry.goodbye(session, service_id, reason, self.later())

    def close(self, session: int) -> None:
        """The stream ends."""
        self._sessions.discard(session)
        end_stream(self.registry, session, self.later())

    def watch(self) -> ObservationFeed:
        """Somebody watches from now on."""
        feed = self.registry.open_feed(999, OBSERVER)
        self.registry.judged(OBSERVER, self.later(0.01))
        return feed

    def judge(
        self,
        kind: VerdictKind,
        service_id: str = "a",
        *,
        alert: Event | None = None,
        cause: LivenessCause = LivenessCause.NONE,
        missed: int = 0,
        observation: int | None = None,
        further: tuple[Event, ...] = (),
    ) -> VerdictResult:
        """Apply a verdict that is based on the newest observation, unless told."""
        record = self.registry.get(service_id)
        based_on = record.observation if observation is None else observation
        verdict = Verdict(service_id, record.incarnation, based_on, kind, cause, missed, alert, further_alerts=further)
        return self.registry.apply(verdict, self.later())

    def declare_down(self, service_id: str = "a") -> Event:
        """Declare it down, with an alert to nobody; return the event."""
        result = self.judge(VerdictKind.DOWN, service_id, alert=make_event("service_down", service_id=service_id))
        assert result.outcome is VerdictOutcome.APPLIED
        assert result.alert is not None
        return result.alert

    def take(self) -> Effects:
        """What followed since the last call."""
        return self.registry.take()

    def said(self, session: int, kind: type[M]) -> list[M]:
        """The messages of one kind to one stream since the last call; all other effects are dropped."""
        return messages(self.take(), session, kind)

    def open(self, session: int | None) -> None:
        """Open the session, if it is not open yet."""
        if session is not None and session not in self._sessions:
            self._sessions.add(session)
            self.registry.open_session(session)


def messages(effects: Effects, session: int, kind: type[M]) -> list[M]:
    """The messages of one kind to one stream, in order."""
    return [message for to, message in effects.sends if to == session and isinstance(message, kind)]


def everything_said(effects: Effects) -> list[Message]:
    """All messages to all streams, in order."""
    return [message for _, message in effects.sends if not isinstance(message, EndStream)]


def lines(effects: Effects, kind: type[M]) -> list[M]:
    """The lines of one kind for the store, in order."""
    writes: list[Write] = effects.writes
    return [write for write in writes if isinstance(write, kind)]
