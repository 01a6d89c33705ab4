"""Handles the messages of agents on their streams: heartbeats, acknowledgements of alerts, goodbyes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, cast

from grid_model.errors import FieldError, InvalidRequest, TronError

from registry_server.core.alert_delivery import AlertDelivery
from registry_server.core.attachments import Attachments
from registry_server.core.clock_steps import seconds_until
from registry_server.core.columns import PATH, Changes, Columns
from registry_server.core.directory import Directory
from registry_server.core.effects import Left, Rejected, SupersededBy, UnknownService
from registry_server.core.liveness_facts import LivenessFacts
from registry_server.core.outgoing import Outgoing
from registry_server.core.published import Published
from registry_server.core.record import Record
from registry_server.core.registrations import Registrations
from registry_server.core.service import Instant, Report, Service
from registry_server.core.validation import check_report

ANSWERED_LATE = 0.1
"""Attentive seconds after which the answer to a registration is late. If it is, the silence of the service counts from
the answer."""


class Beat(Protocol):
    """One heartbeat, as it arrived; `ReadReport` parses its report."""

    @property
    def service_id(self) -> str: ...
    @property
    def incarnation(self) -> int: ...
    @property
    def sequence(self) -> int: ...


class ReadReport(Protocol):
    """Returns the report in a heartbeat. Values that the heartbeat does not contain are taken from the previous report,
    `before`. Raises InvalidRequest."""

    def __call__(self, beat: Any, before: Report, *, replaces_figures: bool) -> Report: ...


class BeatRights(Protocol):
    """Decides for which services a caller may send heartbeats; `rights.Rights` implements it."""

    admitted: set[int]
    """The incarnations for which the caller may send heartbeats, as far as that has been decided."""

    def admits(self, record: Record) -> bool:
        """Return whether the caller may send heartbeats of a service. This is called only if the service's incarnation
        is not in `admitted`."""
        ...

    def refusal(self, service_id: str) -> TronError | None:
        """Return the error with which the caller's heartbeats of a service are refused; None if the caller may send
        them."""
        ...


class Heartbeats:
    """The commands that agents send on Heartbeat streams about registered services."""

    def __init__(
        self,
        directory: Directory,
        delivery: AlertDelivery,
        facts: LivenessFacts,
        published: Published,
        attachments: Attachments,
        registrations: Registrations,
        outgoing: Outgoing,
    ) -> None:
        self._records = directory.records
        self._by_incarnation = directory.by_incarnation
        self._directory = directory
        self._delivery = delivery
        self._facts = facts
        self._published = published
        self._attachments = attachments
        self._registrations = registrations
        self._outgoing = outgoing

    def wait_for_answers(self, services: Iterable[Service]) -> None:
        """Record that these registrations have no answer yet, because they wait for the disk. A call of `answered` for
        the service records that its answer was sent."""
        for service in services:
            record = self._records.get(service.spec.service_id)
            if record is not None and record.incarnation == service.incarnation:
                record.unanswered = True

    def answered(self, session_id: int | None, service: Service, now: Instant) -> None:
        """Record that the answer to a registration was sent to the service. The service's silence counts from now on,
        however long the disk took, because the service cannot send heartbeats before it receives the answer."""
        record = self._records.get(service.spec.service_id)
        if record is None or record.session != session_id or record.incarnation != service.incarnation:
            return
        record.unanswered = False
        if now.attentive - record.heard_at > ANSWERED_LATE:
            self._facts.hear_late(record, now)

    def set_reading(self, session_id: int, now: Instant, *, paused: bool) -> None:
        """Record that the registry pauses reading from a stream (`paused`), or resumes it. The services on the stream
        cannot be heard during the pause, so their silence counts from its end."""
        for service_id in self._attachments.sessions[session_id].services:
            record = self._records.get(service_id)
            if record is not None and record.session == session_id:
                record.unanswered = paused
                if not paused:
                    self._facts.hear_late(record, now)

    def beats(
        self,
        session_id: int,
        beats: Sequence[Beat],
        read_report: ReadReport,
        now: Instant,
        *,
        relayed: bool = False,
        replaces_figures: bool = False,
        rights: BeatRights | None = None,
    ) -> list[Rejected]:
        """Record the heartbeats of one message, each as `beat` does. Return a Rejected for each error in them. A
        heartbeat counts even if its figures are invalid.

        `replaces_figures`: figures that a heartbeat does not contain are cleared. `rights` are the rights of the
        caller; None means that the caller may do everything.
        """
        records, beat = self._records, self.beat
        rejected: list[Rejected] = []
        for each in beats:
            service_id = each.service_id
            if not service_id:
                rejected.append(Rejected("", "beat.service_id", "must not be empty"))
                continue
            record = records.get(service_id)
            # A service that the stream carries was decided when it was attached.
            if rights is not None and (record is None or record.session != session_id):
                error = _refusal(service_id, record, rights)
                if error is not None:
                    rejected.append(Rejected(service_id, "beat.service_id", str(error), error.reason))
                    continue
            report: Report | None = None
            if record is not None:
                errors: Sequence[FieldError] = ()
                try:
                    report = read_report(each, record.report, replaces_figures=replaces_figures)
                    if report is not record.report:
                        errors = check_report(report, as_sent=replaces_figures)
                except InvalidRequest as error:
                    errors = error.fields
                if errors:
                    report = None
                    rejected += [Rejected(service_id, wrong.field, wrong.description) for wrong in errors]
            beat(session_id, service_id, each.incarnation, report, now, relayed=relayed)
        return rejected

    def beat(
        self,
        session_id: int,
        service_id: str,
        incarnation: int,
        report: Report | None,
        now: Instant,
        *,
        relayed: bool = False,
    ) -> Record | None:
        """Record a heartbeat, and return the record of the service. If the service is not registered, or the
        incarnation is not the current one, the agent is notified of that instead, and the result is None.

        `report` None keeps the previous report. `relayed`: the stream only relays the heartbeat, and does not carry the
        service.
        """
        sessions, send = self._attachments.sessions, self._outgoing.send
        session = sessions[session_id]
        record = self._records.get(service_id)
        if record is None:
            self._registrations.send_removed_as_down(service_id, session_id)
            sessions.drop(session_id, service_id)
            send(session_id, UnknownService(service_id))
            return None
        held = incarnation or session.services.get(service_id, 0)
        if (held and held < record.incarnation) or (not incarnation and service_id in session.superseded):
            send(session_id, SupersededBy(service_id, record.incarnation))
            return None
        if held > record.incarnation:
            send(session_id, UnknownService(service_id))
            return None
        overtaken = held and record.session is not None and session_id < record.session
        if record.session != session_id and not relayed and not overtaken:
            # The newest stream that spoke for an incarnation carries it: what an older one still had on its way, when
            # its client gave it up, must not take the service along when it ends. A heartbeat that names no
            # incarnation, from a stream that never received one, is another client's: the one before is superseded.
            self._attach(record, session_id, now, supersede=not held)
        record.unanswered = False
        self._facts.hear(record, now)
        if record.session == session_id:
            session.heard_at = now.attentive
            self._registrations.send_declared_down(record, session_id)
        elif relayed:
            session.heard_at = now.attentive
        if report is not None and report is not record.report and report != record.report:
            self._take_report(record, report, now)
        self._facts.publish_heard(record)
        return record

    def columns(
        self,
        session_id: int,
        columns: Columns,
        now: Instant,
        *,
        relayed: bool = False,
        replaces_figures: bool = False,
        rights: BeatRights | None = None,
    ) -> list[Rejected]:
        """Record the heartbeats of one message that arrive in columns. Each heartbeat is handled like a call of `beat`
        with an incarnation. Return a Rejected for each error in the columns."""
        incarnations = columns.incarnations
        session = self._attachments.sessions[session_id]
        records = list(map(self._by_incarnation.get, incarnations))
        if rights is not None:
            records = self._admitted(session_id, records, rights)
        rejected: list[Rejected] = []
        heard = cast("list[Record]", records)
        if not all(records):
            unknown = [each for each, record in zip(incarnations, records, strict=True) if record is None]
            rejected += self._answer_unknown(session_id, unknown, rights)
            heard = [record for record in records if record is not None]
        if not relayed:
            for record in heard:
                if record.session != session_id and (record.session is None or record.session < session_id):
                    self._attach(record, session_id, now)
        self._facts.hear_many(heard, now)
        if heard and (relayed or session.services):
            session.heard_at = now.attentive
        if session.services:
            for record in heard:
                if record.judgement.down_event is not None and record.session == session_id:
                    self._registrations.send_declared_down(record, session_id)
        if columns.figures or replaces_figures:
            changes = Changes(columns, records, replaces_figures=replaces_figures)
            rejected += [Rejected("", wrong.field, wrong.description) for wrong in changes.wrong]
            for record, report, errors in changes.reports():
                rejected += [Rejected(record.spec.service_id, wrong.field, wrong.description) for wrong in errors]
                if not errors:
                    self._take_report(record, report, now)
        return rejected

    def acknowledge_on_stream(self, session_id: int, alert_ids: Iterable[str], now: Instant) -> None:
        """Acknowledge alerts that are addressed to services on this stream. An acknowledgement also counts as a
        heartbeat of its service, because the next heartbeat may be queued behind thousands of acknowledgements."""
        session = self._attachments.sessions[session_id]
        for alert_id in dict.fromkeys(alert_ids):
            for recipient in sorted(self._delivery.mailboxes.recipients(alert_id)):
                # By name too, though a namesake may have come since it was delivered.
                for record in self._directory.matching(recipient):
                    if record.session == session_id:
                        session.heard_at = now.attentive
                        self._delivery.acknowledge(alert_id, recipient, now)
                        self._facts.hear(record, now)
                        self._facts.publish_heard(record)
                        self._delivery.deliver(record)
                        break

    def abandon(self, session_id: int, service_id: str, incarnation: int, now: Instant) -> list[Record]:
        """Detach a service whose program crashed while its stream continues with other services. Return a list with its
        record; an empty list if the stream does not carry this incarnation."""
        record = self._attachments.abandon(session_id, service_id, incarnation, now)
        if record is None:
            return []
        self._attachments.sessions[session_id].heard_at = now.attentive
        return [record]

    def goodbye(self, session_id: int, service_id: str, reason: str, now: Instant, incarnation: int = 0) -> None:
        """Remove a service that leaves on purpose, if this stream carries the current incarnation of the service. If
        the goodbye contains that incarnation, the agent is sent an answer once the removal is durable; otherwise it is
        sent none."""
        session = self._attachments.sessions[session_id]
        held = session.services.get(service_id)
        record = self._records.get(service_id)
        if record is None:
            self._outgoing.send(session_id, UnknownService(service_id))
        elif held != record.incarnation or incarnation not in (0, held):
            self._outgoing.send(session_id, SupersededBy(service_id, record.incarnation))
        else:
            session.heard_at = now.attentive
            self._registrations.remove(record, reason or "goodbye", None, now)
            if incarnation:
                self._outgoing.send(session_id, Left(service_id, incarnation))

    def _attach(self, record: Record, session_id: int, now: Instant, *, supersede: bool = False) -> None:
        self._attachments.attach(record, session_id, now, supersede=supersede)
        self._facts.changed(record)
        self._published.show(record)
        self._delivery.deliver(record)

    def _admitted(self, session_id: int, records: Sequence[Record | None], rights: BeatRights) -> list[Record | None]:
        """Return the records, with None in place of each service for which the caller may not send heartbeats."""
        admitted = rights.admitted
        return [
            record
            if record is None or record.session == session_id or record.incarnation in admitted or rights.admits(record)
            else None
            for record in records
        ]

    def _answer_unknown(
        self, session_id: int, incarnations: Iterable[int], rights: BeatRights | None = None
    ) -> list[Rejected]:
        """Answer heartbeats in columns whose incarnation is not current. Return a Rejected if heartbeats have no
        incarnation. The incarnation of a service of another owner is answered like one that was never used, so that the
        caller learns nothing about it."""
        zeros = 0
        for incarnation in incarnations:
            service_id = self._directory.past_owner(incarnation)
            if rights is not None and (incarnation in self._by_incarnation or rights.refusal(service_id) is not None):
                service_id = ""
            record = self._records.get(service_id)
            if not incarnation:
                zeros += 1
            elif record is not None:
                self._outgoing.send(session_id, SupersededBy(service_id, record.incarnation, incarnation))
            else:
                if service_id:
                    self._registrations.send_removed_as_down(service_id, session_id)
                    self._attachments.sessions.drop(session_id, service_id)
                self._outgoing.send(session_id, UnknownService(service_id, incarnation))
        why = f"{zeros} elements are 0; every heartbeat in columns needs an incarnation"
        return [Rejected("", f"{PATH}.incarnations", why)] if zeros else []

    def _take_report(self, record: Record, report: Report, now: Instant) -> None:
        before, record.report = record.report, report
        telling = report.busy_until != before.busy_until
        if telling:
            record.busy_declared_at = now.attentive
            until, set_since = report.busy_until or now.wall, now.set_by - record.learned_clock_at
            record.busy_until_at = now.attentive + seconds_until(until, now.wall, set_since)
        if report.activity != before.activity:
            record.active_at = now.attentive
            if record.spec.stall_after is not None and not telling:
                self._facts.activity_moved(record)
        if telling:
            self._facts.changed_beside_judgement(record)
        if (report.status, report.message, report.busy_until) != (before.status, before.message, before.busy_until):
            self._published.show(record)
        else:
            self._published.show_later(record.spec.service_id)


def _refusal(service_id: str, record: Record | None, rights: BeatRights) -> TronError | None:
    if record is not None and (record.incarnation in rights.admitted or rights.admits(record)):
        return None
    return rights.refusal(service_id)
