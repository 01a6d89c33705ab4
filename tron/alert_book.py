"""What is said about a transition, and to whom. Pure: an alert is a value with the facts that led to it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from enum import IntEnum

from tron.detector import Cause, Kind, Transition

_NAMESPACE = uuid.UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")


class Severity(IntEnum):
    """How much an alert matters; the numbers of the wire."""

    INFO = 1
    WARNING = 2
    CRITICAL = 3


@dataclass(frozen=True, slots=True)
class AlertDraft:
    """An alert before the registry numbers it. Times are seconds since the epoch."""

    alert_id: str
    type: str
    severity: Severity
    service_id: str
    service_name: str
    recipient: str
    cause: Cause
    missed_beats: int
    occurred_at: float
    last_seen_at: float
    action: str
    message: str
    details: dict[str, float | str | bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Form:
    type: str
    severity: Severity
    action: str
    text: str


_FORMS = {
    Kind.MISS: _Form("heartbeat_miss", Severity.WARNING, "warning", "{name} missed a beat"),
    Kind.SUSPECT: _Form("service_suspect", Severity.WARNING, "suspected", "{name} lost its stream"),
    Kind.DOWN: _Form("service_down", Severity.CRITICAL, "marked_down", "{name} is down ({cause})"),
    Kind.DEREGISTER: _Form("service_deregistered", Severity.CRITICAL, "deregistered", "{name} was given up ({cause})"),
    Kind.RESTORE: _Form("heartbeat_restored", Severity.INFO, "restored", "{name} is back"),
}


def alert_for(transition: Transition, wall_now: float, attentive_now: float) -> AlertDraft | None:
    """The alert that a transition raises; None where nobody needs to be told.

    Its id follows from what it is about, so that the same judgement passed twice (by a TRON that was killed between
    deciding and hearing the answer) is one alert. `wall_now` is the epoch time of `attentive_now`.
    """
    form = _FORMS.get(transition.kind)
    if form is None:
        return None
    facts = transition.facts
    identity = f"{facts.service_id}\0{facts.incarnation}\0{transition.observation}\0{form.type}"
    silent_for = max(0.0, attentive_now - transition.heard_at)
    details: dict[str, float | str | bool] = {
        "incarnation": facts.incarnation,
        "heartbeat_interval_seconds": facts.interval,
        "silent_for_seconds": round(silent_for, 3),
        "connected": facts.connected,
        "judged_late_by_seconds": round(max(0.0, attentive_now - transition.due), 3),
    }
    if transition.kind is Kind.RESTORE:
        details["down_for_seconds"] = round(max(0.0, attentive_now - facts.judged_at), 3)
    return AlertDraft(
        alert_id=str(uuid.uuid5(_NAMESPACE, identity)),
        type=form.type,
        severity=form.severity,
        service_id=facts.service_id,
        service_name=facts.name,
        recipient=facts.parent,
        cause=transition.cause,
        missed_beats=transition.missed,
        occurred_at=wall_now - max(0.0, attentive_now - transition.due),
        last_seen_at=facts.last_heartbeat_at,
        action=form.action,
        message=form.text.format(name=facts.name, cause=transition.cause.name),
        details=details,
    )


ALERT_TYPES = tuple(form.type for form in _FORMS.values())
"""Every type of alert that TRON issues."""
