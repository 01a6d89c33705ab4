"""Applies verdicts: compares each verdict with the newest facts about the service, then applies or refuses it.

Nothing here decides which service is down. The observer sends each verdict, or has sent it before as a preauthorized
suspicion.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from grid_model.event import Event
from grid_model.event_types import DEATHS
from grid_model.liveness import Liveness, LivenessCause
from grid_model.verdict import AlertCopy, StandingSuspicion, Verdict, VerdictKind, VerdictOutcome, VerdictResult

from registry_server.core import overtaken
from registry_server.core.alert_delivery import AlertDelivery
from registry_server.core.directory import Directory
from registry_server.core.judgements import Judgements
from registry_server.core.maintenance import HeldNotices
from registry_server.core.published import Published
from registry_server.core.record import Record
from registry_server.core.service import Instant, Judgement


class Verdicts:
    """Applies or refuses each verdict. Every method is one atomic command, like those of the registry."""

    def __init__(
        self,
        directory: Directory,
        delivery: AlertDelivery,
        judgements: Judgements,
        published: Published,
        maintenance: HeldNotices,
    ) -> None:
        self._records = directory.records
        self._directory = directory
        self._delivery = delivery
        self._judgements = judgements
        self._published = published
        self._maintenance = maintenance
        self._standing: dict[int, StandingSuspicion] = {}
        self._standing_of = ""
        """The observer whose preauthorized suspicions are in force."""
        self._standing_held = False
        self.cascade_alert_id = ""
        """The alert_id of the mass failure that the observer last reported; empty if none is in progress."""

    def apply(self, verdict: Verdict, now: Instant) -> VerdictResult:
        """Apply the verdict and its alerts, if no fact about the service is newer than the observation on which the
        verdict is based; otherwise refuse it (compare and set). The result contains the outcome."""
        record = self._records.get(verdict.service_id)
        if record is None or record.incarnation != verdict.incarnation:
            return VerdictResult(VerdictOutcome.GONE)
        if verdict.kind is VerdictKind.ALIVE:
            if record.streamed and record.session is None and not record.detached_reason:
                return self._stale(record)
        elif verdict.observation != record.observation:
            return self._stale(record)
        elif verdict.cause is LivenessCause.SILENT and record.unanswered:
            return self._stale(record)  # it waits for us, not we for it
        elif verdict.kind is VerdictKind.DEREGISTER and record.judgement.liveness is not Liveness.DOWN:
            # An older call of the observer came late, and said that it lives: the observer must hear of that first.
            return self._stale(record)
        return self._set(record, verdict, now)

    def notify(self, copy: AlertCopy, now: Instant) -> bool:
        """Send an alert, or a further copy of an alert. Return False if nothing changed, because it was sent before or
        is obsolete."""
        if copy.escalated_from and not self._delivery.stop_escalation(copy.alert_id, copy.escalated_from):
            return False
        event = copy.alert
        if event is None:
            return True
        recipient = self._directory.id_of(event.recipient)
        if not copy.escalated_from and overtaken.is_overtaken(event, self._judgements.is_alive):
            return False
        notified = True
        if copy.notified_about:
            notified = self._judgements.notified(copy.notified_about, copy.alert_id, recipient)
            if not notified and not copy.escalated_from:
                return False  # it is over, or was sent before
        if self._delivery.mailboxes.get(copy.alert_id, recipient) is not None:
            return False
        event, _ = self._delivery.publish(event, now)
        self._withdraw_suspicions(event, now)
        if not notified:
            self._notify_of_return(copy.notified_about, recipient, now)
        return True

    def passed_to_operators(self, event: Event, now: Instant) -> None:
        """Record that the operators are notified of a death in place of a recipient whose copy was dropped. The
        operators are then notified of the return of the service, too."""
        if event.type in DEATHS and not self._judgements.notified(event.service_id, event.alert_id, event.recipient):
            self._notify_of_return(event.service_id, event.recipient, now)

    def _notify_of_return(self, service_id: str, recipient: str, now: Instant) -> None:
        """Send the alert of a return after a copy of the death, which was still waiting because it lists other
        services."""
        returned = self._judgements.return_after(service_id, recipient)
        if returned is not None:
            self._delivery.publish(replace(returned, recipient=recipient), now)

    # --- standing suspicions ----------------------------------------------------------------------------------------

    def preauthorize(
        self, suspicions: Iterable[StandingSuspicion], withdrawn: Iterable[int], *, held: bool, observer: str = ""
    ) -> None:
        """Store the observer's preauthorized suspicions; those of another observer become invalid. Suspicions of
        incarnations that are no longer registered are dropped at once. `held`: suspicions are not applied for now."""
        if observer != self._standing_of:
            self._standing.clear()
            self._standing_of = observer
        self._standing_held = held
        for incarnation in withdrawn:
            self._standing.pop(incarnation, None)
        for suspicion in suspicions:
            record = self._records.get(suspicion.service_id)
            if record is not None and record.incarnation == suspicion.incarnation:
                self._standing[suspicion.incarnation] = suspicion
        if len(self._standing) > 2 * len(self._records):
            current = {record.incarnation for record in self._records.values()}
            self._standing = {each: self._standing[each] for each in self._standing.keys() & current}

    def withdraw_preauthorized(self, observer: str | None = None) -> None:
        """Invalidate the preauthorized suspicions of an observer that has disconnected or restarted. If `observer` is
        None, invalidate those of every observer; this happens when the registry stalled."""
        if observer is None or observer == self._standing_of:
            self._standing.clear()

    def streams_broke(self, broken: Iterable[Record], now: Instant) -> None:
        """Apply the observer's preauthorized suspicions to the services whose streams broke."""
        for record in broken:
            suspicion = self._standing.pop(record.incarnation, None)
            judged_alive = record.judgement.liveness is Liveness.ALIVE
            if suspicion is None or self._standing_held or not self._published.watched or not judged_alive:
                continue
            # The operator's maintenance may be newer than the observer's facts.
            held = record.spec.service_id in self._maintenance.by_id
            alert = None if held else suspicion.alert
            if alert is not None:
                alert = replace(alert, occurred_at=now.wall, last_seen_at=record.last_heartbeat_at)
            verdict = Verdict(
                record.spec.service_id,
                record.incarnation,
                record.observation,
                VerdictKind.SUSPECT,
                LivenessCause.DISCONNECTED,
                alert=alert,
            )
            self._set(record, verdict, now)
            self._judgements.decided_beforehand(record)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _stale(self, record: Record) -> VerdictResult:
        """Refuse a verdict on a service, because the observer does not have the newest facts about it, and send it
        these facts. Otherwise, it might not be sent the heartbeat that it misses."""
        self._judgements.show_again(record)
        return VerdictResult(VerdictOutcome.STALE)

    def _set(self, record: Record, verdict: Verdict, now: Instant) -> VerdictResult:
        before = record.judgement
        liveness = Liveness(min(verdict.kind, VerdictKind.DOWN))
        judged_before = (before.liveness, before.cause, before.missed_beats)
        known = (liveness, verdict.cause, verdict.missed_beats) == judged_before
        maintained = verdict.service_id in self._maintenance.by_id
        overruled = maintained and not verdict.quiet and verdict.kind in (VerdictKind.SUSPECT, VerdictKind.DOWN)
        # Judged again by an observer that has not heard yet that its first verdict was recorded in silence.
        held = before.down_event if known and verdict.kind is VerdictKind.DOWN and not before.told_to else None
        tells = verdict.alert is not None and verdict.alert.recipient and not (verdict.quiet or overruled)
        if held is not None and verdict.alert is not None and tells:
            verdict = replace(verdict, alert=replace(verdict.alert, alert_id=held.alert_id))
        elif known and verdict.kind is not VerdictKind.DEREGISTER:
            return VerdictResult(VerdictOutcome.UNCHANGED)
        event, delivered, returned = None, False, before.returned
        if verdict.kind is VerdictKind.ALIVE:
            restored = verdict.alert
            verdict = self._withdraw_what_is_over(record, verdict, now)
            if restored is not None and restored.type == overtaken.RESTORED:
                returned = self._to_follow_later_copies(record, restored)
        if verdict.alert is not None:
            alert = _as_shown(verdict.alert, record)
            alert = replace(alert, recipient="") if verdict.quiet or overruled else alert
            # Only where the alert that lists this service was applied: else nobody else tells of it.
            folded = verdict.folded and bool(before.folded_into)
            event, delivered = self._delivery.publish(alert, now, escalated=folded)
        for further in verdict.further_alerts:
            self._delivery.publish(_as_shown(further, record), now)
        if event is not None:
            self._withdraw_suspicions(event, now)
        down_event, told_to, folded_into = before.down_event, before.told_to, before.folded_into
        if verdict.kind is VerdictKind.DOWN:
            down_event = event
            told_to = (event.recipient,) if event is not None and event.recipient else ()
        elif verdict.kind is VerdictKind.ALIVE:
            down_event, told_to, folded_into = None, (), ""
        elif verdict.kind is VerdictKind.DEREGISTER and event is not None and event.recipient and told_to:
            told_to = tuple(dict.fromkeys((*told_to, event.recipient)))  # it expects the return as well
        occurred = event.occurred_at if event is not None else now.wall
        since = before.since if liveness is before.liveness else occurred
        removal = "" if event is None or verdict.kind is not VerdictKind.DEREGISTER else event.alert_id
        acknowledged_at = before.acknowledged_at if liveness is Liveness.DOWN else None
        judgement = Judgement(
            liveness,
            verdict.cause,
            since,
            verdict.missed_beats,
            down_event,
            told_to,
            folded_into,
            removal,
            acknowledged_at,
            returned,
        )
        if event is not None and verdict.folds:
            self._fold(verdict.service_id, verdict.folds, event.alert_id)
        self._judgements.put(record, judgement, now, removed=verdict.kind is VerdictKind.DEREGISTER)
        if overruled:
            self._judgements.show_again(record)  # the observer believes that a recipient was notified
        return VerdictResult(VerdictOutcome.APPLIED, delivered, event)

    def _withdraw_what_is_over(self, record: Record, verdict: Verdict, now: Instant) -> Verdict:
        """Withdraw the copies that are obsolete because a service is alive again. Return the verdict with the alerts
        that replace them: a summary for each recipient that missed a death that is over."""
        service_id = record.spec.service_id
        about = self._delivery.mailboxes.about(service_id)
        over = overtaken.over_once_alive(about, service_id, self._judgements.is_alive)
        restored = verdict.alert if verdict.alert is not None and verdict.alert.type == overtaken.RESTORED else None
        if restored is not None:
            over += overtaken.earlier_returns(about, service_id)
        self._delivery.withdraw(over, now)
        if restored is None:
            return verdict
        down_at = _down_at(record)
        missed = overtaken.missed_deaths(over, service_id)
        # More may have been notified than the observer knew of when it judged.
        expect = dict.fromkeys((*record.judgement.told_to, *overtaken.expects_return(about, service_id)))

        def told(event: Event) -> Event:
            both = overtaken.with_both_times(event, down_at)
            recipient = self._directory.id_of(event.recipient) if event.recipient else ""
            for each in [each for each in expect if recipient in (each, self._directory.id_of(each))]:
                del expect[each]
            return overtaken.summary(both, recipient, missed.pop(recipient, overtaken.MissedDeaths()))

        # A return that is recorded but not sent is still sent to recipients that missed the death.
        alert = overtaken.with_both_times(restored, down_at) if verdict.quiet else told(restored)
        further = [told(each) if each.type == overtaken.RESTORED else each for each in verdict.further_alerts]
        further += [told(replace(restored, recipient=recipient)) for recipient in list(missed)]
        while expect:
            further.append(told(replace(restored, recipient=next(iter(expect)))))
        return replace(verdict, alert=alert, further_alerts=tuple(further))

    def _to_follow_later_copies(self, record: Record, restored: Event) -> Event | None:
        """Return the alert of a return, if copies about the death still wait: when one of them escalates, this alert
        follows it."""
        service_id = record.spec.service_id
        if not overtaken.reports_death(self._delivery.mailboxes.about(service_id), service_id):
            return None
        return replace(_as_shown(overtaken.with_both_times(restored, _down_at(record)), record), recipient="")

    def _withdraw_suspicions(self, death: Event, now: Instant) -> None:
        """Withdraw the suspicions of a service from recipients that are notified of its death."""
        if death.recipient and death.type in DEATHS:
            about = self._delivery.mailboxes.about(death.service_id)
            self._delivery.withdraw(overtaken.over_once_down(about, death), now)

    def _fold(self, recipient: str, folds: Iterable[str], alert_id: str) -> None:
        """Record that the alert of another service lists these services: their own copies to its recipient no longer
        escalate."""
        listed = set(folds)
        self._judgements.listed(sorted(listed), alert_id)
        for copy in self._delivery.mailboxes.waiting_for(recipient):
            if copy.event.service_id in listed:
                self._delivery.stop_escalation(copy.event.alert_id, recipient)


def _down_at(record: Record) -> float:
    """Return since when a service that is DOWN has been down, in seconds since the epoch."""
    down_event = record.judgement.down_event
    return record.judgement.since if down_event is None else down_event.occurred_at


def _as_shown(alert: Event, record: Record) -> Event:
    """Return the alert with the time of the last heartbeat that readers of the record see: observers receive the ages
    of heartbeats in whole milliseconds, so their own time is only an estimate."""
    if alert.last_seen_at is None or alert.service_id != record.spec.service_id:
        return alert
    return replace(alert, last_seen_at=record.last_heartbeat_at)
