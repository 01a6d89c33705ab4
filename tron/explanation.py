"""Explains the verdict about a service for `tron explain`. Pure; the sentences are in `messages`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from grid_model.liveness import Liveness, LivenessCause
from grid_model.observation import Facts

from tron import messages
from tron.facts import Kind, Lease
from tron.judge import Judge
from tron.margin import ENOUGH, Margin, margin_of
from tron.policy import Policy


@dataclass(frozen=True, slots=True)
class Explanation:
    """An explanation: one sentence, the rule that applied (its name and text), the next transitions with their seconds,
    the safety margin in words, and the evidence."""

    verdict: str
    rule: str
    deadlines: list[tuple[str, float]] = field(default_factory=list)
    margin: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)


def explain(judge: Judge, service_id: str) -> Explanation | None:
    """Return the verdict about a service and its explanation; None if the service is not registered."""
    lease = judge.detector.find(service_id)
    if lease is None:
        return None
    policy = judge.policies.of(service_id)
    deadlines = [
        (kind.meaning.forecast, round(due - judge.now, 3)) for kind, due in judge.detector.deadlines(service_id)
    ]
    margin = margin_of(lease.facts, policy, judge.now)
    return Explanation(
        verdict=_verdict(judge, lease),
        rule=_rule(judge, lease, policy),
        deadlines=deadlines,
        margin=_margin(lease.facts, margin),
        evidence=_evidence(judge, lease, policy, margin),
    )


def _verdict(judge: Judge, lease: Lease) -> str:
    facts, now = lease.facts, judge.now
    silent = max(0.0, now - lease.heard_at)  # it may be heard after the newest frame
    match lease.liveness:
        case Liveness.ALIVE:
            sentence = messages.alive(facts.name, silent)
            sentence += messages.STREAM_OPEN if facts.connected else _no_stream(lease)
            busy = _busy_for(judge, lease)
            sentence += messages.busy(busy) if busy > 0 else ""
        case Liveness.SUSPECT if lease.disconnected:
            broken = facts.detached_at
            when = messages.BEFORE_START if broken is None else messages.ago(now - broken)
            sentence = messages.suspect_broken(facts.name, when)
        case Liveness.SUSPECT if lease.cause is LivenessCause.STALLED:
            sentence = messages.stalled(facts.name, now - facts.active_at)
        case Liveness.SUSPECT:
            sentence = messages.suspect_silent(facts.name, silent)
        case Liveness.DOWN:
            broke = lease.cause is LivenessCause.DISCONNECTED
            why = messages.DOWN_BY_BREAK if broke else messages.DOWN_BY_SILENCE
            sentence = messages.down(facts.name, now - lease.judged_at, why, silent)
    ended = facts.detached_reason if not facts.connected and lease.liveness is not Liveness.ALIVE else ""
    notes = [
        messages.stream_ended_by_registry(ended) if ended else "",
        "" if facts.maintenance is None else messages.note_maintenance(facts.maintenance.reason),
        messages.NOTE_FLAPPING if judge.damping.is_damped(facts.service_id, now) else "",
        messages.NOTE_MASS_FAILURE if judge.guard.covers(facts.service_id) else "",
        messages.NOTE_GROUPED if judge.groups.alert_listing(facts) else "",
    ]
    return "; ".join([sentence, *filter(None, notes)]) + "."


def _rule(judge: Judge, lease: Lease, policy: Policy) -> str:
    facts = lease.facts
    interval = facts.interval
    tolerance = max(policy.tolerance_ratio * interval, policy.tolerance_min)
    grace = policy.reconnect_grace if facts.reconnect_grace is None else facts.reconnect_grace
    if lease.liveness is not Liveness.DOWN and judge.now < judge.detector.held_until(lease):
        hearing_for = judge.now - judge.detector.hearing_since
        return messages.rule_reattach_window(hearing_for, policy.reattach_window)
    # A service that was suspected for another cause and lost its stream since is judged by the stream.
    broken = lease.liveness is Liveness.SUSPECT and lease.disconnected
    match lease.liveness, LivenessCause.DISCONNECTED if broken else lease.cause:
        case Liveness.ALIVE, _:
            return messages.rule_heard_in_time(interval, policy.misses_before_warning, tolerance)
        case Liveness.SUSPECT, LivenessCause.STALLED:
            return messages.rule_stall_after(facts.stall_after or 0.0)
        case Liveness.SUSPECT, LivenessCause.DISCONNECTED:
            silence = policy.silence(interval, policy.misses_before_down)
            return messages.rule_stream_broke(grace, silence if lease.cause is LivenessCause.SILENT else None)
        case Liveness.SUSPECT, _:
            return messages.rule_missed_beats(policy.misses_before_warning, interval, tolerance)
        case _, LivenessCause.DISCONNECTED:
            return messages.rule_reconnect_grace(grace)
    return messages.rule_missed_beats(policy.misses_before_down, interval, tolerance)


def _margin(facts: Facts, margin: Margin | None) -> str:
    if margin is None:
        return messages.NO_GAPS if facts.streamed else messages.NO_GAPS_WITHOUT_STREAM
    gap = messages.longest_gap(margin.longest_gap, margin.observed_for, margin.used, margin.down_after)
    if margin.suggested is None or margin.suggested_misses is None:
        return f"{gap} {messages.too_little_data(ENOUGH, margin.enough_after)}"
    if margin.suffices:
        return f"{gap} {messages.timeout_suffices(margin.suggested)}"
    return f"{gap} {messages.timeout_suggested(margin.suggested, margin.suggested_misses)}"


def _evidence(judge: Judge, lease: Lease, policy: Policy, margin: Margin | None) -> dict[str, Any]:
    facts, now = lease.facts, judge.now
    deadline = policy.silence(facts.interval, policy.misses_before_down)
    found: dict[str, Any] = {
        "state": lease.liveness.name,
        "cause": lease.cause.name,
        "judged_for_seconds": round(now - lease.judged_at, 3),
        "silent_for_seconds": round(max(0.0, now - lease.heard_at), 3),
        "connected": facts.connected,
        "streamed": facts.streamed,
        "incarnation": facts.incarnation,
        "observation": lease.observation,
        "missed_beats": lease.missed_beats,
        "told_to": list(facts.notified),
        "is_told": judge.hierarchy.recipient_of(facts),
        "open_alerts": len(judge.escalations.about(facts.service_id)),
        "registry_hears_for_seconds": round(now - judge.detector.hearing_since, 3),
        "maintenance": facts.maintained,
        "damped": judge.damping.is_damped(facts.service_id, now),
        "suspicions_in_flap_window": judge.damping.count(facts.service_id, now, policy.flap_window),
        "mass_failure": judge.guard.active,
        "down_after_seconds": round(deadline, 3),
    }
    causes = [cause for kind, _, cause in judge.detector.forecast(facts.service_id) if kind is Kind.DOWN]
    if causes:
        found["will_be_down_for"] = causes[0].name
    if facts.detached_reason:
        found["detached_reason"] = facts.detached_reason
    if margin is not None:
        found["worst_gap_seconds"] = round(margin.longest_gap, 3)
        found["gaps_observed_for_seconds"] = round(margin.observed_for, 3)
        found["safety_margin"] = round(1 - margin.used, 3)
        if margin.suggested is not None:
            found["suggested_down_after_seconds"] = round(margin.suggested, 3)
            found["suggested_misses_before_down"] = margin.suggested_misses
    optional = {
        "attached_for_seconds": facts.attached_at,
        "broken_for_seconds": facts.detached_at,
        "inactive_for_seconds": facts.active_at if facts.stall_after is not None else None,
    }
    found |= {name: round(now - at, 3) for name, at in optional.items() if at is not None}
    if _busy_for(judge, lease) > 0:
        found["busy_for_another_seconds"] = round(_busy_for(judge, lease), 3)
    grouped = judge.groups.alert_listing(facts)
    if grouped:
        found["folded_into"] = grouped
    return found


def _busy_for(judge: Judge, lease: Lease) -> float:
    return judge.detector.busy_until(lease) - judge.now


def _no_stream(lease: Lease) -> str:
    facts = lease.facts
    if facts.streamed and not lease.disconnected:
        return f", {messages.stream_ended_by_registry(facts.detached_reason)}"
    return messages.STREAM_BROKEN if facts.streamed else messages.NO_STREAM
