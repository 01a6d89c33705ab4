"""Creates the alerts of a transition. Pure: an alert is a value with the facts that led to it; its text is in
`messages`.

The id of an alert is computed from what the alert is about. So if TRON is killed before it reads the answer to a
verdict, and sends the same verdict again, both alerts have the same id and count as one.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from grid_model import event_details
from grid_model.event import OPERATORS, Event
from grid_model.event_types import CASCADING_FAILURE, PARENT_DOWN, SERVICE_SUSPECT
from grid_model.liveness import LivenessCause
from grid_model.observation import Facts
from grid_model.policy import OrphanPolicy

from tron import messages
from tron.audience import Audience, Orphan, within
from tron.facts import Kind, Transition
from tron.guard import Cascade
from tron.suppression import FlapLimit, Suppression

_NAMESPACE = uuid.UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")

MAX_LISTED = 8_000
"""The most bytes of service ids in one alert; the others are only counted. The registry accepts 16 KiB of details."""

MAX_ESCALATED_FROM = 4_000
"""The most bytes of ids of the recipients from which an alert escalated; the earliest recipients are left out."""


_OF_JUDGEMENTS = [kind.meaning.event_type for kind in Kind]
ALERT_TYPES = (*(each.name for each in _OF_JUDGEMENTS if each is not None), CASCADING_FAILURE.name, PARENT_DOWN.name)
"""Every type of alert that TRON issues."""

_ORPHANS = {
    OrphanPolicy.KEEP: ("keep", messages.ORPHAN_KEEP),
    OrphanPolicy.STOP: ("stop", messages.ORPHAN_STOP),
    OrphanPolicy.ADOPT: ("adopt", messages.ORPHAN_ADOPT),
}


def alerts_of(
    transition: Transition, audience: Audience, suppression: Suppression, wall_now: float, attentive_now: float
) -> list[Event]:
    """Return all alerts about a transition: first the alert to the recipient in `audience`, then the alerts to earlier
    recipients or orphans; empty if there are none. `wall_now` (seconds since 1970) and `attentive_now` are the same
    moment."""
    alert = alert_for(transition, wall_now, attentive_now, audience.recipient)
    if alert is None:
        return []
    if suppression.reason:
        return [held(alert, suppression.reason)]
    if suppression.last_before is not None:
        alert = flapping(alert, suppression.last_before)
    match transition.kind:
        case Kind.RESTORE:
            return [alert, *(escalated_copy(alert, each, messages.TAKES_BACK) for each in audience.others)]
        case Kind.DOWN:
            subtree = with_subtree(alert, audience.subtree, len(audience.orphans))
            return [subtree, *orphan_alerts(alert, audience, wall_now)]
    return [alert]


def alert_for(transition: Transition, wall_now: float, attentive_now: float, recipient: str) -> Event | None:
    """Return the alert that a transition raises; None if no recipient needs to be notified. `wall_now` (seconds since
    1970) and `attentive_now` are the same moment."""
    event_type = transition.kind.meaning.event_type
    if event_type is None:
        return None
    facts = transition.facts
    details: dict[str, Any] = {
        "incarnation": facts.incarnation,
        "heartbeat_interval_seconds": facts.interval,
        "silent_for_seconds": round(max(0.0, attentive_now - transition.heard_at), 3),
        "connected": facts.connected,
        "judged_late_by_seconds": round(max(0.0, attentive_now - transition.due), 3),
    }
    if transition.kind is Kind.RESTORE:
        details["down_for_seconds"] = round(max(0.0, attentive_now - facts.judged_at), 3)
    if transition.kind is Kind.STALL:
        details["stall_after_seconds"] = facts.stall_after
        details["inactive_for_seconds"] = round(max(0.0, attentive_now - facts.active_at), 3)
    return Event(
        alert_id=_alert_id(facts.service_id, facts.incarnation, transition.observation, event_type.name),
        type=event_type.name,
        severity=event_type.severity,
        service_id=facts.service_id,
        service_name=facts.name,
        recipient=recipient,
        cause=transition.cause,
        missed_beats=transition.missed_beats,
        occurred_at=wall_now - max(0.0, attentive_now - transition.due),
        last_seen_at=facts.last_heartbeat_at,
        action=event_type.action,
        message=transition.kind.meaning.alert.format(name=facts.name, cause=transition.cause.name),
        details=details,
    )


def preauthorized_alert(facts: Facts, recipient: str) -> Event:
    """Return the alert of a suspicion that the registry applies on its own; the registry fills in the times."""
    # One for each stream: the moment at which it was taken up is in no other. Nanoseconds, as on the wire.
    attached = round((facts.attached_at or 0.0) * 1e9)
    return Event(
        alert_id=_alert_id(facts.service_id, facts.incarnation, attached, f"standing {SERVICE_SUSPECT.name}"),
        type=SERVICE_SUSPECT.name,
        severity=SERVICE_SUSPECT.severity,
        service_id=facts.service_id,
        service_name=facts.name,
        recipient=recipient,
        cause=LivenessCause.DISCONNECTED,
        missed_beats=0,
        occurred_at=0.0,
        last_seen_at=None,
        action=SERVICE_SUSPECT.action,
        message=messages.STREAM_LOST.format(name=facts.name),
        details={
            "incarnation": facts.incarnation,
            "heartbeat_interval_seconds": facts.interval,
            "connected": False,
        },
    )


def with_subtree(alert: Event, affected: Sequence[str], orphans: int) -> Event:
    """Return the alert of a failed parent, which lists the services that failed with the parent and counts its
    orphans."""
    if not affected and not orphans:
        return alert
    details = {**alert.details, "affected_count": len(affected), "orphan_count": orphans}
    message = alert.message
    if affected:
        details["affected"] = within(affected, MAX_LISTED)
        message = messages.with_subtree(message, len(affected))
    return replace(alert, message=message, details=details)


def held(alert: Event, why: str) -> Event:
    """Return the alert, marked as held for now, with the reason `why`."""
    return replace(alert, details={**alert.details, "held_for": why})


def flapping(alert: Event, limit: FlapLimit) -> Event:
    """Return the alert about the last suspicion before damping; it says that further suspicions raise no alert."""
    text = messages.flapping(alert.message, limit.count, limit.window)
    return replace(alert, message=text, details={**alert.details, "damped": True, "suspicions": limit.count})


def escalated_copy(alert: Event, recipient: str, why: str, *, is_back: bool = False) -> Event:
    """Return the copy of an alert for its next recipient. The copy names the earlier recipients, and says why the alert
    escalated. `is_back`: whether the service is alive again."""
    way = [*event_details.texts_in(alert.details, "escalated_from"), alert.recipient]
    way = within(way[::-1], MAX_ESCALATED_FROM)[::-1]
    details = {**alert.details, "escalated_from": way, "escalated_because": why}
    if is_back:
        details["is_back"] = True
    return replace(alert, recipient=recipient, details=details)


def released(alert: Event, recipient: str) -> Event:
    """Return the copy of an alert that was held and is sent to this recipient now."""
    details = {name: value for name, value in alert.details.items() if name != "held_for"}
    details["was_held_for"] = event_details.text_in(alert.details, "held_for")
    return replace(alert, recipient=recipient, details=details)


def cascade_alert(cascade: Cascade, observer: str, wall_now: float, now: float) -> Event:
    """Return the one alert to operators about a mass failure."""
    count = len(cascade.service_ids)
    share = count / cascade.live
    return Event(
        alert_id=_alert_id(observer, count, round(cascade.since * 1e9), CASCADING_FAILURE.name),
        type=CASCADING_FAILURE.name,
        severity=CASCADING_FAILURE.severity,
        service_id="",
        service_name="",
        recipient=OPERATORS,
        cause=LivenessCause.NONE,
        missed_beats=0,
        occurred_at=wall_now - max(0.0, now - cascade.since),
        last_seen_at=None,
        action=CASCADING_FAILURE.action,
        message=messages.cascade(count, cascade.live),
        details={
            "affected": within(cascade.service_ids, MAX_LISTED),
            "affected_count": count,
            "live_count": cascade.live,
            "share": round(share, 3),
        },
    )


def orphan_alerts(death: Event, audience: Audience, wall: float) -> list[Event]:
    """Return the alerts to the orphans of a death."""
    return [_orphan_alert(death, orphan, audience.stands_in, wall) for orphan in audience.orphans]


def _orphan_alert(death: Event, orphan: Orphan, stands_in: str, wall: float) -> Event:
    child = orphan.facts
    action, text = _ORPHANS[orphan.policy]
    instruction = text.format(stands_in=stands_in)
    about = f"{death.alert_id} {child.service_id}"
    return Event(
        alert_id=_alert_id(death.service_id, child.incarnation, about, PARENT_DOWN.name),
        type=PARENT_DOWN.name,
        severity=PARENT_DOWN.severity,
        service_id=death.service_id,
        service_name=death.service_name,
        recipient=child.service_id,
        cause=death.cause,
        missed_beats=death.missed_beats,
        occurred_at=wall,
        last_seen_at=death.last_seen_at,
        action=action,
        message=messages.orphan(death.service_name, death.cause.name, instruction),
        details={"parent": death.service_id, "orphan_policy": orphan.policy.name, "stands_in": stands_in},
    )


def _alert_id(service_id: str, incarnation: int, about: int | str, kind: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, f"{service_id}\0{incarnation}\0{about}\0{kind}"))
