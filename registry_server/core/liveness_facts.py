"""Numbers the facts on which verdicts depend: each fact and each heartbeat gets the next observation number. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from grid_model.liveness import Liveness
from grid_model.observation import ReportDeadline

from registry_server.core.effects import PutHeartbeats
from registry_server.core.observers import Observers
from registry_server.core.outgoing import REVISION_BLOCK, Outgoing
from registry_server.core.published import PART
from registry_server.core.record import Record
from registry_server.core.service import Instant

OBSERVATION_BITS = 43
"""Number of low bits in an observation number that count within one run of the registry. The bits above contain the
number of a block of revisions, which is different in each run."""

LOOKED_AT = 20 * PART
"""Maximum number of records that one call of `save_heartbeats` visits, which takes about a millisecond."""


class LivenessFacts:
    """Numbers the facts about each service, and sends them to observers. `revision` is the newest revision when the
    registry starts."""

    def __init__(
        self, records: Mapping[str, Record], observers: Observers, outgoing: Outgoing, revision: int = 0
    ) -> None:
        self._records = records
        self._observers = observers
        self._outgoing = outgoing
        # Unlike in any life before, so that an alert_id, which follows from it, never comes twice.
        self.newest = revision // REVISION_BLOCK << OBSERVATION_BITS
        """The number of the newest observation."""
        self._to_save: list[Record] = []
        """The records that `save_heartbeats` has not visited yet in its current round."""

    def changed(self, record: Record) -> None:
        """Record a change of a service on which verdicts may depend, so that verdicts based on older facts are
        refused."""
        self.newest += 1
        record.observation = self.newest
        # A service that registers and is judged alive already can wait for the next tick: thousands may come at once.
        disconnected = record.streamed and record.session is None
        urgent = disconnected or record.judgement.liveness is not Liveness.ALIVE
        self._observers.changed(record.spec.service_id, parent=record.spec.parent, urgent=urgent)

    def changed_beside_judgement(self, record: Record) -> None:
        """Record a change of a service on which no verdict depends, so that verdicts based on older facts are still
        accepted."""
        self._observers.changed(record.spec.service_id, parent=record.spec.parent, urgent=False)

    def activity_moved(self, record: Record) -> None:
        """Record a change of the activity counter of a service whose progress TRON checks."""
        self._observers.activity_moved(record)

    def decided(self, record: Record) -> None:
        """Record that the newest change of a service needs no decision by the observer, because the registry has
        already applied the observer's preauthorized suspicion to the service."""
        self._observers.decided(record.spec.service_id)

    def defer(self, observer: str, deadlines: Iterable[ReportDeadline], by_incarnation: Mapping[int, Record]) -> None:
        """Stop sending the observer the heartbeats of these incarnations, and report each incarnation at its deadline.
        Incarnations that are not registered are left out. So are those that are not ALIVE, because each of their
        heartbeats may end a suspicion."""
        found = [(by_incarnation.get(each.incarnation), each) for each in deadlines]
        alive = [(record, each) for record, each in found if record and record.judgement.liveness is Liveness.ALIVE]
        self._observers.defer(observer, alive)

    def hear(self, record: Record, now: Instant) -> None:
        """Record a heartbeat of a service; `publish_heard` sends it to observers."""
        self.newest += 1
        record.observation = self.newest
        if record.session is not None and now.attentive - record.heard_at > record.worst_gap:
            _note_gap(record, now.attentive)
        record.heard_at = now.attentive
        record.last_heartbeat_at = now.wall

    def hear_many(self, records: Sequence[Record], now: Instant) -> None:
        """Record one heartbeat of each of these services, and send it to observers. They arrived in one message, so
        they get the same observation number."""
        self.newest += 1
        observation, attentive, wall = self.newest, now.attentive, now.wall
        for record in records:
            record.unanswered = False
            record.observation = observation
            if record.session is not None and attentive - record.heard_at > record.worst_gap:
                _note_gap(record, attentive)
            record.heard_at = attentive
            record.last_heartbeat_at = wall
        self._observers.heard_many(records)

    def hear_late(self, record: Record, now: Instant) -> None:
        """Record that the service could not send anything before now, so that its silence counts from now on."""
        self.newest += 1
        record.observation, record.heard_at = self.newest, now.attentive
        self.publish_heard(record)

    def publish_heard(self, record: Record) -> None:
        """Send observers the time of the service's last heartbeat."""
        self._observers.heard(record)

    def undefer(self, record: Record) -> None:
        """Drop the report deadline of a service's incarnation, because a newer incarnation replaces it, or because its
        stream ended. The facts about the end of the stream follow once the service is detached; until then, a verdict
        that is not based on the newest heartbeat is refused."""
        self._observers.undefer(record.incarnation)

    def removed(self, record: Record) -> None:
        """Record that the service is no longer registered."""
        self.undefer(record)
        self._observers.removed(record.spec.service_id)

    def saved(self, record: Record) -> None:
        """Record that the time of a service's last heartbeat is stored together with its record."""
        record.stored_heartbeat_at = record.last_heartbeat_at

    def save_heartbeats(self, limit: int = PART) -> bool:
        """Store the times of the last heartbeats of up to `limit` services, if these times are not on disk yet. Return
        whether this round over all services needs further calls.

        A round visits every record. This costs less than recording, at each heartbeat, that its time must be stored.
        """
        if not self._to_save:
            self._to_save = list(self._records.values())
        heard: list[tuple[str, float]] = []
        for _ in range(min(LOOKED_AT, len(self._to_save))):
            record = self._to_save.pop()
            if record.last_heartbeat_at == record.stored_heartbeat_at:
                continue
            service_id = record.spec.service_id
            if self._records.get(service_id) is record:
                self.saved(record)
                heard.append((service_id, record.last_heartbeat_at))
                if len(heard) >= limit:
                    break
        if heard:
            self._outgoing.write(PutHeartbeats(tuple(heard)))
        return bool(self._to_save)

    def heard_after(self, observation: int) -> tuple[list[tuple[int, float]], int]:
        """Return the services that sent a heartbeat after the observation with this number, each as (incarnation, time
        of the last heartbeat in seconds since the epoch). Also return the number of the newest observation, for the
        next call."""
        heard = [
            (record.incarnation, record.last_heartbeat_at)
            for record in self._records.values()
            if record.observation > observation
        ]
        return heard, self.newest


def _note_gap(record: Record, now: float) -> None:
    """Record the time since the last heartbeat, without the time for which the service declared itself busy, if it is
    the longest so far."""
    since = max(record.heard_at, record.attached_at or 0.0, record.busy_until_at or 0.0)
    record.worst_gap = max(record.worst_gap, now - since)
