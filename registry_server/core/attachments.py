"""Records which stream carries which service. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from grid_model.errors import SilentStream

from registry_server.core.alert_delivery import AlertDelivery
from registry_server.core.effects import EndStream, SupersededBy
from registry_server.core.ended_streams import EndedStreams
from registry_server.core.liveness_facts import LivenessFacts
from registry_server.core.measures import Measures
from registry_server.core.outgoing import Outgoing
from registry_server.core.published import Published
from registry_server.core.record import Record
from registry_server.core.service import Instant
from registry_server.core.sessions import Sessions


class Attachments:
    """The open streams, and the services on each of them."""

    def __init__(
        self,
        records: Mapping[str, Record],
        delivery: AlertDelivery,
        facts: LivenessFacts,
        published: Published,
        outgoing: Outgoing,
        measures: Measures,
    ) -> None:
        self.sessions = Sessions()
        self.ended = EndedStreams()
        self.reclaimed = 0
        """Number of streams that the registry has ended since its start because nothing was received on them any
        more."""
        self._records = records
        self._delivery = delivery
        self._facts = facts
        self._published = published
        self._outgoing = outgoing
        self._measures = measures

    def stream_ended(self, session_id: int, now: Instant) -> None:
        """Record that a stream ended: its services wait in `ended` to be detached one by one. Do nothing if the stream
        was not open."""
        session = self.sessions.close(session_id, now.attentive)
        if session is None:
            return
        self._measures.stream_ended(session.reason(now.attentive))
        for service_id in list(session.services):
            record = self._records.get(service_id)
            if record is not None and record.session == session_id:
                self.ended.put(record.spec.parent, session_id, service_id)
                self._facts.undefer(record)
            else:
                self.sessions.drop(session_id, service_id)

    def detach_next(self) -> Record | None:
        """Detach the next waiting service; it counts as detached since the end of its stream. Return the record of the
        service if the agent's side ended the stream; None if the registry ended it, or if another stream carries the
        service by now. Raises StopIteration if no service waits."""
        session_id, service_id = self.ended.take()
        record = self._records.get(service_id)
        if record is None or record.session != session_id:
            return None  # whatever took it from this stream has dropped it there
        session = self.sessions.drop(session_id, service_id)
        assert session.closed is not None
        reason = session.reason(session.closed)
        self._detach(record, reason, session.closed)
        return None if reason else record

    def abandon(self, session_id: int, service_id: str, incarnation: int, now: Instant) -> Record | None:
        """Detach a service because its program crashed, although the stream continues with other services. This counts
        as if the stream of the service had broken. Return the record of the service; None if the stream does not carry
        this incarnation of it."""
        session, record = self.sessions[session_id], self._records.get(service_id)
        if record is None or record.session != session_id or session.services.get(service_id) != incarnation:
            return None
        self.sessions.drop(session_id, service_id)
        self._detach(record, "", now.attentive)
        return record

    def attach(self, record: Record, session_id: int, now: Instant, *, supersede: bool = False) -> None:
        """Record that the stream carries the service from now on. `supersede`: if another stream carried the service
        before, tell the client of that stream to stop."""
        old = record.session
        if old is not None and old != session_id:
            if supersede:
                self.supersede(record, old, record.incarnation)
            else:
                self.sessions.drop(old, record.spec.service_id)
        self._delivery.connection_lost(record)
        _count_stream(record, now.attentive)
        record.session = session_id
        record.attached_at = now.attentive
        record.detached_at, record.detached_reason = None, ""
        session = self.sessions[session_id]
        session.heard_at = now.attentive
        session.services[record.spec.service_id] = record.incarnation
        session.superseded.pop(record.spec.service_id, None)

    def supersede(self, record: Record, session_id: int, incarnation: int) -> None:
        """Tell the client of the service's former stream `session_id` to stop, because another stream carries the
        service now, under this incarnation."""
        session = self.sessions.drop(session_id, record.spec.service_id)
        session.superseded[record.spec.service_id] = incarnation
        self._delivery.connection_lost(record)
        self._outgoing.send(session_id, SupersededBy(record.spec.service_id, incarnation))

    def end_silent(self, now: Instant) -> None:
        """End the streams that are silent, with or without services; `Sessions.silent` defines which streams are
        silent."""
        for session_id in self.sessions.silent(now.attentive, self._records.get):
            if self.sessions.end(session_id, SilentStream.reason):
                self.reclaimed += 1
                services = len(self.sessions[session_id].services)
                self._outgoing.send(session_id, EndStream(services, self.reclaimed))

    def _detach(self, record: Record, reason: str, at: float) -> None:
        """Record that no stream carries the service since `at` (attentive seconds). `reason` is the error reason for
        which the registry ended its stream; empty if the agent's side ended it."""
        _count_stream(record, at)
        record.session = None
        record.unanswered = False
        record.detached_at, record.detached_reason = at, reason
        self._delivery.connection_lost(record)
        self._facts.changed(record)
        self._published.show(record)


def _count_stream(record: Record, end: float) -> None:
    """Add the time for which the current stream has carried the service until `end` (attentive seconds); do nothing if
    no stream carries it."""
    if record.session is not None and record.attached_at is not None:
        record.earlier_streams_for += max(0.0, end - record.attached_at)
